"""Reading maps at real-valued positions, differentiable in both, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from detbench.ops.constant import constant

AT_ONCE = 2**24
"""Numbers that are read at once, before their averages are taken: 64 MiB. A step of TSD reads 200
million of an image, 16 for each that it keeps."""


def bilinear(
    level: Tensor,
    image: Tensor,
    points: Tensor,
    samples: int = 1,
    edge: float = 1.0,
    dropped: bool = False,
) -> Tensor:
    """Read a map at real-valued positions, differentiable in both; outside it is zero.

    One synchronisation with the device where there are several images, to learn how many groups
    each has.

    Args:
        level: (B, C, H, W).
        image: (K,), which image each group of points reads.
        points: (K, h, w, 2), (x, y), 0 at the centre of the first cell.
        samples, edge, dropped: see ``read``.

    Returns:
        (K, C, h / samples, w / samples).
    """
    if len(level) == 1:
        return read(level, points, [len(points)], samples, edge, dropped)
    order = image.argsort(stable=True)
    counts = torch.bincount(image, minlength=len(level)).tolist()
    return read(level, points[order], counts, samples, edge, dropped)[order.argsort()]


def read(
    level: Tensor,
    points: Tensor,
    counts: Sequence[int],
    samples: int = 1,
    edge: float = 1.0,
    dropped: bool = False,
) -> Tensor:
    """``bilinear`` for points in the order of their images.

    Positions are clamped to the map within ``edge`` cells of its outer centres, by default one as
    in RoIAlign.

    Args:
        level: (B, C, H, W).
        points: (K, h, w, 2), (x, y), 0 at the centre of the first cell.
        counts: how many of the K read each image; they sum to K, which may be 0.
        samples: average squares of this many points a side; divides h and w.
        dropped: points outside are no part of the average, instead of zeros.

    Returns:
        (K, C, h / samples, w / samples).
    """
    size = constant([level.shape[-1], level.shape[-2]], points.device, points.dtype)
    inside = ((points >= -edge) & (points <= size - 1 + edge)).all(dim=-1, keepdim=True)
    within = torch.minimum(points.clamp(min=0), size - 1)
    # Torch's own sampler, whose corners are the outer cells' outer corners; at -3 it reads zeros.
    grid = torch.where(inside, (2 * within + 1) / size - 1, -3.0)
    parts = zip(level.to(grid.dtype).split(1), grid.split(list(counts)), strict=True)
    averages = [_Averages.apply(one, where, samples) for one, where in parts if len(where)]
    if not averages:
        height, width = points.shape[1] // samples, points.shape[2] // samples
        return grid.new_zeros(0, level.shape[1], height, width)
    found = torch.cat(averages) if len(averages) > 1 else averages[0]
    if not dropped:
        return found
    share = F.avg_pool2d(inside.permute(0, 3, 1, 2).to(found.dtype), samples)
    return found / share.clamp(min=1 / samples**2)


class _Averages(torch.autograd.Function):
    """Means of squares of what is read at points, in parts, forth and back: what is read is many
    times the means, and its gradient needs no more than the map and the positions.
    """

    @staticmethod
    def forward(ctx: Any, level: Tensor, grid: Tensor, samples: int) -> Tensor:
        """The map (1, C, H, W) at (K, h, w, 2) positions, whole in [-1, 1]; K is 1 at least."""
        ctx.save_for_backward(level, grid)
        ctx.samples = samples
        found = [_averages(level, part, samples) for part in _parts(level, grid)]
        return torch.cat(found) if len(found) > 1 else found[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        level, grid = ctx.saved_tensors
        needed = list(ctx.needs_input_grad[:2])
        to_level: Tensor | None = None
        to_grid, start = [], 0
        for part in _parts(level, grid):
            own = _spread(gradient[start : start + len(part)], ctx.samples)
            start += len(part)
            flat = part.reshape(1, -1, part.shape[2], 2)
            of_level, of_grid = torch.ops.aten.grid_sampler_2d_backward(
                own, level, flat, 0, 0, False, needed
            )
            if needed[0]:
                to_level = of_level if to_level is None else to_level.add_(of_level)
            if needed[1]:
                to_grid.append(of_grid.reshape(part.shape))
        return to_level, torch.cat(to_grid) if to_grid else None, None


def _parts(level: Tensor, grid: Tensor) -> Iterator[Tensor]:
    """The positions in parts of which ``AT_ONCE`` numbers are read."""
    _, height, width, _ = grid.shape
    yield from grid.split(max(1, AT_ONCE // (level.shape[1] * height * width)))


def _averages(level: Tensor, grid: Tensor, samples: int) -> Tensor:
    count, height, width, _ = grid.shape
    flat = grid.reshape(1, count * height, width, 2)
    found = F.grid_sample(level, flat, mode="bilinear", padding_mode="zeros", align_corners=False)
    shape = level.shape[1], count, height // samples, width // samples
    return F.avg_pool2d(found, samples).reshape(shape).transpose(0, 1)


def _spread(gradient: Tensor, samples: int) -> Tensor:
    """The gradient (k, C, h, w) of means for each point, (1, C, k h samples, w samples)."""
    count, channels, height, width = gradient.shape
    each = (gradient / samples**2).transpose(0, 1)[:, :, :, None, :, None]
    wide = each.expand(channels, count, height, samples, width, samples)
    return wide.reshape(1, channels, count * height * samples, width * samples)
