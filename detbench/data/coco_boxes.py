"""Checks of the boxes of an annotation file in COCO's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from detbench.data.box_rule import EXCESS, BoxRule
from detbench.data.faults import fail

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# COCO train2017 has 2 boxes without area among 860001; a file with more than this share is wrong.
_EMPTY_SHARE = 1e-4
_HUGE = 1e12  # not a number, infinity, or not a length in pixels


def is_number(value: Any) -> bool:
    """Whether it can be a length in pixels."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _HUGE


def is_whole(value: Any) -> TypeGuard[int | float]:
    """Whether it is a whole number as JSON may write one: 1 and 1.0 are equal, true is none."""
    if type(value) is float:
        return value.is_integer() and abs(value) < 2**53  # beyond, neighbours are one float
    return type(value) is int


def read_boxes(annotations: list[dict[str, Any]], path: Path) -> Floats:
    """[x, y, w, h] of each annotation, (n, 4)."""
    boxes = np.zeros((len(annotations), 4))
    for row, entry in enumerate(annotations):
        box = entry.get("bbox")
        if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
            problem = "has no 'bbox'" if box is None else f"has bbox {box!r}"
            fail(
                path,
                f"annotation {entry['id']} {problem}",
                "bbox is [x, y, width, height]",
                [entry],
            )
        boxes[row] = box
    return boxes


def check_boxes(
    boxes: Floats, annotations: Sequence[dict[str, Any]], sizes: Ints, path: Path, rule: BoxRule
) -> None:
    """Boxes lie in their images and have an area, but for what ``rule`` is about.

    Args:
        boxes: (n, 4), [x, y, w, h] in pixels.
        sizes: (n, 2), width and height of each one's image.
    """

    def refuse(bad: Any, problem: str, advice: str) -> None:
        rows = np.flatnonzero(bad)
        if not len(rows):
            return
        width, height = sizes[rows[0]]
        example = f"annotation {annotations[rows[0]]['id']}: bbox {boxes[rows[0]].tolist()}"
        fail(
            path,
            f"{len(rows)} of {len(boxes)} boxes {problem} ({example} in an image of "
            f"{width}x{height})",
            advice,
            [annotations[row] for row in rows.tolist()],
        )

    refuse((boxes[:, 2:] < 0).any(axis=1), "have a negative size", "bbox is [x, y, width, height]")
    far = (boxes[:, :2] < -EXCESS) | (boxes[:, :2] + boxes[:, 2:] > sizes + EXCESS)
    refuse(
        far.any(axis=1) & (rule.outside is None),
        f"reach more than {EXCESS:g} pixels outside their image",
        "bbox is [x, y, width, height] in pixels: mend or remove them, or set data.outside to clip "
        "or drop",
    )
    empty = (boxes[:, 2:] == 0).any(axis=1) & (rule.no_area is None)
    if np.count_nonzero(empty) > _EMPTY_SHARE * len(boxes):
        refuse(empty, "have no area", "mend or remove them, or set data.no_area to drop")
