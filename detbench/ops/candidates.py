"""Candidates: the places at which a dense detector predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detbench.ops.constant import constant

Rounding = Literal["corners", "halves", "cells"]


@dataclass(frozen=True)
class Candidates:
    """All candidates of one input size, level after level, rows before columns.

    Attributes:
        boxes: (N, 4), xyxy; for points a box of no size.
        points: (N, 2), centres.
        cells: (N, 2), x and y of the top left corner of each candidate's cell.
        strides: (N,), of each candidate's level.
        counts: candidates of each level; they sum to N.
        levels: stride of each level.
        per_cell: candidates of a cell, which have their centres in common.
    """

    boxes: Tensor
    points: Tensor
    cells: Tensor
    strides: Tensor
    counts: list[int]
    levels: list[int]
    per_cell: int = 1

    def within(self, extents: Tensor | None) -> Tensor | None:
        """(B, N), bool: whose cells begin inside images of ``extents``; none is all of them.

        A batch is as large as its largest images: cells in the padding of the others are no places
        of theirs, as MMDetection's anchor heads have it.

        Args:
            extents: (B, 2), height and width, or none.
        """
        if extents is None:
            return None
        return (self.cells < extents.flip(1)[:, None]).all(dim=-1)


@dataclass(frozen=True)
class Grid:
    """Anchors or points on a grid of cells.

    Attributes:
        shapes: per candidate of a cell its (width, height) in strides; (0, 0) for points.
        offset: position of the first centre in strides.
        rounding: of anchors to whole pixels. ``corners``: those of the first cell, halves of x2 and
            y2 like those of the pixel before them (MMDetection 1.x, where they name the last
            pixel). ``halves``: half the sides, their scales down to whole ones before
            (torchvision). ``cells``: the sides of anchors of one stride, the width first, before
            they are enlarged (maskrcnn-benchmark).
    """

    shapes: tuple[tuple[float, float], ...]
    offset: float
    rounding: Rounding | None = None

    @property
    def per_cell(self) -> int:
        return len(self.shapes)

    def lay(self, sizes: list[tuple[int, int]], strides: list[int], like: Tensor) -> Candidates:
        """Lay the candidates over maps of (height, width) ``sizes``, on ``like``'s device."""
        device = like.device
        shapes = constant(self.shapes, device)
        boxes, corners, counts, all_strides = [], [], [], []
        for (height, width), stride in zip(sizes, strides, strict=True):
            ys, xs = torch.arange(height, device=device), torch.arange(width, device=device)
            cells = torch.stack(
                (xs.expand(height, width), ys[:, None].expand(height, width)), dim=-1
            ).reshape(-1, 1, 2)
            centers = (cells + self.offset) * stride
            half = shapes * (stride / 2)
            if self.rounding == "cells":
                sides = [_in_whole_cells(*shape, stride) for shape in self.shapes]
                half = constant(sides, device) / 2
            if self.rounding == "corners":
                middle = self.offset * stride
                low, high = (middle - half).round(), (middle + half - 1).round() + 1
                centers, half = centers - middle + (low + high) / 2, (high - low) / 2
            elif self.rounding == "halves":
                half = _whole_halves(half)
            level = torch.cat((centers - half, centers + half), dim=-1).reshape(-1, 4)
            boxes.append(level)
            corners.append((cells * stride).expand(-1, self.per_cell, 2).reshape(-1, 2))
            counts.append(len(level))
            all_strides.append(torch.full((len(level),), float(stride), device=device))
        stacked = torch.cat(boxes)
        points = (stacked[:, :2] + stacked[:, 2:]) / 2
        strides_of = torch.cat(all_strides)
        cells = torch.cat(corners)
        return Candidates(stacked, points, cells, strides_of, counts, list(strides), self.per_cell)


def _whole_halves(half: Tensor) -> Tensor:
    """Half the sides (A, 2) of anchors in whole pixels, of scales in whole pixels."""
    scale = 2 * half.prod(dim=-1, keepdim=True).sqrt()
    return (half * (scale + 1e-3).floor() / scale).round()


def _in_whole_cells(width: float, height: float, stride: int) -> tuple[float, float]:
    """Sides in pixels of an anchor of (width, height) strides: whole ones, times its scale."""
    scale, ratio = (width * height) ** 0.5, round(height / width, 9)
    whole = round(stride / ratio**0.5)
    return scale * whole, scale * round(whole * ratio)


@dataclass(frozen=True)
class AnchorShapes:
    """Sides and ratios of the anchors of a cell.

    Attributes:
        size: of the smallest, in strides.
        scales: in an octave.
        ratios: height / width.
        octaves: how many.
        multiples: of ``size``, in place of ``2^(i/scales)``.
    """

    size: float
    scales: int
    ratios: tuple[float, ...]
    octaves: int
    multiples: tuple[float, ...] | None = None

    @property
    def sides(self) -> list[float]:
        """In strides, ascending with octaves."""
        octave = [2 ** (index / self.scales) for index in range(self.scales * self.octaves)]
        return [self.size * multiple for multiple in self.multiples or octave]


def anchor_grid(shapes: AnchorShapes, offset: float, rounding: Rounding | None = None) -> Grid:
    """Anchors of every side at each ratio, ratios first."""
    found = [
        (side / ratio**0.5, side * ratio**0.5) for ratio in shapes.ratios for side in shapes.sides
    ]
    return Grid(tuple(found), offset, rounding)


def point_grid(offset: float) -> Grid:
    """One point per cell."""
    return Grid(((0.0, 0.0),), offset)
