"""Which boxes find objects, which double them: image by image, as arrays. No torch.

Boxes find objects as in COCO's evaluation: by falling score, each takes the object of its class
that it overlaps most of those that are left. So what a box finds does not depend on boxes of lower
scores, and a table serves every threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detbench.analysis.kind import Columns, Floats, Ints
from detbench.evaluation.competition import Boxed
from detbench.evaluation.detections import iou, positions

OBJECT, BOX = 0.0, 1.0
"""Kinds of lines."""
NAMES = (
    *("what", "object", "score", "iou", "finds", "other", "ignored"),
    *("x0", "y0", "x1", "y1"),
)
"""Columns of numbers. Of an object: score of the box that finds it and their IoU, not a number
without one. Of a box: its score, the object of its class that it overlaps most (-1 for none) and
their IoU, whether it finds that one, the score of the box that does, whether a crowd takes it."""


def of_image(
    image: int, found: Boxed, objects: tuple[Boxed, Boxed], areas: Floats, least: float
) -> Columns:
    """A line for each object and one for each box.

    Args:
        found: the boxes that are left by NMS, in any order.
        objects: those that are to be found, and crowds.
        areas: of the objects to be found, square pixels.
        least: IoU from which on a box finds an object.
    """
    whole, crowds = objects
    overlap = _overlaps(found, whole)
    finder = _finders(overlap, found.scores, least)
    seen = finder >= 0
    score = np.where(seen, found.scores[finder] if len(found) else 0.0, np.nan)
    placed = np.full(len(whole), np.nan)
    placed[seen] = overlap[finder[seen], np.flatnonzero(seen)]
    finds = np.full(len(found), -1)
    finds[finder[seen]] = np.flatnonzero(seen)
    nearest = overlap.argmax(axis=1) if len(whole) else np.zeros(len(found), np.int64)
    nearest = np.where(finds >= 0, finds, nearest)
    best = overlap[np.arange(len(found)), nearest] if len(whole) else np.zeros(len(found))
    own = np.where(best > 0, nearest, -1)
    other = np.where(own >= 0, score[nearest] if len(whole) else 0.0, np.nan)
    inside = _overlaps(found, crowds, crowd=True).max(axis=1, initial=0.0)
    ignored = (finds < 0) & (inside >= least)
    columns = _columns(
        (found, whole), (score, placed, seen), (own, best, finds >= 0, other, ignored)
    )
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    return {
        "image": np.full(len(whole) + len(found), image, np.int64),
        "label": np.concatenate([whole.labels, found.labels]).astype(np.int64),
        "area": np.concatenate([areas, np.prod(sides, axis=1)]).astype(np.float64),
        **columns,
    }


def _columns(
    boxes: tuple[Boxed, Boxed], of_objects: Sequence[Any], of_boxes: Sequence[Any]
) -> Columns:
    """``NAMES``, of the objects, then of the boxes."""
    (found, whole), (score, placed, seen) = boxes, of_objects
    own, best, finds, other, ignored = of_boxes
    first = (
        *(np.full(len(whole), OBJECT), np.arange(len(whole)), score, placed, seen, score),
        *(np.zeros(len(whole)), *whole.boxes.T),
    )
    second = (
        *(np.full(len(found), BOX), own, found.scores, best, finds, other, ignored),
        *found.boxes.T,
    )
    return {
        name: np.concatenate([a, b]).astype(np.float64)
        for name, a, b in zip(NAMES, first, second, strict=True)
    }


def _overlaps(found: Boxed, objects: Boxed, crowd: bool = False) -> Floats:
    """(n, m): IoU of boxes and objects of one class, 0 of others; of crowds the share inside."""
    first, second = (
        np.concatenate((one.boxes[:, :2], one.boxes[:, 2:] - one.boxes[:, :2]), axis=1)
        for one in (found, objects)
    )
    overlap = iou(first[:, None], second, crowd)
    return np.asarray(overlap * (found.labels[:, None] == objects.labels), np.float64)


def _finders(overlap: Floats, scores: Floats, least: float) -> Ints:
    """(m,): which box finds each object, -1 for none; every round finds one object."""
    finder = np.full(overlap.shape[1], -1)
    boxes, objects = np.nonzero(overlap >= least)
    order = np.lexsort((-overlap[boxes, objects], boxes, -scores[boxes]))
    boxes, objects = boxes[order], objects[order]
    while len(boxes):
        finder[objects[0]] = boxes[0]
        left = (boxes != boxes[0]) & (objects != objects[0])
        boxes, objects = boxes[left], objects[left]
    return finder


def threshold(table: Columns, settings: Any) -> float:
    """The score from which on a row's boxes count."""
    if settings["score"] > 0:
        return float(settings["score"])
    boxes = np.sort(table["score"][(table["what"] == BOX) & (table["ignored"] == 0)])
    count = int(np.count_nonzero(table["what"] == OBJECT))
    return float(boxes[-count]) if 0 < count <= len(boxes) else 0.0


def judged(table: Columns, settings: Any) -> Columns:
    """What comes of a table at its threshold: of objects ``found`` (0 or 1), ``iou`` of the box
    that finds it, not a number without, ``doubled``, how many duplicates it has; of boxes
    ``wrong``, which find nothing and are no duplicates.
    """
    least, boxes = threshold(table, settings), table["what"] == BOX
    kept = boxes & (table["score"] >= least) & (table["ignored"] == 0)
    spare = kept & (table["finds"] == 0)
    near = (table["iou"] >= settings["overlap"]) & (table["other"] >= least)
    double = spare & near & (table["object"] >= 0)
    found = ~boxes & (table["score"] >= least)
    key = table["image"] * (1 + int(table["object"].max(initial=0))) + table["object"]
    key = key.astype(np.int64)
    twice, counts = np.unique(key[double], return_counts=True)
    place = positions(twice, key)
    doubled = np.where(place >= 0, counts[place] if len(counts) else 0, 0)
    return {
        **table,
        "kept": kept.astype(np.float64),
        "found": found.astype(np.float64),
        "iou": np.where(boxes | found, table["iou"], np.nan),
        "doubled": np.where(boxes, double, doubled).astype(np.float64),
        "wrong": (spare & ~double).astype(np.float64),
    }
