"""COCO's metrics of boxes and of masks, by any of three engines, for any number of detections.

All fill the same arrays of precision and recall. COCO's own summary of them assumes 1, 10 and 100
detections per image and writes -1 for what is not defined, so the figures are taken from the arrays
in ``accumulate``, in COCO's order of summation. ``detbench``, the default, equals ``pycocotools``
bit for bit; ``faster`` may be 1e-15 above, as pycocotools divides by n + 2e-16, which only n = 1
notices.

No torch.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

import numpy as np

from detbench.data.coco_check import Table
from detbench.evaluation.accumulate import metrics, summary
from detbench.evaluation.detections import GroundTruth, check_results
from detbench.evaluation.masks import as_dictionaries
from detbench.evaluation.matching import match
from detbench.evaluation.metric import MASK_METRICS, METRICS, bounds
from detbench.recipe.experiment import Evaluation

__all__ = ["METRICS", "Evaluator", "check_results", "evaluate"]

Evaluator = Literal["detbench", "faster", "pycocotools"]


def evaluate(
    ground_truth: GroundTruth,
    results: list[dict[str, Any]],
    evaluation: Evaluation,
    evaluator: Evaluator = "detbench",
    name: str = "results",
    masks: bool = False,
) -> dict[str, float | None]:
    """Average precision and recall of ``results`` (COCO: Lin et al. 2014, its evaluation page).

    Args:
        ground_truth: COCO instances: ``images``, ``annotations`` and ``categories``. An annotation
            without ``area`` takes its box's, one without ``iscrowd`` is no crowd.
        results: COCO results: ``image_id``, ``category_id``, ``bbox`` (x, y, w, h) in pixels of the
            original image, ``score``; ``segmentation`` in place of ``bbox`` for masks. May be
            empty: then every defined metric is 0.
        evaluation: detections per image and class, bounds of the areas, and number of images;
            results of images beyond that number are not counted.
        evaluator: ``detbench`` is ``matching``, ``faster`` faster-coco-eval, ``pycocotools`` COCO's
            own code.
        name: of the results, for messages.
        masks: of masks, as COCO's ``segm``: the same metrics, called ``maskAP`` and so on. An
            object without a segmentation does not count; see ``masks`` and ``segmentations``.

    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50 .. AP95, APs, APm, APl, AR (mean over the IoUs at
        ``max_detections``), ARs, ARm, ARl, each in [0, 1]; none where no object has that
        size.

    Raises:
        DataError: a result is malformed or names an unknown image or category.
    """
    if evaluator == "detbench":
        return metrics(match(ground_truth, results, evaluation, name, masks))
    check_results(ground_truth, results, name, boxes=not masks)
    names = MASK_METRICS if masks else METRICS
    whole: dict[str, Any]
    if masks:
        whole, results = as_dictionaries(ground_truth, results, name)
    elif isinstance(ground_truth, Table):
        whole = ground_truth.ground_truth("")
    else:
        whole = ground_truth
    images = whole["images"][: evaluation.limit]
    wanted = {image["id"] for image in images}
    kept = [item for item in whole["annotations"] if item["image_id"] in wanted]
    objects = kept if masks else [_object(item) for item in kept]
    if all(item["iscrowd"] for item in objects):
        return dict.fromkeys(names)
    seen = [item for item in results if item["image_id"] in wanted]
    detections = seen if masks else [_detection(item) for item in seen]
    truth = _dataset(whole, images, objects)
    found = _dataset(whole, images, detections)
    run = _pycocotools if evaluator == "pycocotools" else _faster
    return summary(*run(truth, found, evaluation, "segm" if masks else "bbox"), names)


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
    ground_truth: dict[str, Any], images: list[dict[str, Any]], items: list[dict[str, Any]]
) -> dict[str, Any]:
    """COCO's JSON of ``items``, numbered from 1: an id of 0 reads as unmatched in both engines."""
    for number, item in enumerate(items, start=1):
        item["id"] = number
    return {
        "images": [
            {key: image[key] for key in ("id", "height", "width") if key in image}
            for image in images
        ],
        "categories": [{"id": category["id"]} for category in ground_truth["categories"]],
        "annotations": items,
    }


Arrays = tuple[np.ndarray, np.ndarray]


def _pycocotools(
    truth: dict[str, Any], found: dict[str, Any], evaluation: Evaluation, kind: str
) -> Arrays:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints, and cannot be asked not to
        sets = []
        for dataset in (truth, found):
            sets.append(COCO())
            sets[-1].dataset = dataset
            sets[-1].createIndex()
        return _accumulate(COCOeval(*sets, kind), evaluation)


def _faster(
    truth: dict[str, Any], found: dict[str, Any], evaluation: Evaluation, kind: str
) -> Arrays:
    from faster_coco_eval import COCO, COCOeval_faster

    sets = [COCO(truth), COCO(found)]
    return _accumulate(COCOeval_faster(*sets, kind, print_function=lambda *_: None), evaluation)


def _accumulate(engine: Any, evaluation: Evaluation) -> Arrays:
    """Precision (T, 101, K, 4) and recall (T, K, 4); -1 where nothing is defined."""
    engine.params.maxDets = [evaluation.max_detections]
    engine.params.areaRng = bounds(evaluation)
    engine.params.areaRngLbl = ["all", "small", "medium", "large"]
    engine.evaluate()
    engine.accumulate()
    precision, recall = np.asarray(engine.eval["precision"]), np.asarray(engine.eval["recall"])
    return precision[..., 0], recall[..., 0]
