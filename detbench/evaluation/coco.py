"""COCO's box metrics, by either engine, for any number of detections per image.

Both engines fill the same arrays of precision and recall. COCO's own summary of them assumes 1, 10
and 100 detections per image and writes -1 for what is not defined, so the figures are taken from
the arrays here, in COCO's order of summation. With ``pycocotools`` they are its own, bit for bit;
``faster`` may be 1e-15 above, as pycocotools divides by n + 2e-16, which only n = 1 notices.

No torch.
"""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any, Literal

import numpy as np

from detbench.errors import DataError
from detbench.recipe.experiment import Evaluation

Evaluator = Literal["faster", "pycocotools"]
THRESHOLDS = tuple(range(50, 100, 5))
AREAS = ("", "s", "m", "l")
METRICS = (
    *("AP", *(f"AP{percent}" for percent in THRESHOLDS)),
    *("APs", "APm", "APl", "AR", "ARs", "ARm", "ARl"),
)
UNBOUNDED = 1e5**2  # COCO's largest area


def evaluate(
    ground_truth: dict[str, Any],
    results: list[dict[str, Any]],
    evaluation: Evaluation,
    evaluator: Evaluator = "faster",
) -> dict[str, float | None]:
    """Average precision and recall of ``results`` (COCO: Lin et al. 2014, its evaluation page).

    Args:
        ground_truth: COCO instances: ``images``, ``annotations`` and ``categories``. An annotation
            without ``area`` takes its box's, one without ``iscrowd`` is no crowd.
        results: COCO results: ``image_id``, ``category_id``, ``bbox`` (x, y, w, h) in pixels of the
            original image, ``score``. May be empty: then every defined metric is 0.
        evaluation: detections per image and class, bounds of the areas, and number of images;
            results of images beyond that number are not counted.
        evaluator: ``faster`` is faster-coco-eval, ``pycocotools`` COCO's own code.

    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50 .. AP95, APs, APm, APl, AR (mean over the IoUs at
        ``max_detections``), ARs, ARm, ARl, each in [0, 1]; none where no object has that
        size.

    Raises:
        DataError: a result is malformed or names an unknown image or category.
    """
    check_results(ground_truth, results)
    images = [image["id"] for image in ground_truth["images"]][: evaluation.limit]
    wanted = set(images)
    objects = [_object(item) for item in ground_truth["annotations"] if item["image_id"] in wanted]
    if all(item["iscrowd"] for item in objects):
        return dict.fromkeys(METRICS)
    detections = [_detection(item) for item in results if item["image_id"] in wanted]
    truth = _dataset(ground_truth, images, objects)
    found = _dataset(ground_truth, images, detections)
    run = _pycocotools if evaluator == "pycocotools" else _faster
    return _metrics(*run(truth, found, evaluation))


def check_results(ground_truth: dict[str, Any], results: Any, name: str = "results") -> None:
    """Raise ``DataError``, one line, unless ``results`` are COCO results on ``ground_truth``."""
    if not isinstance(results, list):
        raise DataError(
            f"{name}: COCO results are a list of detections, this is {_kind(results)}: "
            "give the file that holds detections, not annotations"
        )
    images = {image["id"] for image in ground_truth["images"]}
    categories = {category["id"] for category in ground_truth["categories"]}
    for index, item in enumerate(results):
        problem = _problem(item, images, categories)
        if problem:
            raise DataError(f"{name}: detection {index}: {problem}")


def _problem(item: Any, images: set[int], categories: set[int]) -> str | None:
    """What is wrong with one detection, or none."""
    if not isinstance(item, dict):
        return f"expected an object with image_id, category_id, bbox and score, not {_kind(item)}"
    missing = [key for key in ("image_id", "category_id", "bbox", "score") if key not in item]
    if missing:
        return f"lacks {', '.join(missing)}"
    if not _among(item["image_id"], images):
        return f"image_id {item['image_id']!r} is not in the annotations"
    if not _among(item["category_id"], categories):
        known = ", ".join(str(number) for number in sorted(categories)[:5])
        return f"category_id {item['category_id']!r} is not in the annotations ({known}, ...)"
    box = item["bbox"]
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(map(_finite, box))):
        return f"bbox must be four finite numbers x, y, width, height, not {box!r}"
    if box[2] < 0 or box[3] < 0:
        return f"bbox {box!r} has a negative width or height: it is x, y, width, height"
    if not _finite(item["score"]):
        return f"score must be a finite number, not {item['score']!r}"
    return None


def _among(value: Any, known: set[int]) -> bool:
    """Whether an id is a known one; anything that is not a whole number is not."""
    return isinstance(value, int) and not isinstance(value, bool) and value in known


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: Any) -> str:
    """A value's JSON type, in words."""
    names = {dict: "an object", str: "a text", list: "a list", type(None): "null"}
    return names.get(type(value), "a number")


def _object(item: dict[str, Any]) -> dict[str, Any]:
    """The part of an annotation that COCO's evaluation of boxes reads."""
    box = [float(side) for side in item["bbox"]]
    return {
        "image_id": item["image_id"],
        "category_id": item["category_id"],
        "bbox": box,
        "area": float(item.get("area", box[2] * box[3])),
        "iscrowd": int(item.get("iscrowd", 0)),
    }


def _detection(item: dict[str, Any]) -> dict[str, Any]:
    box = [float(side) for side in item["bbox"]]
    return {
        "image_id": item["image_id"],
        "category_id": item["category_id"],
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
        "score": float(item["score"]),
    }


def _dataset(
    ground_truth: dict[str, Any], images: list[int], items: list[dict[str, Any]]
) -> dict[str, Any]:
    """COCO's JSON of ``items``, numbered from 1: an id of 0 reads as unmatched in both engines."""
    for number, item in enumerate(items, start=1):
        item["id"] = number
    return {
        "images": [{"id": image} for image in images],
        "categories": [{"id": category["id"]} for category in ground_truth["categories"]],
        "annotations": items,
    }


def _areas(evaluation: Evaluation) -> list[list[float]]:
    """Bounds in square pixels of all, small, medium and large objects."""
    small = (32 * evaluation.area_scale) ** 2
    large = (96 * evaluation.area_scale) ** 2
    return [[0.0, UNBOUNDED], [0.0, small], [small, large], [large, UNBOUNDED]]


Arrays = tuple[np.ndarray, np.ndarray]


def _pycocotools(truth: dict[str, Any], found: dict[str, Any], evaluation: Evaluation) -> Arrays:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints, and cannot be asked not to
        sets = []
        for dataset in (truth, found):
            sets.append(COCO())
            sets[-1].dataset = dataset
            sets[-1].createIndex()
        return _accumulate(COCOeval(*sets, "bbox"), evaluation)


def _faster(truth: dict[str, Any], found: dict[str, Any], evaluation: Evaluation) -> Arrays:
    from faster_coco_eval import COCO, COCOeval_faster

    sets = [COCO(truth), COCO(found)]
    return _accumulate(COCOeval_faster(*sets, "bbox", print_function=lambda *_: None), evaluation)


def _accumulate(engine: Any, evaluation: Evaluation) -> Arrays:
    """Precision (T, R, K, 4, 1) and recall (T, K, 4, 1); -1 where nothing is defined."""
    engine.params.maxDets = [evaluation.max_detections]
    engine.params.areaRng = _areas(evaluation)
    engine.params.areaRngLbl = ["all", "small", "medium", "large"]
    engine.evaluate()
    engine.accumulate()
    return np.asarray(engine.eval["precision"]), np.asarray(engine.eval["recall"])


def _metrics(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for area, suffix in enumerate(AREAS):
        values[f"AP{suffix}"] = _mean(precision[:, :, :, area, 0])
        values[f"AR{suffix}"] = _mean(recall[:, :, area, 0])
    for index, percent in enumerate(THRESHOLDS):
        values[f"AP{percent}"] = _mean(precision[index, :, :, 0, 0])
    return {name: values[name] for name in METRICS}


def _mean(values: np.ndarray) -> float | None:
    defined = values[values > -1]
    return float(np.mean(defined)) if len(defined) else None
