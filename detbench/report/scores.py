"""The table of one evaluation."""

from __future__ import annotations

from detbench.report.table import Column, Entry, Sheet, number, text

OWN = ("VOC07", "VOC")
"""Metrics of one data set alone; shown where they were computed."""
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR", "ARs", "ARm", "ARl")
THRESHOLDS = tuple(f"AP{percent}" for percent in range(50, 100, 5))
UNDEFINED = "no object of this size among the images"


def sheet(
    name: str,
    metrics: dict[str, float | None],
    protocol: str,
    thresholds: bool = False,
    note: str | None = None,
) -> Sheet:
    """COCO's metrics, and the data set's own if it has some, in percent, in one row.

    Args:
        name: of what was evaluated.
        metrics: in [0, 1]; none where undefined.
        protocol: what the numbers depend on, printed below them.
        thresholds: AP at each IoU threshold too.
        note: what else to print below them.
    """
    keys = METRICS[:1] + THRESHOLDS + METRICS[3:] if thresholds else METRICS
    keys += tuple(key for key in OWN if key in metrics)
    columns = (Column("name", "detections"), *(Column(key, key, right=True) for key in keys))
    notes = (protocol,) if note is None else (protocol, note)
    return Sheet("", columns, ((text(name), *(_percent(metrics[key]) for key in keys)),), notes)


def _percent(value: float | None) -> Entry:
    if value is None:
        return text(None, UNDEFINED)
    return number(100 * value, 2)
