"""The table of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping

from detbench.recipe.metrics import METRICS
from detbench.report.table import Column, Entry, Sheet, fixed, number, plain, text
from detbench.statistics.bootstrap import Interval

Intervals = Mapping[str, Interval]

BRIEF = (None, 50, 75)
"""IoU thresholds of the scores that are always shown."""
COVERS = (
    "95 %: of 1000 bootstrap replicates over the images, shifted by their bias; another training "
    "is not covered."
)
UNDEFINED = "no object of this size among the images"


def sheet(
    name: str,
    metrics: dict[str, float | None],
    protocol: str,
    thresholds: bool = False,
    note: str | None = None,
    intervals: Intervals | None = None,
) -> Sheet:
    """COCO's metrics, and the data set's own if it has some, in percent, in one row.

    Args:
        name: of what was evaluated.
        metrics: in [0, 1]; none where undefined.
        protocol: what the numbers depend on, printed below them.
        thresholds: AP at each IoU threshold too.
        note: what else to print below them.
        intervals: of some of the metrics, printed in a second row.
    """
    keys = [
        key for key, one in METRICS.items() if key in metrics and (thresholds or one.iou in BRIEF)
    ]
    values = [metrics[key] for key in keys]
    shown = [text(None, UNDEFINED) if one is None else number(100 * one, 2) for one in values]
    heads = (Column("name", "detections"), *(Column(key, key, right=True) for key in keys))
    rows = [(name, *shown)]
    notes = (protocol,) if note is None else (protocol, note)
    if intervals:
        rows.append(("95 %", *(_ends(intervals.get(key)) for key in keys)))
        notes = (*notes, COVERS)
    return plain(heads, rows, notes)


def _ends(one: Interval | None) -> Entry:
    """An interval in percent, or why there is none."""
    if one is None or one.low is None or one.high is None:
        return text(None, one.reason if one else None)
    both = (100 * one.low, 100 * one.high)
    more = tuple(zip(("low", "high"), both, strict=True))
    return Entry(f"[{', '.join(fixed(end, 2) for end in both)}]", list(both), more=more)
