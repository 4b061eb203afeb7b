"""Masks for targets that have boxes alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from detbench.structures import Targets


def filled(boxes: Tensor, height: int, width: int) -> Tensor:
    """(n, height, width): (n, 4) boxes, their corners cut to whole numbers."""
    masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    return masks


def with_masks(targets: Targets, height: int, width: int) -> Targets:
    """The same, each object filling its box in images of one size."""
    images = zip(targets.boxes, targets.valid, strict=True)
    masks = tuple(filled(boxes[valid], height, width) for boxes, valid in images)
    return replace(targets, masks=masks)
