"""Linear soft-NMS (Bodla et al. 2017, eq. 3), vectorised over the classes of an image."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from detbench.ops.boxes import pairwise_iou
from detbench.structures import Detections


def soft_suppress(detections: Detections, iou: float, lowest: float, limit: int) -> Detections:
    """Decay the scores of boxes that overlap a better one of their class by more than ``iou``.

    Boxes that fall to ``lowest`` or less are dropped; the best ``limit`` are kept. Takes one step
    for every box of the most frequent class at most, all classes at once.
    """
    # What is not above that falls no further and decays nothing that is.
    detections = detections.taken((detections.scores > lowest).nonzero()[:, 0])
    if len(detections) == 0:
        return detections
    boxes, labels = detections.boxes, detections.labels
    overlap = pairwise_iou(boxes, boxes) * (labels[:, None] == labels)
    decay = torch.where(overlap > iou, 1 - overlap, torch.ones_like(overlap))
    scores = detections.scores.clone()
    classes, group = labels.unique(return_inverse=True)
    waiting = torch.ones_like(scores, dtype=torch.bool)
    for _ in range(int(group.bincount().max())):
        alive = torch.where(waiting & (scores > lowest), scores, -1.0)
        best = alive.new_full((len(classes),), -1.0).scatter_reduce(0, group, alive, "amax")
        chosen = _first(alive == best[group], group, len(classes), best > 0)
        if len(chosen) == 0:
            break
        waiting[chosen] = False
        factor = decay[chosen].amin(dim=0)  # one box per class, so at most one factor below 1
        scores = torch.where(waiting, scores * factor, scores)
    kept = (scores > lowest).nonzero()[:, 0]
    order = kept[scores[kept].argsort(descending=True, stable=True)][:limit]
    return replace(detections, scores=scores).taken(order)


def _first(candidates: Tensor, group: Tensor, count: int, usable: Tensor) -> Tensor:
    """Index of the first candidate of every usable group."""
    size = len(candidates)
    index = torch.arange(size, device=group.device)
    index = torch.where(candidates, index, size)
    first = index.new_full((count,), size).scatter_reduce(0, group, index, "amin")
    return first[usable & (first < size)]
