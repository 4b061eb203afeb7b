"""All the metrics a data set is scored by, and what each depends on. No torch.

COCO's on every one; beside them those of the data set's own protocol, a module that its kind names.
Such a module has ``METRICS``, their keys; ``evaluate(ground_truth, results, limit)``, which gives
them; ``rules(metric)``, what a metric's protocol says; ``SENTENCE``, what is said below scores.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from detbench.evaluation import coco, masks
from detbench.evaluation.detections import GroundTruth
from detbench.evaluation.metric import of_masks
from detbench.recipe.experiment import Data, Evaluation


def score(
    data: Data | None,
    ground_truth: GroundTruth,
    results: list[dict[str, Any]],
    evaluation: Evaluation,
    evaluator: coco.Evaluator = "detbench",
    name: str = "results",
) -> dict[str, float | None]:
    """COCO's metrics of boxes and of masks, whichever the results have, and the data set's own.

    Masks are scored where the ground truth was read with masks. Of no results at all every metric
    that it allows is given.

    Args:
        data: what the ground truth is of; none is a file of the user's own.
        ground_truth, results, evaluation, evaluator, name: as ``coco.evaluate`` takes them.

    Returns:
        Metrics in [0, 1]; none where undefined.

    Raises:
        DataError: a result is malformed or names an unknown image or category, or there are only
            masks, and the ground truth has none.
    """
    metrics: dict[str, float | None] = {}
    only_masks = masks.of(results) and not masks.beside_boxes(results)
    if not only_masks:
        metrics = coco.evaluate(ground_truth, results, evaluation, evaluator, name)
        if own := _own(data):
            metrics |= own.evaluate(ground_truth, results, evaluation.limit)
    known = masks.annotated(ground_truth)
    if only_masks or (known and (masks.of(results) or not results)):
        metrics |= coco.evaluate(ground_truth, results, evaluation, evaluator, name, masks=True)
    return metrics


def rules(data: Data | None, metric: str) -> dict[str, Any]:
    """What a metric's protocol says beyond that of COCO's metrics on other data.

    Returns:
        Keys that add to or replace the protocol's; empty on data without a protocol of its own.
    """
    if of_masks(metric):
        return {"overlap": "of masks; a detection's size is its mask's"}
    own = _own(data)
    return own.rules(metric) if own else {}


def sentence(data: Data | None) -> str | None:
    """What to say below a table of scores on this data beside the protocol of COCO's metrics."""
    own = _own(data)
    return own.SENTENCE if own else None


def _own(data: Data | None) -> Any:
    """The module of the data set's own protocol; none if it has none."""
    return import_module(data.protocol) if data is not None and data.protocol else None
