"""All the metrics a data set is scored by, and what each depends on. No torch."""

from __future__ import annotations

from typing import Any

from detbench.evaluation import coco, voc
from detbench.evaluation.detections import GroundTruth
from detbench.recipe.experiment import Data, Evaluation, Voc


def score(
    data: Data | None,
    ground_truth: GroundTruth,
    results: list[dict[str, Any]],
    evaluation: Evaluation,
    evaluator: coco.Evaluator = "detbench",
    name: str = "results",
) -> dict[str, float | None]:
    """COCO's metrics, and on Pascal VOC its own after them.

    Args:
        data: what the ground truth is of; none is a file of the user's own.
        ground_truth, results, evaluation, evaluator, name: as ``coco.evaluate`` takes them.

    Returns:
        Metrics in [0, 1]; none where undefined.

    Raises:
        DataError: a result is malformed or names an unknown image or category.
    """
    metrics = coco.evaluate(ground_truth, results, evaluation, evaluator, name)
    if isinstance(data, Voc):
        metrics |= voc.evaluate(ground_truth, results, evaluation.limit)
    return metrics


def rules(data: Data | None, metric: str) -> dict[str, Any]:
    """What a metric's protocol says beyond that of COCO's metrics on other data.

    Returns:
        Keys that add to or replace the protocol's; empty unless ``data`` is Pascal VOC.
    """
    if not isinstance(data, Voc):
        return {}
    if metric not in voc.METRICS:
        return {"difficult": "as COCO's crowds"}
    return {
        "evaluator": "detbench, by the rules of VOC's development kit",
        "average": "11 points" if metric == "VOC07" else "area",
        "iou": voc.IOU,
        "pixels": "inclusive (+1)",
        "difficult": "ignored",
    }


def sentence(data: Data | None) -> str | None:
    """What to say below a table of scores on this data beside the protocol of COCO's metrics."""
    if not isinstance(data, Voc):
        return None
    return (
        f"Difficult objects count as crowds. VOC07 (11 points) and VOC (area) are VOC's own mean "
        f"AP at IoU {voc.IOU:g}, widths with the last pixel (+1), difficult objects ignored, any "
        f"number of detections."
    )
