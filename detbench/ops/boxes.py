"""Boxes as ``xyxy`` float pixels: overlap for batches, distances, clipping."""

from __future__ import annotations

import torch
from torch import Tensor


def areas(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy to (...) areas; inverted boxes have area 0."""
    return _product((boxes[..., 2:] - boxes[..., :2]).clamp(min=0))


def _product(sides: Tensor) -> Tensor:
    """(..., 2) to (...); the gradient of ``torch.prod`` waits for the device."""
    return sides[..., 0] * sides[..., 1]


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
    overlap = _product((high - low).clamp(min=0))
    return overlap / (areas(first) + areas(second) - overlap).clamp(min=1e-6)


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - GIoU of corresponding boxes (Rezatofighi et al. 2019, algorithm 1), in [0, 2].

    Args:
        boxes, targets: (..., 4), sides not negative; a box without area has IoU 0.

    Returns:
        (...); follows the boxes' gradient also where they are apart.
    """
    least = 1e-7
    low, high = boxes.split(2, dim=-1)
    target_low, target_high = targets.split(2, dim=-1)
    shared = torch.minimum(high, target_high) - torch.maximum(low, target_low)
    hull = _product(torch.maximum(high, target_high) - torch.minimum(low, target_low))
    overlap = _product(shared.clamp(min=0))
    union = _product(high - low) + _product(target_high - target_low) - overlap
    return 1 - (overlap / (union + least) - (hull - union) / (hull + least))


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
