"""Non-maximum suppression and the choice of what goes into it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from detbench.structures import Detections


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


def suppress(
    detections: Detections, iou: float, limit: int, keep_empty: bool = False
) -> Detections:
    """Class-wise NMS, best ``limit`` kept; ``iou`` 1 only sorts.

    Boxes without area are dropped unless ``keep_empty`` (as MMDetection does for RoI detectors).
    """
    boxes, scores, labels = detections.boxes, detections.scores, detections.labels
    if not keep_empty:
        real = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1).nonzero()[:, 0]
        boxes, scores, labels = boxes[real], scores[real], labels[real]
    if iou < 1:
        kept = batched_nms(boxes, scores, labels, iou)[:limit]
    else:
        kept = torch.argsort(scores, descending=True, stable=True)[:limit]
    return Detections(boxes[kept], scores[kept], labels[kept])
