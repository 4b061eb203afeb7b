"""OpenImages' own average precision, as the official evaluation of its 2019 challenge computes it.

Boxes, image-level labels and detections are said of the classes above them too (a dog is an animal;
where a human saw no animal there is no dog): what participants are asked to do, and the tools of
``oid_hierarchical_labels_expansion`` do for the truth. Then, in each image and class (Kuznetsova et
al. 2020; ``OpenImagesChallengeEvaluator``):

- Detections of classes that nobody verified in the image, there or not, do not count, nor do those
  without area.
- The others are held, in order of score, against the box that they overlap most of those of one
  object: from an IoU of 0.5 on the first finds it.
- What finds none is held against the box of a group that holds most of it: from half of its area on
  it counts for that group, which is found once, with the best score of those (if it is not 0). Any
  other is wrong.
- A class's AP is the area below its precision made monotonous, as in Pascal VOC since 2010; a box
  of a group is one object to find. The score is the mean over the classes that have an object.

Where the tools leave the order of equal scores to their sorting, the first comes first; a group has
the place of its best detection.

No torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from detbench.data.hierarchy import Others, expanded
from detbench.evaluation.detections import (
    Flags,
    Floats,
    Found,
    GroundTruth,
    Ints,
    Truth,
    found_columns,
    truth_columns,
)
from detbench.evaluation.detections import iou as overlaps
from detbench.evaluation.voc import area

IOU = 0.5
METRICS = ("openimages",)
"""Of the block ``own score`` of ``recipe.metrics``."""
SENTENCE = (
    f"Boxes of groups count as crowds. AP50 (OpenImages) is OpenImages' own mean AP: IoU {IOU:g}, "
    f"classes above a box's and a detection's included, those that nobody verified in an image "
    f"ignored, a group found once by what lies half in it, any number of detections."
)
_PAIRS = 1 << 22  # of boxes that are held against each other at once


def rules(metric: str) -> dict[str, Any]:
    """What the protocol of a metric on this data says, COCO's metrics included."""
    if metric not in METRICS:
        return {"group-of": "as COCO's crowds"}
    return {
        "evaluator": "detbench, by the rules of OpenImages' 2019 challenge",
        "average": "area",
        "iou": IOU,
        "hierarchy": "expanded",
        "group-of": "found once",
        "unverified": "ignored",
    }


def evaluate(
    ground_truth: GroundTruth, results: list[dict[str, Any]], limit: int | None = None
) -> dict[str, float | None]:
    """Mean of ``by_class`` over the classes that have an object; none where no class has."""
    scores = [one for one in by_class(ground_truth, results, limit).values() if one is not None]
    return {"openimages": float(np.mean(scores)) if scores else None}


def by_class(
    ground_truth: GroundTruth, results: list[dict[str, Any]], limit: int | None = None
) -> dict[int, float | None]:
    """AP of each class by its id, in [0, 1]; none where it has no object.

    Args:
        ground_truth: a crowd is a box of a group; classes that are above others, and what is
            verified, as of ``coco_check.Table``.
        results: COCO results, already checked; of equal scores the first comes first. There is no
            bound on their number per image.
        limit: only the first this many images; none is all.
    """
    truth = truth_columns(ground_truth, limit)
    others = truth.ancestors or tuple(np.zeros((len(truth.category_ids), 0), np.int64))
    objects, labels = expanded(truth.labels, others)
    keys = _key(truth.images[objects], labels, len(others))
    found, where = _evaluated(truth, found_columns(results, truth), others, keys)
    hits = _judge(truth, objects, keys, found, where)
    counts = np.bincount(labels, minlength=len(others))
    return dict(zip(truth.category_ids.tolist(), _scores(counts, found, hits), strict=True))


def _key(images: Ints, labels: Ints, classes: int) -> Ints:
    """One number for each image and class."""
    return images * classes + labels


def _evaluated(truth: Truth, found: Found, others: Others, boxed: Ints) -> tuple[Found, Ints]:
    """Detections as of all their classes, without those that do not count; and their keys.

    Args:
        boxed: keys of all boxes, whose classes are verified.
    """
    rows, labels = expanded(found.labels, others)
    keys = _key(found.images[rows], labels, len(others))
    counted = (found.boxes[rows, 2:] > 0).all(axis=1)
    if truth.verified is not None:
        verified = _key(truth.verified[:, 0], truth.verified[:, 1], len(others))
        counted &= np.isin(keys, np.concatenate((boxed, verified)))
    return replace(found.taken(rows[counted]), labels=labels[counted]), keys[counted]


def _judge(truth: Truth, objects: Ints, keys: Ints, found: Found, where: Ints) -> Ints:
    """1 for each detection that is right, 0 for a wrong one, -1 where it does not count, (D,).

    Args:
        objects, keys: rows of the truth and their keys, (G,).
        where: keys of the detections, (D,).
    """
    order = np.lexsort((-found.scores, where))  # by image and class, then score, then as given
    boxes, wanted = found.boxes[order], where[order]
    group = truth.crowd[objects]
    one, overlap = _best(boxes, wanted, truth.boxes[objects[~group]], keys[~group], False)
    hits = _first(one, overlap >= IOU).astype(np.int64)
    held, share = _best(boxes, wanted, truth.boxes[objects[group]], keys[group], True)
    inside = (hits == 0) & (held >= 0) & (share >= IOU)
    hits[inside] = -1
    hits[_first(held, inside & (found.scores[order] > 0))] = 1
    judged = np.empty_like(hits)
    judged[order] = hits
    return judged


def _first(objects: Ints, ours: Flags) -> Flags:
    """Of the rows that are ``ours``, the first of each object, (D,)."""
    chosen = np.zeros(len(objects), np.bool_)
    rows = np.flatnonzero(ours & (objects >= 0))
    chosen[rows[np.unique(objects[rows], return_index=True)[1]]] = True
    return chosen


def _best(
    boxes: Floats, wanted: Ints, others: Floats, keys: Ints, inside: bool
) -> tuple[Ints, Floats]:
    """The box of its key that each overlaps most, the first of equals, and how much: (D,) each.

    -1 and 0 where there is none.

    Args:
        boxes, wanted: detections and their keys, ascending.
        others, keys: those that they are held against, in any order.
        inside: measure the share of a detection inside, not the IoU.
    """
    chosen, overlap = np.full(len(boxes), -1), np.zeros(len(boxes))
    order = np.argsort(keys, kind="stable")
    starts, ends = (np.searchsorted(keys[order], wanted, side) for side in ("left", "right"))
    counts = ends - starts
    rows = np.flatnonzero(counts)
    for some in _parts(rows, counts[rows]):
        widths = counts[some]
        bounds = np.cumsum(widths) - widths
        within = np.arange(widths.sum()) - np.repeat(bounds, widths)
        held = order[np.repeat(starts[some], widths) + within]
        shares = overlaps(boxes[np.repeat(some, widths)], others[held], crowd=inside)
        most = np.maximum.reduceat(shares, bounds)
        places = np.where(shares == np.repeat(most, widths), np.arange(len(shares)), len(shares))
        chosen[some] = held[np.minimum.reduceat(places, bounds)]
        overlap[some] = most
    return chosen, overlap


def _parts(rows: Ints, counts: Ints) -> list[Ints]:
    """Rows in parts of few enough pairs; a row alone may have more."""
    if not len(rows):
        return []
    number = np.cumsum(counts) // _PAIRS
    return np.split(rows, np.flatnonzero(np.diff(number)) + 1)


def _scores(counts: Ints, found: Found, hits: Ints) -> list[float | None]:
    """AP of each class.

    Args:
        counts: objects of each, (K,).
        hits: of the detections, (D,), as of ``_judge``.
    """
    best = np.lexsort((-found.scores, found.labels))
    best = best[hits[best] >= 0]
    ends = np.searchsorted(found.labels[best], np.arange(len(counts) + 1))
    scores: list[float | None] = []
    for label, count in enumerate(counts.tolist()):
        right = np.cumsum(hits[best[ends[label] : ends[label + 1]]])
        precision = right / np.arange(1, len(right) + 1)
        scores.append(area(right, precision, count) if count else None)
    return scores
