"""The table of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from detbench.recipe.metrics import METRICS
from detbench.report.table import Column, Entry, Sheet, fixed, number, plain, text
from detbench.statistics.bootstrap import Interval

Intervals = Mapping[str, Interval]


@dataclass(frozen=True)
class More:
    """What an evaluation's table may have beside its metrics.

    Attributes:
        intervals: of some of the metrics.
        classes: each one's name and COCO's metrics of it alone.
    """

    intervals: Intervals = field(default_factory=dict)
    classes: Sequence[tuple[str, Mapping[str, float | None]]] = ()


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
    more: More | None = None,
) -> Sheet:
    """COCO's metrics, and the data set's own if it has some, in percent, in one row.

    Args:
        name: of what was evaluated.
        metrics: in [0, 1]; none where undefined.
        protocol: what the numbers depend on, printed below them.
        thresholds: AP at each IoU threshold too.
        note: what else to print below them.
        more: what is printed in further rows.
    """
    more = more or More()
    keys = [
        key for key, one in METRICS.items() if key in metrics and (thresholds or one.iou in BRIEF)
    ]
    heads = (Column("name", "detections"), *(Column(key, key, right=True) for key in keys))
    rows = [(name, *_shown(metrics, keys))]
    notes = (protocol,) if note is None else (protocol, note)
    if more.intervals:
        rows.append(("95 %", *(_ends(more.intervals.get(key)) for key in keys)))
        notes = (*notes, COVERS)
    classes = [(one, *_shown(known, keys)) for one, known in more.classes]
    made = plain(heads, [*rows, *classes], notes)
    return replace(made, breaks=frozenset({len(rows)}) if more.classes else frozenset())


def _shown(metrics: Mapping[str, float | None], keys: Sequence[str]) -> list[Entry]:
    """Metrics in percent; blank with a reason where undefined, without one where there is none."""
    return [
        text(None)
        if key not in metrics
        else text(None, UNDEFINED)
        if (value := metrics[key]) is None
        else number(100 * value, 2)
        for key in keys
    ]


def _ends(one: Interval | None) -> Entry:
    """An interval in percent, or why there is none."""
    if one is None or one.low is None or one.high is None:
        return text(None, one.reason if one else None)
    both = (100 * one.low, 100 * one.high)
    more = tuple(zip(("low", "high"), both, strict=True))
    return Entry(f"[{', '.join(fixed(end, 2) for end in both)}]", list(both), more=more)
