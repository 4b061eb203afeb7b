"""Boxes as ``xyxy`` float pixels: overlap for batches, distances, clipping."""

from __future__ import annotations

import torch
from torch import Tensor


def areas(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy to (...) areas; inverted boxes have area 0."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return size[..., 0] * size[..., 1]


def centers(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy to (..., 2) centres."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of every pair, for batches.

    Args:
        first: (..., G, 4); second: (..., N, 4), leading dimensions broadcast. G or N may be 0.

    Returns:
        (..., G, N), in [0, 1]; two empty boxes overlap by 0.
    """
    return aligned_iou(first[..., :, None, :], second[..., None, :, :])


def aligned_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of corresponding boxes, (..., 4) and (..., 4), broadcast, to (...), in [0, 1]."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    size = (high - low).clamp(min=0)
    overlap = size[..., 0] * size[..., 1]
    return overlap / (areas(first) + areas(second) - overlap).clamp(min=1e-6)


def clip(boxes: Tensor, size: Tensor) -> Tensor:
    """Clip (..., 4) boxes to images of ``size`` (height, width), (..., 2), broadcast."""
    limit = size.flip(-1).to(boxes.dtype)
    limit = torch.cat((limit, limit), dim=-1)
    return torch.minimum(boxes.clamp(min=0), limit)


def side_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """Distances (left, top, right, bottom) from points (..., 2) to the sides of boxes (..., 4).

    All four are positive exactly where the point is inside.
    """
    return torch.cat((points - boxes[..., :2], boxes[..., 2:] - points), dim=-1)


def centerness(distances: Tensor) -> Tensor:
    """Centre-ness of side distances (FCOS, eq. 3), (..., 4) to (...), in [0, 1].

    Points outside their box have centre-ness 0.
    """
    left, top, right, bottom = distances.clamp(min=0).unbind(-1)
    ratio_x = torch.minimum(left, right) / torch.maximum(left, right).clamp(min=1e-12)
    ratio_y = torch.minimum(top, bottom) / torch.maximum(top, bottom).clamp(min=1e-12)
    return (ratio_x * ratio_y).sqrt()
