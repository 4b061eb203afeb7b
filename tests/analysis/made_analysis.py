"""Made boxes and analyses of them, whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detbench.analysis.kind import Analysis, Columns, Groups, Measured
from detbench.evaluation.competition import Boxed
from detbench.evaluation.inspection import Inspection

OBJECT = (10.0, 10.0, 50.0, 50.0)
GROUPS = Groups((24.0**2, 72.0**2), (0, 1, 2))
"""Of three classes, one in each third."""


def boxed(boxes: Sequence[Sequence[float]], scores: Sequence[float], label: int = 0) -> Boxed:
    """Boxes of one class."""
    count = len(boxes)
    corners = np.array(boxes, float).reshape(-1, 4)
    return Boxed(corners, np.full(count, label), np.array(scores, float))


def narrowed(ious: Sequence[float], of: Sequence[float] = OBJECT) -> list[list[float]]:
    """Boxes whose IoU with a box is as asked: its left part."""
    left, top, right, bottom = of
    return [[left, top, left + iou * (right - left), bottom] for iou in ious]


def seen(every: Boxed, before: Boxed, after: Boxed) -> Inspection:
    return Inspection(before, after, every)


def analysis(
    *tables: Columns, images: Sequence[int], settings: dict[str, float], groups: Groups = GROUPS
) -> Analysis:
    """Rows ``A``, ``B``, ... of one seed each."""
    rows = tuple(Measured("ABCD"[n], (0,), (table,)) for n, table in enumerate(tables))
    names = ("disc", "ring", "star")
    return Analysis(rows, np.array(images), groups, names, settings, "A note.")
