"""The table of one evaluation."""

from __future__ import annotations

from detbench.recipe.metrics import METRICS
from detbench.report.table import Column, Sheet, number, plain, text

BRIEF = (None, 50, 75)
"""IoU thresholds of the scores that are always shown."""
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
    keys = [
        key for key, one in METRICS.items() if key in metrics and (thresholds or one.iou in BRIEF)
    ]
    values = [metrics[key] for key in keys]
    shown = [text(None, UNDEFINED) if one is None else number(100 * one, 2) for one in values]
    heads = (Column("name", "detections"), *(Column(key, key, right=True) for key in keys))
    return plain(heads, [(name, *shown)], (protocol,) if note is None else (protocol, note))
