"""Detections and objects as columns of numbers, checked; the way from JSON to arrays. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.data.coco_boxes import is_whole
from detbench.data.coco_check import Table, federated
from detbench.errors import DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """Detections on the evaluated images, in the order of the results.

    Attributes:
        images, labels: (D,), positions among the sorted ids of images and of categories.
        boxes: (D, 4), x, y, w, h in pixels of the original image; zeros where only masks matter.
        scores: (D,).
        rows: (D,), which of the results each is.
    """

    images: Ints
    labels: Ints
    boxes: Floats
    scores: Floats
    rows: Ints

    def taken(self, order: Ints) -> Found:
        """Those at ``order``, in its order."""
        return Found(
            self.images[order],
            self.labels[order],
            self.boxes[order],
            self.scores[order],
            self.rows[order],
        )


@dataclass(frozen=True)
class Truth:
    """Objects on the evaluated images, in the order of the annotations.

    Attributes:
        image_ids: (I,), ascending, evaluated ones.
        category_ids: (K,), ascending.
        names: of the K categories.
        images, labels: (G,), positions in those.
        boxes: (G, 4), x, y, w, h in pixels.
        areas: (G,), square pixels, as annotated.
        crowd: (G,).
        marks: (G,), as of ``Table``.
        verified: (V, 2), positions of images and labels; none where all classes are.
        ancestors: of each label, those above it; none as of ``Table``.
    """

    image_ids: Ints
    category_ids: Ints
    names: tuple[str, ...]
    images: Ints
    labels: Ints
    boxes: Floats
    areas: Floats
    crowd: Flags
    marks: Ints | None = None
    verified: Ints | None = None
    ancestors: tuple[Ints, ...] | None = None


GroundTruth = dict[str, Any] | Table
"""COCO instances: its dictionary, or a file's annotations as they were read and checked."""


def image_ids(ground_truth: GroundTruth) -> list[int]:
    """Ids of all images, in its order."""
    if isinstance(ground_truth, Table):
        return ground_truth.image_ids.tolist()
    return [image["id"] for image in ground_truth["images"]]


def truth_columns(ground_truth: GroundTruth, limit: int | None = None) -> Truth:
    """Columns of COCO instances.

    Args:
        ground_truth: ``images``, ``annotations`` and ``categories``. An annotation without ``area``
            takes its box's, one without ``iscrowd`` is no crowd.
        limit: only the first this many images; none is all.
    """
    if isinstance(ground_truth, Table):
        return _of_table(ground_truth, limit)
    image_ids = np.unique(_whole(image["id"] for image in ground_truth["images"][:limit]))
    categories = sorted(ground_truth["categories"], key=lambda one: one["id"])
    category_ids = _whole(one["id"] for one in categories)
    names = tuple(str(one.get("name", one["id"])) for one in categories)
    items = ground_truth["annotations"]
    images = positions(image_ids, _whole(item["image_id"] for item in items))
    rows = np.flatnonzero(images >= 0)
    labels = positions(category_ids, _whole(item["category_id"] for item in items))
    boxes = np.array([item["bbox"] for item in items], np.float64).reshape(-1, 4)
    sides = zip(boxes[:, 2].tolist(), boxes[:, 3].tolist(), strict=True)
    areas = [
        float(item.get("area", width * height))
        for item, (width, height) in zip(items, sides, strict=True)
    ]
    crowd = [bool(item.get("iscrowd", 0)) for item in items]
    marked = bool(items) and all("marks" in item for item in items)
    return Truth(
        image_ids,
        category_ids,
        names,
        images[rows],
        labels[rows],
        boxes[rows],
        np.array(areas, np.float64)[rows],
        np.array(crowd, np.bool_)[rows],
        _whole(item["marks"] for item in items)[rows] if marked else None,
        ancestors=_ancestors(categories, category_ids),
    )


def _ancestors(categories: list[dict[str, Any]], ids: Ints) -> tuple[Ints, ...] | None:
    """Labels above each label, of ids under ``ancestors``."""
    if not any("ancestors" in one for one in categories):
        return None
    return tuple(positions(ids, _whole(one.get("ancestors", ()))) for one in categories)


def _of_table(table: Table, limit: int | None) -> Truth:
    image_ids = table.image_ids[:limit]
    rows = slice(int(np.searchsorted(table.image_rows, len(image_ids))))  # they are in order
    return Truth(
        image_ids,
        _whole(number for number, _ in table.categories),
        tuple(name for _, name in table.categories),
        *(table.image_rows[rows], table.labels[rows], table.boxes[rows], table.areas[rows]),
        table.crowd[rows] != 0,
        None if table.marks is None else table.marks[rows],
        None if table.verified is None else _up_to(table.verified, len(image_ids)),
        table.ancestors,
    )


def _up_to(verified: Ints, images: int) -> Ints:
    """Those pairs that are about the first images, whatever their order."""
    return verified[verified[:, 0] < images]


def found_columns(results: list[dict[str, Any]], truth: Truth, boxes: bool = True) -> Found:
    """Columns of COCO results, checked by ``check_results``: those on the images of ``truth``."""
    image_ids, category_ids, sides, scores = _arrays(results, boxes)
    images = positions(truth.image_ids, image_ids)
    labels = positions(truth.category_ids, category_ids)
    found = Found(images, labels, sides, scores, np.arange(len(images)))
    rows = np.flatnonzero(images >= 0)
    return found if len(rows) == len(images) else found.taken(rows)


def check_results(
    ground_truth: GroundTruth, results: Any, name: str = "results", boxes: bool = True
) -> None:
    """Raise ``DataError``, one line, unless ``results`` are COCO results on ``ground_truth``.

    Without ``boxes`` nobody asks for them, as where only masks are scored. Half a million
    detections are checked column by column; only where something looks wrong, one by one, which
    takes seconds.
    """
    if not isinstance(results, list):
        raise DataError(
            f"{name}: COCO results are a list of detections, this is {_kind(results)}: "
            "give the file that holds detections, not annotations"
        )
    _whole_images(ground_truth)
    images, categories = _known(ground_truth)
    if _plain(results, boxes) and _sound(results, images, categories, boxes):
        return
    known = set(images.tolist()), set(categories.tolist())
    for index, item in enumerate(results):
        problem = _problem(item, *known, boxes)
        if problem:
            raise DataError(f"{name}: detection {index}: {problem}")


def _whole_images(ground_truth: GroundTruth) -> None:
    """Refuse annotations that say nothing of most classes: LVIS's rules are not COCO's."""
    if isinstance(ground_truth, Table):
        found, source = ground_truth.federated, f"{ground_truth.source(0)}: "
    else:
        found, source = federated(ground_truth["images"]), ""
    if found:
        raise DataError(
            f"{source}its images name the classes that were looked for (neg_category_ids), as "
            "LVIS's "
            "do: COCO's rules would call right boxes of the others wrong: score it with the "
            "package "
            "lvis, or leave these fields out to have COCO's rules"
        )


def _plain(results: list[Any], boxes: bool) -> bool:
    """Whether all have the keys, and values of JSON's own types."""
    try:
        images, labels, scores = (
            [item[key] for item in results] for key in ("image_id", "category_id", "score")
        )
        sides = [item["bbox"] for item in results] if boxes else []
        return (
            all(map(is_whole, chain(images, labels)))
            and _types(scores) <= {int, float}
            and _types(sides) <= {list, tuple}
            and set(map(len, sides)) <= {4}
            and _types(chain.from_iterable(sides)) <= {int, float}
        )
    except (KeyError, TypeError, IndexError):
        return False


def _known(ground_truth: GroundTruth) -> tuple[Ints, Ints]:
    """Ids of images and of categories, ascending."""
    if isinstance(ground_truth, Table):
        return ground_truth.image_ids, _whole(number for number, _ in ground_truth.categories)
    images, categories = (ground_truth[name] for name in ("images", "categories"))
    return np.unique(_whole(one["id"] for one in images)), np.unique(
        _whole(one["id"] for one in categories)
    )


def _sound(results: list[Any], images: Ints, categories: Ints, boxes: bool) -> bool:
    """Whether all ids are known, numbers finite and sides not negative."""
    try:
        image_ids, category_ids, sides, scores = _arrays(results, boxes)
    except OverflowError:
        return False
    return bool(
        (positions(images, image_ids) >= 0).all()
        and (positions(categories, category_ids) >= 0).all()
        and np.isfinite(sides).all()
        and np.isfinite(scores).all()
        and (sides[:, 2:] >= 0).all()
    )


def _arrays(results: list[dict[str, Any]], boxes: bool) -> tuple[Ints, Ints, Floats, Floats]:
    """Image ids, category ids, boxes (zeros if they are not wanted) and scores."""
    sides = chain.from_iterable(item["bbox"] if boxes else (0.0,) * 4 for item in results)
    return (
        _whole(item["image_id"] for item in results),
        _whole(item["category_id"] for item in results),
        np.fromiter(sides, np.float64, 4 * len(results)).reshape(-1, 4),
        np.array([item["score"] for item in results], np.float64),
    )


def positions(known: Ints, wanted: Ints) -> Ints:
    """Index of each of ``wanted``, (n,), in ``known``, ascending; -1 where it is not in it."""
    if not len(known):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, places, -1)


def _types(values: Iterable[Any]) -> set[type]:
    return set(map(type, values))


def _whole(values: Iterable[int]) -> Ints:
    return np.array(list(values), np.int64)


def _problem(item: Any, images: set[int], categories: set[int], boxes: bool) -> str | None:
    """What is wrong with one detection, or none."""
    what = "bbox" if boxes else "segmentation"
    if not isinstance(item, dict):
        return f"expected an object with image_id, category_id, {what} and score, not {_kind(item)}"
    missing = [key for key in ("image_id", "category_id", what, "score") if key not in item]
    if missing:
        return f"lacks {', '.join(missing)}"
    if not _among(item["image_id"], images):
        return f"image_id {item['image_id']!r} is not in the annotations"
    if not _among(item["category_id"], categories):
        known = ", ".join(str(number) for number in sorted(categories)[:5])
        return f"category_id {item['category_id']!r} is not in the annotations ({known}, ...)"
    return (_box_problem(item["bbox"]) if boxes else None) or _score_problem(item["score"])


def _box_problem(box: Any) -> str | None:
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(map(_finite, box))):
        return f"bbox must be four finite numbers x, y, width, height, not {box!r}"
    if box[2] < 0 or box[3] < 0:
        return f"bbox {box!r} has a negative width or height: it is x, y, width, height"
    return None


def _score_problem(score: Any) -> str | None:
    return None if _finite(score) else f"score must be a finite number, not {score!r}"


def _among(value: Any, known: set[int]) -> bool:
    """Whether an id is a known one; anything that is not a whole number is not."""
    return is_whole(value) and value in known


def _finite(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= MAXIMUM if isinstance(value, int) else math.isfinite(value)


MAXIMUM = 2**1023  # whole numbers beyond are no float64


def _kind(value: Any) -> str:
    """A value's JSON type, in words."""
    names = {dict: "an object", str: "a text", list: "a list", type(None): "null"}
    return names.get(type(value), "a number")


def order_by(*keys: Sequence[Any] | NDArray[Any]) -> Ints:
    """Rows in stable order of the first key, then the next, (n,)."""
    return np.lexsort(keys[::-1])


def iou(first: Floats, second: Floats, crowd: Flags | bool = False, pixel: float = 0.0) -> Floats:
    """IoU of boxes x, y, w, h, (..., 4) each, broadcast to (...), in [0, 1].

    Computed in pycocotools' order, whose results it equals bit for bit. Of boxes that do not meet
    it is 0.

    Args:
        crowd: (...), where ``second`` is a crowd: the share of ``first`` inside it.
        pixel: how much wider and higher than its sides a box is: 1 in Pascal VOC's kit.
    """
    width, height = (
        np.minimum(first[..., i + 2] + first[..., i], second[..., i + 2] + second[..., i])
        - np.maximum(first[..., i], second[..., i])
        + pixel
        for i in (0, 1)
    )
    meet = (width > 0) & (height > 0)
    inner = width * height
    own, other = ((one[..., 2] + pixel) * (one[..., 3] + pixel) for one in (first, second))
    union = np.where(crowd, own, own + other - inner)
    return np.divide(inner, union, out=np.zeros_like(inner), where=meet & (union > 0))
