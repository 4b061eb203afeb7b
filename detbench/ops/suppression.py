"""Non-maximum suppression and the choice of what goes into it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from detbench.structures import Detections

EXACT = 2.0**13
"""Coordinates below this have at least ten bits after the point in float32."""
FEW = 4
"""Times as many boxes as are wanted that ``survivors`` looks at first."""


def best_pairs(scores: Tensor, threshold: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best (candidate, class) pairs of one level.

    Args:
        scores: (N, C), in [0, 1]; N may be 0.
        threshold: pairs must score higher.
        count: at most this many.

    Returns:
        Scores (K,), candidate indices (K,) and class labels (K,), best first.
    """
    flat = scores.flatten()
    kept = (flat > threshold).nonzero()[:, 0]
    values, order = flat[kept].sort(descending=True, stable=True)
    chosen = kept[order[:count]]
    return values[:count], chosen // scores.shape[1], chosen % scores.shape[1]


def pairs_of_best(scores: Tensor, threshold: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """As ``best_pairs``, of the ``count`` candidates whose best class scores highest: all pairs."""
    best = scores.amax(dim=1).topk(min(count, len(scores))).indices
    values, index, labels = best_pairs(scores[best], threshold, scores[best].numel())
    return values, best[index], labels


def survivors(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float, count: int) -> Tensor:
    """The best ``count`` boxes that survive NMS at ``iou`` within their groups.

    NMS goes from the best box down, so those that survive among the best few survive among all:
    the rest is looked at only where the few do not yield ``count``.

    Args:
        boxes: (K, 4), xyxy; K may be 0.
        scores, groups: (K,).

    Returns:
        Their indices, (<= count,), best first.
    """
    order = scores.argsort(descending=True, stable=True)
    for most in (FEW * count, len(order)):
        first = order[:most]
        kept = batched_nms(boxes[first], scores[first], groups[first], iou)
        if len(kept) >= count or most >= len(order):
            break
    return first[kept[:count]]


def nms_by_class(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """NMS of each class alone, for detection.

    torchvision moves each class's boxes aside, to look at all of them at once. Where there are many
    classes or large images, float32 rounds what was moved (by 0.06 pixels at a thousand classes of
    1000 pixels), which changes decisions: then the classes are taken one by one.

    Args:
        boxes: (K, 4), xyxy; K may be 0.
        scores, labels: (K,).

    Returns:
        Indices of the survivors, (<= K,), best first.
    """
    if not len(boxes) or float(boxes.detach().abs().max()) * (int(labels.max()) + 1) < EXACT:
        return batched_nms(boxes, scores, labels, iou)
    order = labels.argsort(stable=True)
    sizes = labels[order].unique_consecutive(return_counts=True)[1].tolist()
    kept = torch.cat([one[nms(boxes[one], scores[one], iou)] for one in order.split(sizes)])
    kept = kept.sort().values  # equal scores keep their order
    return kept[scores[kept].argsort(descending=True, stable=True)]


def suppress(
    detections: Detections, iou: float, limit: int, keep_empty: bool = False
) -> Detections:
    """Class-wise NMS, best ``limit`` kept; ``iou`` 1 only sorts.

    Boxes without area are dropped unless ``keep_empty`` (as MMDetection does for RoI detectors).
    """
    if not keep_empty:
        sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
        detections = detections.taken((sides > 0).all(dim=1).nonzero()[:, 0])
    boxes, scores, labels = detections.boxes, detections.scores, detections.labels
    if iou < 1:
        kept = nms_by_class(boxes, scores, labels, iou)[:limit]
    else:
        kept = torch.argsort(scores, descending=True, stable=True)[:limit]
    return detections.taken(kept)
