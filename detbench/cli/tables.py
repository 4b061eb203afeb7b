"""Printing a table of measurements, as ``run`` and ``report`` do."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from detbench.cli import common

if TYPE_CHECKING:
    from detbench.results.store import Store
    from detbench.runner.plan import Plan


def emit(plan: Plan, store: Store, format: common.FormatName) -> None:
    """Print ``plan``'s table to stdout from what ``store`` has; in parts where it is too wide."""
    from detbench.report import ablation, table

    if format == "json":
        common.write(table.to_json(ablation.payload(plan, store)))
        return
    sheet = ablation.sheet(plan, store)
    if format == "terminal" and sys.stdout.isatty():
        columns = shutil.get_terminal_size((100, 24)).columns
        # The rule under the headings is as wide as the table; notes are not.
        rules = [line for line in table.terminal(sheet).split("\n") if set(line) == {"─"}]
        if max(map(len, rules), default=0) > columns:
            for part in ablation.parts(sheet):
                common.emit(part, format)
                common.write("\n")
            return
    common.emit(sheet, format)
