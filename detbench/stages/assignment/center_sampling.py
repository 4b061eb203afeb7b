"""The centre prior: places in a square around an object's centre (FCOS's centre sampling)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detbench.ops.boxes import centers, side_distances
from detbench.ops.candidates import Candidates


def in_center(points: Tensor, strides: Tensor, boxes: Tensor, radius: float) -> Tensor:
    """Whether places are inside a square of ``radius`` strides to each side, cut to the object.

    Args:
        points: (..., 2); strides: (...); boxes: (..., 4), broadcast.
        radius: 0 takes the whole object.

    Returns:
        (...), bool; what is on an edge is outside.
    """
    if radius == 0:
        return side_distances(points, boxes).amin(dim=-1) > 0
    reach = (strides * radius)[..., None]
    middle = centers(boxes)
    low = torch.maximum(middle - reach, boxes[..., :2])
    high = torch.minimum(middle + reach, boxes[..., 2:])
    core = torch.cat((low, high), dim=-1)
    return side_distances(points, core).amin(dim=-1) > 0


def around(candidates: Candidates, boxes: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Those places of each level that can be in objects' centres, so that few pairs are looked at.

    Args:
        boxes: (B, G, 4).
        radius: see ``in_center``; 0 takes all places.

    Returns:
        Indices (B, G, K), level after level and nearest first: all that are in the centre, and
        the nearest others; and which are in it, (B, G, K), bool.
    """
    index = torch.arange(len(candidates.points), device=boxes.device)
    if radius == 0:
        index = index.expand(*boxes.shape[:2], -1)
    else:
        side, start, found = math.ceil(2 * radius) + 1, 0, []
        middles = centers(boxes)[:, :, None]
        for count in candidates.counts:
            points = candidates.points[start : start + count]
            distance = (middles - points).abs().amax(dim=-1)
            most = min(count, candidates.per_cell * side**2)
            found.append(distance.topk(most, dim=-1, largest=False).indices + start)
            start += count
        index = torch.cat(found, dim=-1)
    points, strides = candidates.points[index], candidates.strides[index]
    return index, in_center(points, strides, boxes[:, :, None], radius)
