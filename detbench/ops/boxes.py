"""Boxes as ``xyxy`` float pixels: overlap for batches, distances, clipping."""

from __future__ import annotations

import math

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


LEAST = 1e-7
"""Added to what losses of overlap divide by."""


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - GIoU of corresponding boxes (Rezatofighi et al. 2019, algorithm 1), in [0, 2].

    Args:
        boxes, targets: (..., 4), sides not negative; a box without area has IoU 0.

    Returns:
        (...); follows the boxes' gradient also where they are apart.
    """
    iou, union, hull_sides = _overlap(boxes, targets)
    hull = _product(hull_sides)
    return 1 - (iou - (hull - union) / (hull + LEAST))


def diou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - IoU + (distance of the centres / diagonal of the hull)^2 (Zheng et al. 2020, eq. 7).

    Takes and gives what ``giou_loss`` does, in [0, 2].
    """
    iou, _, hull_sides = _overlap(boxes, targets)
    apart = (centers(boxes) - centers(targets)).square().sum(dim=-1)
    return 1 - iou + apart / (hull_sides.square().sum(dim=-1) + LEAST)


def ciou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """DIoU loss + alpha v, v by how far the aspects are apart (Zheng et al. 2020, eqs. 8 to 11).

    v = 4 / pi^2 (arctan(w' / h') - arctan(w / h))^2 and alpha = v / (1 - IoU + v), which passes no
    gradient on. The gradient of v is its own: section 3.3 takes 1 for w^2 + h^2 because its sides
    are shares of the image, where ours are pixels. Sides below a thousandth of a pixel count as
    that much.
    """
    iou = _overlap(boxes, targets)[0].detach()
    turn = _slope(targets) - _slope(boxes)
    aspects = (2 * turn / math.pi).square()
    alpha = aspects.detach() / (1 - iou + aspects.detach() + LEAST)
    return diou_loss(boxes, targets) + alpha * aspects


def _slope(boxes: Tensor) -> Tensor:
    """(..., 4) to (...): the angle whose tangent is width / height."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    return torch.atan2(sides[..., 0], sides[..., 1])


def _overlap(boxes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """IoU and union of corresponding boxes, (...) each, and the sides of their hulls, (..., 2)."""
    low, high = boxes.split(2, dim=-1)
    target_low, target_high = targets.split(2, dim=-1)
    shared = torch.minimum(high, target_high) - torch.maximum(low, target_low)
    hull = torch.maximum(high, target_high) - torch.minimum(low, target_low)
    overlap = _product(shared.clamp(min=0))
    union = _product(high - low) + _product(target_high - target_low) - overlap
    return overlap / (union + LEAST), union, hull


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
