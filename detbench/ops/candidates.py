"""Candidates: the places at which a dense detector predicts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Candidates:
    """All candidates of one input size, level after level, rows before columns.

    Attributes:
        boxes: (N, 4), xyxy; for points a box of no size.
        points: (N, 2), centres.
        strides: (N,), of each candidate's level.
        counts: candidates of each level; they sum to N.
        levels: stride of each level.
    """

    boxes: Tensor
    points: Tensor
    strides: Tensor
    counts: list[int]
    levels: list[int]


@dataclass(frozen=True)
class Grid:
    """Anchors or points on a grid of cells.

    Attributes:
        shapes: per candidate of a cell its (width, height) in strides; (0, 0) for points.
        offset: position of the first centre in strides.
        whole_halves: half the anchors' sides are rounded to whole pixels, their scales down to
            whole ones before (torchvision).
    """

    shapes: tuple[tuple[float, float], ...]
    offset: float
    whole_halves: bool = False

    @property
    def per_cell(self) -> int:
        return len(self.shapes)

    def lay(self, sizes: list[tuple[int, int]], strides: list[int], like: Tensor) -> Candidates:
        """Lay the candidates over maps of (height, width) ``sizes``, on ``like``'s device."""
        device = like.device
        shapes = torch.tensor(self.shapes, device=device)
        boxes, counts, all_strides = [], [], []
        for (height, width), stride in zip(sizes, strides, strict=True):
            ys = (torch.arange(height, device=device) + self.offset) * stride
            xs = (torch.arange(width, device=device) + self.offset) * stride
            centers = torch.stack(
                (xs.expand(height, width), ys[:, None].expand(height, width)), dim=-1
            ).reshape(-1, 1, 2)
            half = shapes * (stride / 2)
            if self.whole_halves:
                half = _whole_halves(half)
            level = torch.cat((centers - half, centers + half), dim=-1).reshape(-1, 4)
            boxes.append(level)
            counts.append(len(level))
            all_strides.append(torch.full((len(level),), float(stride), device=device))
        stacked = torch.cat(boxes)
        points = (stacked[:, :2] + stacked[:, 2:]) / 2
        return Candidates(stacked, points, torch.cat(all_strides), counts, list(strides))


def _whole_halves(half: Tensor) -> Tensor:
    """Half the sides (A, 2) of anchors in whole pixels, of scales in whole pixels."""
    scale = 2 * half.prod(dim=-1, keepdim=True).sqrt()
    return (half * (scale + 1e-3).floor() / scale).round()


def anchor_grid(
    size: float,
    scales: int,
    ratios: tuple[float, ...],
    offset: float,
    octaves: int = 1,
    whole_halves: bool = False,
) -> Grid:
    """Anchors of ``size x 2^(i/scales)`` strides at each ratio (height / width), ratios first."""
    shapes = []
    for ratio in ratios:
        for index in range(scales * octaves):
            side = size * 2 ** (index / scales)
            shapes.append((side / ratio**0.5, side * ratio**0.5))
    return Grid(tuple(shapes), offset, whole_halves)


def point_grid(offset: float) -> Grid:
    """One point per cell."""
    return Grid(((0.0, 0.0),), offset)
