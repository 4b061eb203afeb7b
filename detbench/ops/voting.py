"""Score voting: boxes that survive NMS are moved by those around them (PAA, section 3.4)."""

from __future__ import annotations

from dataclasses import replace

import torch

from detbench.ops.boxes import pairwise_iou
from detbench.structures import Detections

LEAST_IOU = 0.01


def vote(kept: Detections, every: Detections, spread: float) -> Detections:
    """Each box becomes the mean of all boxes of its class that overlap it (PAA, eq. 9).

    A box counts by its score times exp(-(1 - IoU)^2 / spread).

    Args:
        kept: of one image, after NMS; may be none.
        every: what NMS was given.
        spread: 0.025 in the paper.
    """
    if not len(kept):
        return kept
    iou = pairwise_iou(kept.boxes, every.boxes)
    near = (iou > LEAST_IOU) & (kept.labels[:, None] == every.labels)
    weight = (-(1 - iou).square() / spread).exp() * every.scores * near
    total = weight.sum(dim=-1, keepdim=True)
    mean = torch.where(total > 0, weight @ every.boxes / total, kept.boxes)
    extremes = every.boxes.aminmax(dim=0)  # which rounding could pass
    return replace(kept, boxes=mean.clamp(extremes.min, extremes.max))
