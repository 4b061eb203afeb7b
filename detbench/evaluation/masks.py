"""Masks of detections and objects, and how they overlap. No torch.

pycocotools computes areas and overlaps, so that these are its own to the last bit. Sizes are of
masks: a detection's is its number of pixels, an object's its annotated area (MMDetection and
detectron2 do so too; where detections have boxes as well, COCO's ``loadRes`` takes those').
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from detbench.data.coco_check import Table
from detbench.data.segmentations import Damaged, Segmentations, parse
from detbench.errors import DataError
from detbench.evaluation.detections import (
    Flags,
    Floats,
    Found,
    GroundTruth,
    Ints,
    Truth,
    found_columns,
    positions,
    truth_columns,
)

Overlaps = Callable[[Ints, Ints], Floats]
"""IoU of pairs: rows of detections and of objects, (P,) each, to (P,)."""

_AT_ONCE = 10_000


@dataclass(frozen=True)
class Masks:
    """Masks of the rows of ``Found`` or ``Truth``, in their order.

    Attributes:
        held: more of them, perhaps.
        rows: (n,), which of ``held``.
    """

    held: Segmentations
    rows: Ints

    def rles(self, which: Ints) -> list[dict[str, Any]]:
        """Compressed RLEs of some."""
        return self.held.rles(self.rows[which])

    def areas(self) -> Floats:
        """Pixels of each, (n,)."""
        from pycocotools import mask

        portions = np.split(np.arange(len(self.rows)), range(_AT_ONCE, len(self.rows), _AT_ONCE))
        found = [mask.area(self.rles(some)) for some in portions if len(some)]
        return np.concatenate([np.zeros(0), *found])


def of(results: Any) -> bool:
    """Whether results are of masks, as the first one tells."""
    return _first_has(results, "segmentation")


def beside_boxes(results: Any) -> bool:
    """Whether results have boxes, as the first one tells."""
    return _first_has(results, "bbox")


def _first_has(results: Any, key: str) -> bool:
    first = results[0] if isinstance(results, list) and results else None
    return isinstance(first, dict) and key in first


def annotated(ground_truth: GroundTruth) -> bool:
    """Whether a ground truth was read with masks, and has any."""
    if isinstance(ground_truth, Table):
        return ground_truth.masks is not None and bool(ground_truth.masks.present.any())
    return any(one.get("segmentation") for one in ground_truth["annotations"])


def of_objects(ground_truth: GroundTruth, truth: Truth) -> tuple[Truth, Masks]:
    """The objects of ``truth`` that have a segmentation, and their masks; others do not count.

    Args:
        truth: columns of ``ground_truth``.

    Raises:
        DataError: a segmentation is damaged, or there is none at all.
    """
    if not annotated(ground_truth):
        raise DataError(
            "the ground truth has no masks to score detections' masks against: give annotations "
            "with segmentations"
        )
    held = _table_masks(ground_truth) or _dictionary_masks(ground_truth, truth)
    rows = np.flatnonzero(held.present[: len(truth.images)])
    kept = replace(
        truth,
        images=truth.images[rows],
        labels=truth.labels[rows],
        boxes=truth.boxes[rows],
        areas=truth.areas[rows],
        crowd=truth.crowd[rows],
        marks=None,
    )
    return kept, Masks(held, rows)


def _table_masks(ground_truth: GroundTruth) -> Segmentations | None:
    return ground_truth.masks if isinstance(ground_truth, Table) else None


def _dictionary_masks(ground_truth: Any, truth: Truth) -> Segmentations:
    """Of the annotations on the images of ``truth``, in their order."""
    ids = np.array([one["image_id"] for one in ground_truth["annotations"]], np.int64)
    items = [ground_truth["annotations"][row] for row in _on(truth, ids)]
    try:
        return parse(
            [one.get("segmentation") for one in items], sizes(ground_truth, truth)[truth.images]
        )
    except Damaged as error:
        name = items[error.row].get("id")
        raise DataError(f"annotation {name} {error.problem}; {error.advice}") from None


def _on(truth: Truth, ids: Ints) -> list[int]:
    found: list[int] = np.flatnonzero(positions(truth.image_ids, ids) >= 0).tolist()
    return found


def sizes(ground_truth: GroundTruth, truth: Truth) -> Ints:
    """Height and width of the images of ``truth``, (I, 2)."""
    if isinstance(ground_truth, Table):
        return ground_truth.image_sizes[: len(truth.image_ids), ::-1]
    try:
        known = {one["id"]: (one["height"], one["width"]) for one in ground_truth["images"]}
    except KeyError:
        raise DataError(
            "the ground truth's images have no height and width, which their masks need: add them"
        ) from None
    found = [known[image] for image in truth.image_ids.tolist()]
    return np.array(found, np.int64).reshape(-1, 2)


def of_detections(
    results: list[dict[str, Any]], found: Found, sizes: Ints, name: str = "results"
) -> Masks:
    """Masks of detections.

    Args:
        results: COCO results.
        found: of them, by ``rows``.
        sizes: height and width of the images, (I, 2).
        name: of the results, for messages.

    Raises:
        DataError: a segmentation is damaged, or there is none.
    """
    rows = found.rows.tolist()
    try:
        held = parse([results[row].get("segmentation") for row in rows], sizes[found.images])
        if not held.present.all():
            advice = "every one of these results has a mask: give it one, or take them all away"
            raise Damaged(int(np.argmin(held.present)), "has no segmentation", advice)
    except Damaged as error:
        problem = f"detection {rows[error.row]}: {error.problem}; {error.advice}"
        raise DataError(f"{name}: {problem}") from None
    return Masks(held, np.arange(len(rows)))


def overlaps(found: Masks, objects: Masks, crowd: Flags) -> Overlaps:
    """IoU of masks; of a crowd the share of the detection that is in it.

    Returns:
        A function of pairs, which are all those of an image and class together, a detection's one
        after another.
    """
    from pycocotools import mask

    flags = crowd.astype(np.uint8)

    def of_pairs(left: Ints, right: Ints) -> Floats:
        pieces = [np.zeros(0)]
        starts = np.flatnonzero(np.diff(left, prepend=-1))
        groups = np.append(np.flatnonzero(np.diff(right[starts], prepend=-1)), len(starts))
        counts = np.diff(starts, append=len(left))
        for first, last in pairwise(groups.tolist()):
            which = left[starts[first:last]]
            against = right[starts[first] : starts[first] + counts[first]]
            ious = mask.iou(found.rles(which), objects.rles(against), flags[against])
            pieces.append(ious.ravel())
        return np.concatenate(pieces)

    return of_pairs


def as_dictionaries(
    ground_truth: GroundTruth, results: list[dict[str, Any]], name: str = "results"
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and detections as COCO's tools take them, with compressed RLEs and areas of
    masks; objects without a segmentation are left out.

    Raises:
        DataError: as ``of_objects`` and ``of_detections``.
    """
    truth = truth_columns(ground_truth)
    found = found_columns(results, truth, boxes=False)
    seen = of_detections(results, found, sizes(ground_truth, truth), name)
    objects, held = of_objects(ground_truth, truth)
    annotations = _items(truth, objects, held, objects.areas)
    for one, crowd in zip(annotations, objects.crowd.tolist(), strict=True):
        one["iscrowd"] = int(crowd)
    detections = _items(truth, found, seen, seen.areas())
    for one, score in zip(detections, found.scores.tolist(), strict=True):
        one["score"] = score
    listed = ground_truth.ground_truth("") if isinstance(ground_truth, Table) else ground_truth
    return {**listed, "annotations": annotations}, detections


def _items(truth: Truth, of: Truth | Found, masks: Masks, areas: Floats) -> list[dict[str, Any]]:
    """What annotations and detections have in common."""
    rows = zip(
        truth.image_ids[of.images].tolist(),
        truth.category_ids[of.labels].tolist(),
        of.boxes.tolist(),
        areas.tolist(),
        masks.rles(np.arange(len(areas))),
        strict=True,
    )
    names = ("image_id", "category_id", "bbox", "area", "segmentation")
    return [dict(zip(names, row, strict=True)) | {"iscrowd": 0} for row in rows]
