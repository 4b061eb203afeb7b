"""COCO's matching of detections to objects, kept as arrays so that images can be re-weighted.

What pycocotools' ``COCOeval.evaluateImg`` finds, image by image, is found here for all images at
once: pairs of one image and class that overlap enough are listed, and the k-th best detection of
every image and class chooses its object at the same time. The result is the same, bit for bit.

    D detections kept, by class and then by falling score
    G objects, by class        I images, by id        K classes, by id
    T IoU thresholds           A areas: all, small, medium, large

No torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.evaluation import masks as mask_columns
from detbench.evaluation.detections import (
    Flags,
    Floats,
    Found,
    GroundTruth,
    Ints,
    Truth,
    check_results,
    found_columns,
    iou,
    order_by,
    truth_columns,
)
from detbench.evaluation.masks import Overlaps
from detbench.evaluation.metric import AREAS, bounds
from detbench.recipe.experiment import Evaluation

IOUS = np.linspace(0.5, 0.95, 10)
REACHED = np.minimum(IOUS, 1 - 1e-10)  # as COCO's: an IoU of 1 may be computed as a little less
PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Matches:
    """Which detections are right, at every threshold and area.

    Attributes:
        evaluation: the settings.
        masks: what was matched is masks, not boxes.
        image_ids, category_ids: (I,) and (K,), ascending.
        names: of the K classes.
        starts: (K + 1,), class k's detections are ``starts[k]`` to ``starts[k + 1]``.
        scores: (D,), falling within a class.
        images: (D,), positions in ``image_ids``.
        right: (A, T, D), matched to an object that counts.
        ignored: (A, T, D), counts neither as right nor as wrong.
        object_starts: (K + 1,), of the objects.
        object_images: (G,), positions in ``image_ids``.
        object_ignored: (A, G), crowds and objects of another size, which need not be found.
    """

    evaluation: Evaluation
    masks: bool
    image_ids: Ints
    category_ids: Ints
    names: tuple[str, ...]
    starts: Ints
    scores: Floats = field(repr=False)
    images: Ints = field(repr=False)
    right: Flags = field(repr=False)
    ignored: Flags = field(repr=False)
    object_starts: Ints = field(repr=False)
    object_images: Ints = field(repr=False)
    object_ignored: Flags = field(repr=False)

    def detections(self, label: int) -> slice:
        """Where class ``label``'s detections are."""
        return slice(int(self.starts[label]), int(self.starts[label + 1]))

    def objects(self, label: int) -> slice:
        """Where class ``label``'s objects are."""
        return slice(int(self.object_starts[label]), int(self.object_starts[label + 1]))


def match(
    ground_truth: GroundTruth,
    results: list[dict[str, Any]],
    evaluation: Evaluation,
    name: str = "results",
    masks: bool = False,
) -> Matches:
    """Match once; metrics of any weighting of the images follow (``accumulate``).

    Args:
        ground_truth: COCO instances.
        results: COCO results; may be empty.
        evaluation: detections per image and class, bounds of the areas, number of images.
        name: of the results, for messages.
        masks: match masks, not boxes, as ``evaluation.masks`` has them.

    Raises:
        DataError: a result is malformed or names an unknown image or category; masks are asked for,
            and one of them is damaged or there are none.
    """
    truth = truth_columns(ground_truth, evaluation.limit)
    check_results(ground_truth, results, name, boxes=not masks)
    found = _kept(found_columns(results, truth, boxes=not masks), evaluation.max_detections)
    compared = _masks if masks else _boxes
    truth, areas, overlaps = compared(ground_truth, truth, results, found, name)
    limits = np.array(bounds(evaluation))
    ignorable = truth.crowd | _outside(truth.areas, limits)
    # By class, best first; of equal scores those of the earlier image, as ``found`` has them.
    order = order_by(found.labels.astype(np.int32), -found.scores)
    chosen = _choose(_pairs(truth, found, overlaps), truth, ignorable)
    right, ignored = _judge(*chosen, _outside(areas, limits), order)
    held = order_by(truth.labels)
    classes = np.arange(len(truth.category_ids) + 1)
    return Matches(
        evaluation,
        masks,
        truth.image_ids,
        truth.category_ids,
        truth.names,
        np.searchsorted(found.labels[order], classes),
        found.scores[order],
        found.images[order],
        right,
        ignored,
        np.searchsorted(truth.labels[held], classes),
        truth.images[held],
        ignorable[:, held],
    )


def _boxes(
    ground_truth: GroundTruth, truth: Truth, results: list[dict[str, Any]], found: Found, name: str
) -> tuple[Truth, Floats, Overlaps]:
    """The objects that count, the detections' sizes, and how they overlap."""

    def overlaps(left: Ints, right: Ints) -> Floats:
        return iou(found.boxes[left], truth.boxes[right], truth.crowd[right])

    return truth, found.boxes[:, 2] * found.boxes[:, 3], overlaps


def _masks(
    ground_truth: GroundTruth, truth: Truth, results: list[dict[str, Any]], found: Found, name: str
) -> tuple[Truth, Floats, Overlaps]:
    """As ``_boxes``, of masks."""
    objects, held = mask_columns.of_objects(ground_truth, truth)
    seen = mask_columns.of_detections(results, found, mask_columns.sizes(ground_truth, truth), name)
    return objects, seen.areas(), mask_columns.overlaps(seen, held, objects.crowd)


def _judge(
    chosen: Ints, matched: Flags, to_ignored: Flags, beyond: Flags, order: Ints
) -> tuple[Flags, Flags]:
    """Which detections, in ``order``, are right and which are ignored: (A, T, D) each.

    Args:
        chosen, matched, to_ignored: of ``_choose``.
        beyond: (A, D), detections of another size, which are ignored where unmatched.
    """
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    right = np.zeros((len(AREAS), len(REACHED), len(order)), np.bool_)
    right[..., places[chosen]] = matched & ~to_ignored
    ignored = np.repeat(beyond[:, None, order], len(REACHED), axis=1)
    ignored[..., places[chosen]] = to_ignored | (~matched & beyond[:, None, chosen])
    return right, ignored


def _kept(found: Found, maximum: int) -> Found:
    """The best ``maximum`` detections of each image and class; by image, class and rank."""
    groups = found.images * (found.labels.max(initial=0) + 1) + found.labels
    order = order_by(groups, -found.scores)
    order = order[_places(groups[order]) < maximum]
    return found.taken(order)


def _outside(areas: Floats, limits: Floats) -> Flags:
    """Whether each area is none of each range's, (A, n); both bounds belong to a range."""
    return (areas < limits[:, :1]) | (areas > limits[:, 1:])


@dataclass(frozen=True)
class _Pairs:
    """Detections and objects of one image and class with an IoU of at least 0.5.

    Sorted by round, detection, rising IoU and then place of the object, so that the last one that
    is free is the one COCO's loop takes.

    Attributes:
        rounds: (P,), how many better detections of the same image and class are in any pair.
        chosen: (C,), rows of the detections that are in any pair.
        found: (P,), place of the detection in ``chosen``.
        truth: (P,), row of the object.
        ious: (P,).
    """

    rounds: Ints
    chosen: Ints
    found: Ints
    truth: Ints
    ious: Floats


def _pairs(truth: Truth, found: Found, overlaps: Overlaps) -> _Pairs:
    """All pairs that can match; ``found`` comes sorted by image, class and rank."""
    classes = len(truth.category_ids)
    held = order_by(truth.images, truth.labels)
    keys = truth.images[held] * classes + truth.labels[held]
    groups = found.images * classes + found.labels
    first = np.searchsorted(keys, groups, "left")
    counts = np.searchsorted(keys, groups, "right") - first
    pieces = [
        _overlapping(overlaps, held, first, counts, rows)
        for rows in _portions(counts, PAIRS_AT_ONCE)
    ]
    rows, objects, ious = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = order_by(rows, ious, objects)
    rows, objects, ious = rows[order], objects[order], ious[order]
    chosen, numbers = np.unique(rows, return_inverse=True)
    rounds = _places(groups[chosen])[numbers]
    order = np.argsort(rounds, kind="stable")
    return _Pairs(rounds[order], chosen, numbers[order], objects[order], ious[order])


def _portions(counts: Ints, size: int) -> list[Ints]:
    """Rows with pairs, in runs of about ``size`` pairs; at least one run."""
    rows = np.flatnonzero(counts)
    cuts = np.flatnonzero(np.diff(np.cumsum(counts[rows]) // size)) + 1
    return np.split(rows, cuts)


def _overlapping(
    overlaps: Overlaps, held: Ints, first: Ints, counts: Ints, rows: Ints
) -> tuple[Ints, Ints, Floats]:
    """Detection, object and IoU of the pairs of some detections that overlap enough."""
    many = counts[rows]
    ends = np.cumsum(many)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - many, many)
    left = np.repeat(rows, many)
    right = held[np.repeat(first[rows], many) + within]
    ious = overlaps(left, right)
    near = ious >= REACHED[0]
    return left[near], right[near], ious[near]


def _places(groups: Ints) -> Ints:
    """Place of each row in its run of equal ``groups``, from 0, (n,)."""
    new = np.ones(len(groups), np.bool_)
    new[1:] = groups[1:] != groups[:-1]
    rows = np.arange(len(groups))
    return rows - np.maximum.accumulate(np.where(new, rows, 0)) if len(rows) else rows


def _choose(pairs: _Pairs, truth: Truth, ignorable: Flags) -> tuple[Ints, Flags, Flags]:
    """Each detection's match, best detection first (COCO's greedy choice).

    It takes the free object that it overlaps most (the last of equals), of those that count if any
    does, else of the ignored. A crowd stays free.

    Returns:
        Rows of the detections that are in any pair (C,), whether each is matched, and whether to an
        ignored object: (A, T, C) each.
    """
    shape = (len(AREAS), len(REACHED))
    matched = np.zeros((len(pairs.chosen), *shape), np.bool_)
    to_ignored = np.zeros_like(matched)
    free = np.ones((len(truth.crowd), *shape), np.bool_)
    counts = ~ignorable.T
    edges = np.flatnonzero(np.diff(pairs.rounds, prepend=-1, append=-1))
    for start, stop in pairwise(edges):
        rows, objects = pairs.found[start:stop], pairs.truth[start:stop]
        able = free[objects] & (pairs.ious[start:stop, None, None] >= REACHED)
        best, ignoring = _best(able, counts[objects], rows)
        chosen = rows[np.flatnonzero(np.diff(rows, prepend=-1))]
        matched[chosen], to_ignored[chosen] = best > 0, ignoring
        which, area, iou = np.nonzero(best)
        taken = objects[best[which, area, iou] - 1]
        single = ~truth.crowd[taken]
        free[taken[single], area[single], iou[single]] = False
    return pairs.chosen, _by_area(matched), _by_area(to_ignored)


def _best(able: Flags, counts: Flags, rows: Ints) -> tuple[NDArray[np.int32], Flags]:
    """The pair each detection takes, numbered from 1, or 0; and whether its object is ignored.

    Args:
        able: (P, A, T), the object is free and overlaps enough.
        counts: (P, A), the object is not ignored.
        rows: (P,), detections, rising.
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    place = np.arange(1, len(rows) + 1, dtype=np.int32)[:, None, None]
    last = np.maximum.reduceat(place * (able & counts[..., None]), starts)
    other = np.maximum.reduceat(place * (able & ~counts[..., None]), starts)
    ignoring = (last == 0) & (other > 0)
    return np.where(ignoring, other, last), ignoring


def _by_area(flags: Flags) -> Flags:
    return np.ascontiguousarray(flags.transpose(1, 2, 0))
