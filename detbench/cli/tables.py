"""Printing a table of measurements, as ``run`` and ``report`` do."""

from __future__ import annotations

from collections.abc import Sequence

from detbench.cli import common
from detbench.cli.progress_lines import progress_lines
from detbench.report import ablation, latency_sheet, signature
from detbench.report.formats import FORMATS
from detbench.report.results import TableResults


def prepare(tables: Sequence[TableResults]) -> None:
    """Compute what tables derive from stored detections, which is then cached.

    Silent where it takes less than a second, else progress goes to stderr.
    """
    for one in tables:
        with progress_lines(f"{one.plan.table.id}: differences from stored detections") as tell:
            one.compare(tell)


def emit(results: TableResults, format: common.FormatName) -> None:
    """Print a table to stdout, its effects where its rows are a grid, and stored latencies."""
    prepare([results])
    payload = ablation.payload(results) if FORMATS[format].payload else None
    common.emit(ablation.marked(results), format, payload)
    if payload is not None:
        return
    for found in (ablation.effects_sheet(results), latency_sheet.sheet(results)):
        if found:
            common.write("\n")
            common.emit(found, format)


def unlike(tables: Sequence[TableResults]) -> list[str]:
    """Sentences on tables that are not to be read side by side: their signatures differ."""
    known = [one for one in tables if one.signature]
    said = []
    for one in known[1:]:
        first = known[0]
        parts = signature.differing(first.signature, one.signature)
        if parts:
            said.append(
                f"{one.plan.table.id} and {first.plan.table.id} differ in {', '.join(parts)}: "
                "their "
                "numbers are not comparable"
            )
    return said
