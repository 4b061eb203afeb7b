"""The competition between the two tasks: the best-placed box against the best-scored ones.

Before NMS, an object has many boxes. Where the one with the best IoU is not the one with the best
score, NMS drops it: Figure 1 of TSCODE (Zhuang et al. 2023). No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detbench.data.segmentations import Placed
from detbench.evaluation.detections import iou
from detbench.evaluation.error_types import T_B

Boxes = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Boxed:
    """Labelled boxes of one image.

    Attributes:
        boxes: (n, 4), xyxy in pixels of the original image; n may be 0.
        labels: (n,), 0-based.
        scores: (n,), in [0, 1]; of objects 1.
        masks: n; none where there are none.
    """

    boxes: Boxes
    labels: Labels
    scores: Boxes
    masks: tuple[Placed, ...] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def chosen(self, rows: NDArray[np.bool_] | Labels) -> Boxed:
        """Some of them, by a mask or by indices."""
        which = np.arange(len(self))[rows].tolist()
        masks = None if self.masks is None else tuple(self.masks[row] for row in which)
        return Boxed(self.boxes[rows], self.labels[rows], self.scores[rows], masks)


@dataclass(frozen=True)
class Candidate:
    """A box that claims an object: xyxy, its score and its IoU with the object."""

    box: tuple[float, float, float, float]
    score: float
    iou: float


@dataclass(frozen=True)
class Competition:
    """The boxes of one object.

    Attributes:
        label: its class.
        box: xyxy.
        best_iou: the best-placed box; none where the object has no box at all.
        best_scores: the boxes with the best scores, best first.
        boxes: how many claim the object.
    """

    label: int
    box: tuple[float, float, float, float]
    best_iou: Candidate | None
    best_scores: tuple[Candidate, ...]
    boxes: int


def competitions(found: Boxed, objects: Boxed, top: int = 3) -> list[Competition]:
    """Each object's best-placed box and best-scored boxes.

    A box claims the object of its class that it overlaps most, with an IoU above ``T_B``.

    Args:
        found: detections before NMS, in any order.
        objects: ground truth.
        top: best-scored boxes of an object.

    Returns:
        One per object, in their order.
    """
    if not len(objects):
        return []
    claimed, overlap = claims(found, objects)
    out = []
    for index, (box, label) in enumerate(zip(objects.boxes, objects.labels, strict=True)):
        own = np.flatnonzero(claimed == index)
        by_score = own[np.argsort(-found.scores[own], kind="stable")][:top]
        by_iou = own[np.argsort(-overlap[own, index], kind="stable")][:1]
        places, scored = (
            [
                Candidate(
                    _corners(found.boxes[i]), float(found.scores[i]), float(overlap[i, index])
                )
                for i in rows
            ]
            for rows in (by_iou, by_score)
        )
        out.append(
            Competition(
                int(label), _corners(box), places[0] if places else None, tuple(scored), len(own)
            )
        )
    return out


def claims(found: Boxed, objects: Boxed) -> tuple[Labels, Boxes]:
    """Which object each box claims, (n,), -1 for none; and its IoU with each, (n, objects), 0 with
    those of another class.
    """
    overlap = iou(_sides(found.boxes)[:, None], _sides(objects.boxes))
    overlap *= found.labels[:, None] == objects.labels
    if not len(objects):
        return np.full(len(found), -1), overlap
    return np.where(overlap.max(axis=1) > T_B, overlap.argmax(axis=1), -1), overlap


def survivors(before: Boxed, after: Boxed) -> NDArray[np.int64]:
    """How many boxes before NMS each box after it stands for, (n,).

    A box stands for those of its class that overlap it more than any other that is left.
    """
    if not len(after) or not len(before):
        return np.zeros(len(after), np.int64)
    overlap = iou(_sides(before.boxes)[:, None], _sides(after.boxes))
    overlap *= before.labels[:, None] == after.labels
    owner = overlap.argmax(axis=1)[overlap.max(axis=1) > 0]
    return np.bincount(owner, minlength=len(after))


def _sides(boxes: Boxes) -> Boxes:
    """xyxy as x, y, w, h."""
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)


def _corners(box: Boxes) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(edge) for edge in box)
    return left, top, right, bottom
