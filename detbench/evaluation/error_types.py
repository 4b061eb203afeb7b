"""What kinds of errors a detector makes, and what each costs: TIDE (Bolya et al., ECCV 2020).

Every false positive has one of five types, by its IoU with the ground truth (Section 2.2 there):

    loc   with the right class, between ``T_B`` and ``T_F``
    cls   with a wrong class, at least ``T_F``
    dupe  with the right class, at least ``T_F``, but a better one has taken the object
    bkg   with any object, at most ``T_B``
    both  anything else: wrong class and badly placed

and ``miss`` is an object that was found by nothing and that no loc or cls error is about. The cost
of a type is the AP50 gained by an oracle that mends it alone (Section 2.3): a cls or loc error
becomes a true positive where it is the best one about a free object, and vanishes else; dupe, bkg
and both vanish; a missed object is no longer asked for. Mended apart, the gains do not add up.

As in the authors' code: an error is loc before it is cls, and cls before it is dupe; a detection
more than half in a crowd of its class is ignored, unless mending makes it a true positive; the best
``max_detections`` of an image count, whatever their classes. Other than there, a class without
objects does not count in the mean, so that AP50 is COCO's. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.evaluation.detections import GroundTruth, found_columns, iou, truth_columns
from detbench.recipe.experiment import Evaluation

T_F = 0.5
"""IoU from which a detection finds an object."""
T_B = 0.1
"""IoU up to which a detection is about the background."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's, bit for bit."""

MAIN = ("cls", "loc", "both", "dupe", "bkg", "miss")
SPECIAL = ("false_positive", "false_negative")
CORRECT, CLS, LOC, BOTH, DUPE, BKG = range(-1, 5)
"""What a detection is; an error is its index in ``MAIN``."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ErrorTypes:
    """AP50 gained by mending one type of error alone, in [0, 1].

    Attributes:
        cls, loc, both, dupe, bkg, miss: the six types.
        false_positive: all false positives go below all true ones.
        false_negative: no unfound object is asked for.
        ap50: what they are gained on.
    """

    cls: float
    loc: float
    both: float
    dupe: float
    bkg: float
    miss: float
    false_positive: float
    false_negative: float
    ap50: float


@dataclass(frozen=True)
class Judged:
    """Every detection that counts, image by image, best first.

    Attributes:
        images: (D,), positions of the images' ids.
        scores: (D,).
        labels: (D,), positions of categories.
        kinds: (D,), ``CORRECT``, ``CLS``, ... or ``BKG``.
        targets: (D,), the object that a correct detection found or that a cls or loc error is
            about, as an index into ``object_labels``; else -1.
        ignored: (D,), neither right nor wrong, being in a crowd.
        object_labels: (G,), of all objects but crowds.
        found: (G,), objects that a correct detection found.
        classes: how many categories there are.
    """

    images: Ints
    scores: Floats
    labels: Ints
    kinds: Ints
    targets: Ints
    ignored: Bools
    object_labels: Ints
    found: Bools
    classes: int

    def winners(self) -> Bools:
        """(D,): the best cls or loc error about each object that was not found."""
        about = np.flatnonzero((self.kinds == CLS) | (self.kinds == LOC))
        about = about[~self.found[self.targets[about]]]
        # Best first within an image, and an object is in one image.
        _, first = np.unique(self.targets[about], return_index=True)
        won = np.zeros(len(self.kinds), bool)
        won[about[first]] = True
        return won

    def missed(self) -> Bools:
        """(G,): objects that nothing found and that no cls or loc error is about."""
        missed = ~self.found
        missed[self.targets[self.winners()]] = False
        return missed


def error_types(
    ground_truth: GroundTruth, results: list[dict[str, Any]], evaluation: Evaluation
) -> ErrorTypes | None:
    """What each type of error costs in AP50.

    Args:
        ground_truth: COCO instances; only boxes, classes and ``iscrowd`` are read.
        results: COCO results, checked (``coco.check_results``); may be empty.
        evaluation: its ``max_detections``, here of an image, and ``limit`` apply.

    Returns:
        Fractions; none where the images have no object but crowds.
    """
    judged = judge(ground_truth, results, evaluation)
    if not len(judged.object_labels):
        return None
    order = np.argsort(-judged.scores, kind="stable")
    present = np.bincount(judged.object_labels, minlength=judged.classes)
    classes = np.flatnonzero(present)

    def score(labels: Ints, kept: Bools, right: Bools, dropped: Bools | None = None) -> float:
        chosen = order[kept[order]]
        asked = present
        if dropped is not None:
            asked = present - np.bincount(judged.object_labels[dropped], minlength=len(present))
        return _mean_ap(labels[chosen], right[chosen], asked, classes)

    base = (judged.labels, ~judged.ignored, judged.kinds == CORRECT)
    ap50 = score(*base)
    gains = {"miss": score(*base, judged.missed())}
    gains["false_positive"] = score(base[0], base[2], base[2])
    gains["false_negative"] = score(*base, ~judged.found)
    for kind, name in enumerate(MAIN[:-1]):
        gains[name] = score(*_mended(judged, kind))
    return ErrorTypes(**{name: max(gain - ap50, 0.0) for name, gain in gains.items()}, ap50=ap50)


@dataclass(frozen=True)
class _Boxes:
    """Labelled boxes, image by image, best first.

    Attributes:
        images, labels: (n,), positions of their ids.
        boxes: (n, 4), x, y, w, h.
        scores: (n,); of objects 0.
    """

    images: Ints
    labels: Ints
    boxes: Floats
    scores: Floats

    def edges(self, count: int) -> list[slice]:
        """Where the boxes of each of ``count`` images are."""
        bounds = np.searchsorted(self.images, np.arange(count + 1)).tolist()
        return [slice(*pair) for pair in pairwise(bounds)]


def judge(
    ground_truth: GroundTruth, results: list[dict[str, Any]], evaluation: Evaluation
) -> Judged:
    """Say of every detection what it is; arguments as of ``error_types``."""
    held = truth_columns(ground_truth, evaluation.limit)
    seen = found_columns(results, held)
    truth, mass = (
        _boxes(held.images[rows], held.labels[rows], held.boxes[rows])
        for rows in (~held.crowd, held.crowd)
    )
    found = _boxes(seen.images, seen.labels, seen.boxes, seen.scores, evaluation.max_detections)
    kinds = np.full(len(found.images), BKG)
    targets = np.full(len(kinds), -1)
    ignored = np.zeros(len(kinds), bool)
    count = len(held.image_ids)
    places = zip(*(boxes.edges(count) for boxes in (found, truth, mass)), strict=True)
    for here, there, crowd in places:
        if here.start == here.stop:
            continue
        boxes, labels = found.boxes[here], found.labels[here]
        kinds[here], local = _kinds(boxes, labels, truth.boxes[there], truth.labels[there])
        targets[here] = np.where(local < 0, -1, local + there.start)
        if crowd.start < crowd.stop:
            inside = _in_crowd(boxes, labels, mass.boxes[crowd], mass.labels[crowd])
            ignored[here] = inside & (kinds[here] != CORRECT)
    taken = np.zeros(len(truth.images), bool)
    taken[targets[kinds == CORRECT]] = True
    return Judged(
        *(found.images, found.scores, found.labels, kinds, targets, ignored, truth.labels, taken),
        len(held.category_ids),
    )


def _boxes(
    images: Ints, labels: Ints, boxes: Floats, scores: Floats | None = None, most: int | None = None
) -> _Boxes:
    """Objects or detections image by image; the best ``most`` of each image."""
    scores = np.zeros(len(images)) if scores is None else scores
    order = np.lexsort((-scores, images))
    if most is not None:
        rank = np.arange(len(order)) - np.searchsorted(images[order], images[order])
        order = order[rank < most]
    return _Boxes(images[order], labels[order], boxes[order], scores[order])


def _kinds(boxes: Floats, labels: Ints, objects: Floats, object_labels: Ints) -> tuple[Ints, Ints]:
    """What each detection of an image is, and the object that it is about or -1."""
    if not len(objects):
        return np.full(len(boxes), BKG), np.full(len(boxes), -1)
    overlap = iou(boxes[:, None], objects)
    same = labels[:, None] == object_labels
    own, other = overlap * same, overlap * ~same
    matched, taken = _match(own)
    best_own = own.max(axis=1)
    tests = (
        (matched >= 0, CORRECT),
        ((best_own >= T_B) & (best_own <= T_F), LOC),
        (other.max(axis=1) >= T_F, CLS),
        ((own * taken).max(axis=1) >= T_F, DUPE),
        (overlap.max(axis=1) <= T_B, BKG),
    )
    kinds = np.select([true for true, _ in tests], [kind for _, kind in tests], BOTH)
    about = [matched, own.argmax(axis=1), other.argmax(axis=1)]
    return kinds, np.select([kinds == CORRECT, kinds == LOC, kinds == CLS], about, -1)


def _match(own: Floats) -> tuple[Ints, Bools]:
    """Give each detection, best first, the free object of its class that it overlaps most.

    Args:
        own: (D, G), IoU with objects of the same class, 0 with others.

    Returns:
        The object of each detection or -1, (D,); and which objects are taken, (G,).
    """
    matched = np.full(len(own), -1)
    taken = np.zeros(own.shape[1], bool)
    for row in np.flatnonzero((own >= T_F).any(axis=1)):
        free = np.where(taken, 0.0, own[row])
        best = free.argmax()
        if free[best] >= T_F:
            matched[row], taken[best] = best, True
    return matched, taken


def _in_crowd(boxes: Floats, labels: Ints, crowds: Floats, crowd_labels: Ints) -> Bools:
    """Which detections are more than ``T_F`` inside a crowd of their class."""
    inside = iou(boxes[:, None], crowds, crowd=True) > T_F
    return (inside & (labels[:, None] == crowd_labels)).any(axis=1)


def _mended(judged: Judged, kind: int) -> tuple[Ints, Bools, Bools]:
    """Labels, which detections are left, and which are right, with one kind of error mended."""
    of_kind = judged.kinds == kind
    right = judged.kinds == CORRECT
    labels, kept = judged.labels, ~judged.ignored & ~of_kind
    if kind in (CLS, LOC):
        won = judged.winners() & of_kind
        kept, right = kept | won, right | won
        labels = np.where(won, judged.object_labels[judged.targets], labels)
    return labels, kept, right


def _mean_ap(labels: Ints, right: Bools, asked: Ints, classes: Ints) -> float:
    """Mean AP of ``classes``; one of which nothing is asked or detected any more drops out.

    With none left there is nothing to get wrong: 1.

    Args:
        labels, right: of the detections, best first.
        asked: objects of each category.
    """
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(asked) + 1))
    found = []
    for number in classes:
        hits = right[order[starts[number] : starts[number + 1]]]
        if asked[number] or len(hits):
            found.append(_ap(hits, int(asked[number])))
    return float(np.mean(found)) if found else 1.0


def _ap(hits: Bools, asked: int) -> float:
    """AP of one class over ``RECALLS``: the best precision at that recall or more."""
    if not asked or not len(hits):
        return 0.0
    true = np.cumsum(hits)
    precision = true / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(true / asked, RECALLS)
    return float(envelope[places[places < len(hits)]].sum() / len(RECALLS))
