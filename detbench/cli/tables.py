"""Printing a table of measurements, as ``run`` and ``report`` do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from detbench.cli import common

if TYPE_CHECKING:
    from detbench.report.table import Format, Sheet
    from detbench.results.store import Store
    from detbench.runner.plan import Plan


def prepare(plans: Sequence[Plan], store: Store) -> None:
    """Compute what tables derive from stored detections, which is then cached.

    Silent where it takes less than a second, else progress goes to stderr.
    """
    from detbench.cli.patience import patient
    from detbench.report import ablation

    for plan in plans:
        with patient(f"{plan.table.id}: differences from stored detections") as tell:
            ablation.changes(plan, store, tell)


def sheet(plan: Plan, store: Store) -> Sheet:
    """``plan``'s table from what ``store`` has: best in bold, other profiles named."""
    from detbench.report import ablation, best, elsewhere

    made = best.mark(ablation.sheet(plan, store))
    other = elsewhere.sentence(plan, store)
    # How many cells are done stays last.
    return replace(made, notes=(*made.notes[:-1], other, *made.notes[-1:])) if other else made


def payload(plan: Plan, store: Store) -> dict[str, Any]:
    """What json prints of a table; ``other_profiles`` says what else is stored."""
    from detbench.report import ablation, elsewhere

    return {**ablation.payload(plan, store), "other_profiles": elsewhere.others(plan, store)}


def as_json(found: Any) -> str:
    """A payload, or several, as text."""
    from detbench.report import table

    return table.to_json(found)


def text(plan: Plan, store: Store, format: Format) -> str:
    """The whole table as text, not wrapped."""
    from detbench.report import table

    return table.render(sheet(plan, store), format)


def emit(plan: Plan, store: Store, format: common.FormatName) -> None:
    """Print ``plan``'s table to stdout from what ``store`` has; in parts where it is too wide."""
    from detbench.report import ablation, table

    prepare([plan], store)
    if format == "json":
        common.write(as_json(payload(plan, store)))
        return
    whole = sheet(plan, store)
    if format == "terminal" and sys.stdout.isatty():
        columns = shutil.get_terminal_size((100, 24)).columns
        # The rule under the headings is as wide as the table; notes are not.
        rules = [line for line in table.terminal(whole).split("\n") if set(line) == {"─"}]
        if max(map(len, rules), default=0) > columns:
            for part in ablation.parts(whole):
                common.emit(part, format)
                common.write("\n")
            return
    common.emit(whole, format)
