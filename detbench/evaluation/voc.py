"""Pascal VOC's own average precision, as its development kit computes it (VOCevaldet, VOCap).

Detections of a class are taken in order of score. Each is held against the object of its image and
class that it overlaps most, whether or not that one was found before: from the threshold on, it is
right if the object is new and wrong (a duplicate) if it is not, and is not counted at all if the
object is difficult. Difficult objects need not be found. COCO's metrics differ in all of this.

Recall levels of the 11-point AP are exact tenths; in the kit's floating point 0.3 is a little more.

No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.evaluation.detections import (
    Floats,
    Found,
    GroundTruth,
    Ints,
    Truth,
    found_columns,
    truth_columns,
)
from detbench.evaluation.detections import iou as overlaps

IOU = 0.5
METRICS = ("VOC07", "VOC")
"""Of the block ``own score`` of ``recipe.metrics``."""
SENTENCE = (
    f"Difficult objects count as crowds. VOC07 (11 points) and VOC (area) are VOC's own mean AP at "
    f"IoU {IOU:g}, widths with the last pixel (+1), difficult objects ignored, any number of "
    f"detections."
)


def rules(metric: str) -> dict[str, Any]:
    """What the protocol of a metric on this data says, COCO's metrics included."""
    if metric not in METRICS:
        return {"difficult": "as COCO's crowds"}
    return {
        "evaluator": "detbench, by the rules of VOC's development kit",
        "average": "11 points" if metric == "VOC07" else "area",
        "iou": IOU,
        "pixels": "inclusive (+1)",
        "difficult": "ignored",
    }


@dataclass(frozen=True)
class ClassScore:
    """Average precision of one class.

    Attributes:
        category_id: of the class.
        objects: how many there are to find; difficult ones are not counted.
        voc07: mean precision at recall 0, 0.1 .. 1 (VOC2007), in [0, 1]; none without objects.
        area: area below the curve (VOC2010 and later), in [0, 1]; none without objects.
    """

    category_id: int
    objects: int
    voc07: float | None
    area: float | None


def evaluate(
    ground_truth: GroundTruth,
    results: list[dict[str, Any]],
    limit: int | None = None,
    iou: float = IOU,
    inclusive: bool = True,
) -> dict[str, float | None]:
    """Mean of ``by_class`` over the classes that have objects.

    Returns:
        ``VOC07`` and ``VOC`` (area), in [0, 1]; none where no class has an object.
    """
    scores = by_class(ground_truth, results, limit, iou, inclusive)
    return {
        "VOC07": _mean([one.voc07 for one in scores]),
        "VOC": _mean([one.area for one in scores]),
    }


def by_class(
    ground_truth: GroundTruth,
    results: list[dict[str, Any]],
    limit: int | None = None,
    iou: float = IOU,
    inclusive: bool = True,
) -> list[ClassScore]:
    """Average precision of each class, by id.

    Args:
        ground_truth: COCO instances; a crowd (``iscrowd``) is a difficult object.
        results: COCO results, already checked; of equal scores the first comes first. There is no
            bound on their number per image.
        limit: only the first this many images; none is all.
        iou: a detection is right from this overlap on.
        inclusive: a box covers its last pixel too, so that width is x2 - x1 + 1, as in the kit and
            as ``data/voc.py`` reads boxes. Else it is x2 - x1.
    """
    truth = truth_columns(ground_truth, limit)
    found = found_columns(results, truth)
    scores = []
    for label, number in enumerate(truth.category_ids.tolist()):
        objects = np.flatnonzero(truth.labels == label)
        own = np.flatnonzero(found.labels == label)
        own = own[np.argsort(-found.scores[own], kind="stable")]
        difficult = truth.crowd[objects]
        count = int(np.count_nonzero(~difficult))
        if not count:
            scores.append(ClassScore(number, 0, None, None))
            continue
        right, wrong = judge(*best(truth, objects, found, own, float(inclusive)), difficult, iou)
        hits, misses = np.cumsum(right, dtype=np.int64), np.cumsum(wrong, dtype=np.int64)
        # Before the first that counts, precision is 0 / 0 in the kit, which its maxima pass over.
        precision = hits / np.maximum(hits + misses, 1)
        curves = (hits, precision, count)
        scores.append(ClassScore(number, count, eleven_points(*curves), area(*curves)))
    return scores


def best(
    truth: Truth, objects: Ints, found: Found, rows: Ints, pixel: float
) -> tuple[Ints, Floats]:
    """The object each detection overlaps most, the first of equals, and their IoU: (D,) each.

    -1 and 0 where its image has none.

    Args:
        objects, rows: those that are looked at, (G,) and (D,).
        pixel: how much wider and higher than its sides a box is.
    """
    chosen, overlap = np.full(len(rows), -1), np.zeros(len(rows))
    held, here = (_by_image(one) for one in (truth.images[objects], found.images[rows]))
    for image in held.keys() & here.keys():
        own, its = held[image], here[image]
        ious = overlaps(found.boxes[rows[its], None], truth.boxes[objects[own]], pixel=pixel)
        column = ious.argmax(axis=1)
        chosen[its] = own[column]
        overlap[its] = ious[np.arange(len(its)), column]
    return chosen, overlap


def _by_image(images: Ints) -> dict[int, Ints]:
    """Positions of each image, ascending."""
    if not len(images):
        return {}
    order = np.argsort(images, kind="stable")
    known, starts = np.unique(images[order], return_index=True)
    return dict(zip(known.tolist(), np.split(order, starts[1:]), strict=True))


def judge(
    best: Ints, overlap: Floats, difficult: NDArray[np.bool_], iou: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which detections, best first, are right and which are wrong: (D,) each."""
    hit = (best >= 0) & (overlap >= iou)
    counted = hit & ~difficult[best]  # best of -1 is the last object: not a hit, so no matter
    right = np.zeros(len(best), bool)
    rows = np.flatnonzero(counted)
    right[rows[np.unique(best[rows], return_index=True)[1]]] = True
    return right, ~hit | (counted & ~right)


def eleven_points(hits: Ints, precision: Floats, objects: int) -> float:
    """Mean over recall 0, 0.1 .. 1 of the best precision from there on (VOC2007's VOCap).

    Args:
        hits: right ones among the first k detections, (D,), D may be 0.
        precision: of the first k detections, (D,), in [0, 1].
        objects: how many there are to find, at least 1.
    """
    tenths = [precision[10 * hits >= level * objects] for level in range(11)]
    return sum(float(reached.max()) for reached in tenths if len(reached)) / 11


def area(hits: Ints, precision: Floats, objects: int) -> float:
    """Area below the precision made monotonous, over recall (VOC2010's VOCap). As above."""
    recall = np.concatenate(([0.0], hits / objects))
    ceiling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * ceiling))


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
