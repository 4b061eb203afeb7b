"""An analysis as a table of numbers, and as what scripts read. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from detbench.analysis.kind import Analysis, Kind, Number
from detbench.report.table import Entry, Sheet, columns, fixed, number, plain

COVERS = (
    "95 %: a bootstrap over images, the same draws for all rows: of these trainings, not of "
    "methods, which takes several --seeds."
)
OVER_SEEDS = "95 %: Student's t over the seeds."
WITH_SEEDS = "95 %: over images (the same draws for all rows) and seeds, see docs/statistics.md."


def sheet(kind: Kind, analysis: Analysis, numbers: Sequence[Number], title: str) -> Sheet:
    """A line for each number; differences name the row that they are less than."""
    shown = [one for one in numbers if not one.detail]
    several = max(len(row.seeds) for row in analysis.rows) > 1
    heads = columns(
        row="Row",
        baseline="less",
        part="Part",
        group="Of",
        name="What",
        value=">value",
        interval=">95 %",
        **({"sd": ">sd"} if several else {}),
        n=">n",
        images=">images",
    )
    rows = [
        (
            one.row,
            one.baseline or None,
            one.part,
            one.group,
            one.name,
            number(one.value, one.digits, one.reason or None),
            _interval(one),
            *([number(one.sd, max(1, one.digits))] if several else []),
            one.n,
            one.images or None,
        )
        for one in shown
    ]
    looks = any(one.images for one in numbers)
    covers = COVERS if looks else OVER_SEEDS
    notes = [f"{analysis.note} {WITH_SEEDS if several and looks else covers}", kind.explain]
    notes += kind.notes(analysis)
    if analysis.groups.reason and looks:
        notes.append(f"Not parted by difficulty: {analysis.groups.reason}.")
    if hidden := len(numbers) - len(shown):
        notes.append(f"{hidden} numbers of single points more: --format json has them.")
    return plain(heads, rows, [one for one in notes if one], title)


def payload(kind: Kind, analysis: Analysis, numbers: Sequence[Number]) -> dict[str, Any]:
    """What ``--format json`` prints."""
    return {
        "kind": kind.name,
        "title": kind.title,
        "figures": kind.figures,
        "settings": dict(analysis.settings),
        "images": [one for one in analysis.images.tolist() if one],
        "rows": [{"label": row.label, "seeds": list(row.seeds)} for row in analysis.rows],
        "note": analysis.note,
        "numbers": [asdict(one) for one in numbers],
    }


def _interval(one: Number) -> Entry:
    if one.low is None or one.high is None:
        return Entry("")
    ends = (one.low, one.high)
    more = (("low", one.low), ("high", one.high))
    return Entry(
        f"[{fixed(ends[0], one.digits)}, {fixed(ends[1], one.digits)}]", list(ends), more=more
    )
