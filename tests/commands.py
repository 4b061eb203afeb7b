"""Command lines, called in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detbench.cli.main import main

Call = Callable[..., tuple[int, str, str]]
"""Words of a command line to its exit code, stdout and stderr."""


def exit_code(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)
