"""Says in the end how many inputs there were."""

from __future__ import annotations

from typing import Any

import malformed


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts = malformed.COUNTS
    if counts:
        total = sum(counts.values())
        terminalreporter.write_line(
            f"{total} malformed inputs: {counts['refused']} refused, {counts['accepted']} accepted"
        )
