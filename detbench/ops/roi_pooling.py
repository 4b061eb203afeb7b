"""Pooling the features of regions: RoIAlign over a pyramid, and its deformable, differentiable kin.

RoIs are (K, 5): image index and xyxy in pixels of the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

FINEST = 56.0
"""Side in pixels of the RoIs that are on the finest level, and up to twice of it (FPN, eq. 1)."""
SMALL = 1024
"""Cells of a map up to which RoIAlign trains by matrix products on the CPU."""
LINES = 2**24
"""Numbers between the two products, for RoIs that are spread evenly over the images, up to which
it is: their memory is passing, but 16 images with 512 RoIs each would need gigabytes."""


def assign_levels(rois: Tensor, count: int, finest: float = FINEST) -> Tensor:
    """Level of each RoI by its size (FPN, eq. 1 with k0 such that ``finest`` is level 0), (K,)."""
    size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=0).sqrt()
    return torch.floor(torch.log2(size / finest + 1e-6)).clamp(0, count - 1).long()


def align(
    levels: list[Tensor],
    strides: list[int],
    rois: Tensor,
    size: int,
    scale: float = 1.0,
    finest: float = FINEST,
) -> Tensor:
    """RoIAlign, each RoI on its level, (K, C, size, size); K may be 0.

    RoIs are enlarged by ``scale`` about their centres, but keep the level of their own size, as in
    MMDetection. One synchronisation with the device, to learn how many RoIs each level has.
    """
    whole, rois = rois, scaled(rois, scale)
    if len(levels) == 1 or rois.is_meta:
        return _align(levels[0], strides[0], rois, size)
    groups = _by_level(assign_levels(whole, len(levels), finest), len(levels))
    pooled = [
        _align(x, stride, rois[group], size)
        for x, stride, group in zip(levels, strides, groups, strict=True)
    ]
    return _merged(pooled, groups)


def _align(level: Tensor, stride: int, rois: Tensor, size: int) -> Tensor:
    """Positions and sums in float32 at least: bfloat16 is off by pixels at 1000."""
    exact = torch.promote_types(level.dtype, torch.float32)
    maps, rois = level.to(exact), rois.to(exact)
    lines = len(rois) * size * level.shape[1] * level.shape[-1]
    small = level[0, 0].numel() <= SMALL and 0 < lines <= LINES
    if small and level.requires_grad and level.device.type == "cpu":
        pooled = _align_small(maps, stride, rois, size)
    else:
        pooled = roi_align(maps, rois, size, 1.0 / stride, sampling_ratio=0, aligned=True)
    return pooled.to(level.dtype)


def _align_small(level: Tensor, stride: int, rois: Tensor, size: int) -> Tensor:
    """Torchvision's RoIAlign by two matrix products.

    Bilinear reading, the mean over a bin's samples, and zero outside the map are each a product of
    what they are along y and along x: pooled = R F C', with a matrix R of rows and C of columns for
    each RoI. On small maps its gradient takes a fraction of the time of torchvision's loop over
    channels and samples on the CPU; both ways are the same up to rounding.
    """
    batch, channels, height, width = level.shape
    image = rois[:, 0].long()
    counts = torch.bincount(image, minlength=batch)
    most = int(counts.max())
    order = image.argsort(stable=True)
    nth = torch.empty_like(order)
    nth[order] = torch.arange(len(rois)) - (counts.cumsum(0) - counts)[image[order]]
    slot = image * most + nth  # images have equally many, some of them empty

    def spread(weights: Tensor) -> Tensor:
        return weights.new_zeros(batch * most, *weights.shape[1:]).index_copy_(0, slot, weights)

    edges = rois[:, 1:].detach() / stride - 0.5
    rows = spread(_weights(edges[:, 1], edges[:, 3], size, height))
    columns = spread(_weights(edges[:, 0], edges[:, 2], size, width))
    with torch.autocast("cpu", enabled=False):
        wide = level.transpose(1, 2).reshape(batch, height, channels * width)
        lines = rows.reshape(batch, most * size, height) @ wide
        bins = lines.reshape(batch * most, size * channels, width) @ columns.transpose(1, 2)
    return bins.index_select(0, slot).reshape(-1, size, channels, size).transpose(1, 2)


def _weights(low: Tensor, high: Tensor, size: int, cells: int) -> Tensor:
    """What each cell of an axis adds to each bin, (K, size, cells).

    Args:
        low, high: (K,), the RoIs' ends, 0 at the centre of the first cell.
    """
    side = (high - low) / size
    samples = side.ceil().clamp(min=0)  # of a bin: at most one cell apart
    nth = torch.arange(max(int(samples.max()), 1), dtype=low.dtype)
    each = samples.clamp(min=1)[:, None]
    bins = torch.arange(size, dtype=low.dtype)[:, None]
    at = bins + ((nth + 0.5) / each)[:, None]
    at = low[:, None, None] + at * side[:, None, None]
    counts = (nth < samples[:, None])[:, None] & (at >= -1) & (at <= cells)
    at = at.clamp(0, cells - 1)
    first = at.long().clamp(max=max(cells - 2, 0))
    share = counts / each[..., None]
    weights = low.new_zeros(len(low), size, cells)
    weights.scatter_add_(2, first, (first + 1 - at) * share)
    weights.scatter_add_(2, (first + 1).clamp(max=cells - 1), (at - first) * share)
    return weights


def deformable(
    levels: list[Tensor],
    strides: list[int],
    rois: Tensor,
    shifts: Tensor,
    size: int,
    rounding: bool = False,
    samples: int = 4,
    finest: float = FINEST,
) -> Tensor:
    """RoI pooling whose bins are shifted, differentiable in the shifts (TSD, eq. 6).

    Every bin averages ``samples`` x ``samples`` bilinear samples. Work is vectorised over RoIs.

    Args:
        levels, strides: the pyramid.
        rois: (K, 5); no gradient reaches them.
        shifts: (K, size, size, 2) or (K, 1, 1, 2): (x, y) of every bin in input pixels.
        size: bins a side.
        rounding: round the RoI to whole pixels of its map first and shift it by half a pixel, as
            TSD's released kernel does; the level stays that of the unrounded RoI.
        finest: see ``assign_levels``.

    Returns:
        (K, C, size, size).
    """
    if len(levels) == 1 or rois.is_meta:
        return _deformable(levels[0], strides[0], rois, shifts, size, rounding, samples)
    groups = _by_level(assign_levels(rois, len(levels), finest), len(levels))
    pooled = [
        _deformable(x, stride, rois[group], shifts[group], size, rounding, samples)
        for x, stride, group in zip(levels, strides, groups, strict=True)
    ]
    return _merged(pooled, groups)


def _by_level(level: Tensor, count: int) -> list[Tensor]:
    """Which RoIs each level has, in their order."""
    counts = torch.bincount(level, minlength=count).tolist()
    return list(level.argsort(stable=True).split(counts))


def _merged(pooled: list[Tensor], groups: list[Tensor]) -> Tensor:
    """The RoIs of all levels in their own order again."""
    merged: Tensor = _Merge.apply(*groups, *pooled)
    return merged


class _Merge(torch.autograd.Function):
    """Writes every group's rows to their places: each feature is copied once, both ways.

    ``cat`` and a gather copy the features twice, and the gather's gradient is a scatter.
    """

    @staticmethod
    def forward(ctx: Any, *groups_and_rows: Tensor) -> Tensor:
        half = len(groups_and_rows) // 2
        groups, rows = groups_and_rows[:half], groups_and_rows[half:]
        ctx.save_for_backward(*groups)
        count = sum(len(group) for group in groups)
        merged = rows[0].new_empty(count, *rows[0].shape[1:])
        for group, part in zip(groups, rows, strict=True):
            merged[group] = part
        return merged

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        groups = ctx.saved_tensors
        wanted = ctx.needs_input_grad[len(groups) :]
        parts = zip(groups, wanted, strict=True)
        rows = [gradients[0][group] if needed else None for group, needed in parts]
        return (*(None for _ in groups), *rows)


def _deformable(
    level: Tensor,
    stride: int,
    rois: Tensor,
    shifts: Tensor,
    size: int,
    rounding: bool,
    samples: int,
) -> Tensor:
    boxes = rois[:, 1:].to(shifts.dtype)
    if rounding:
        low = boxes[:, :2].round() / stride - 0.5
        high = (boxes[:, 2:].round() + 1) / stride - 0.5
    else:
        low, high = boxes[:, :2] / stride - 0.5, boxes[:, 2:] / stride - 0.5
    extent = (high - low).clamp(min=0.1 if rounding else 0.0)
    # Position of every sample as a share of the RoI: bin, then sample within the bin.
    share = (torch.arange(size * samples, device=level.device) + 0.5) / (size * samples)
    grid = torch.stack(torch.meshgrid(share, share, indexing="xy"), dim=-1)
    points = low[:, None, None] + grid * extent[:, None, None]
    shift = (shifts / stride).expand(-1, size, size, 2)
    points = points + shift.repeat_interleave(samples, 1).repeat_interleave(samples, 2)
    return bilinear(level, rois[:, 0].long(), points, samples)


def bilinear(level: Tensor, image: Tensor, points: Tensor, samples: int = 1) -> Tensor:
    """Read a map at real-valued positions, differentiable in both; outside it is zero.

    Positions are clamped to the map within one pixel of its edge, as RoIAlign does.

    Args:
        level: (B, C, H, W).
        image: (K,), which image each group of points reads.
        points: (K, h, w, 2), (x, y), 0 at the centre of the first cell.
        samples: average squares of this many points a side; divides h and w.

    Returns:
        (K, C, h / samples, w / samples).
    """
    size = points.new_tensor([level.shape[-1], level.shape[-2]])
    inside = ((points > -1) & (points < size)).all(dim=-1, keepdim=True)
    within = torch.minimum(points.clamp(min=0), size - 1)
    # Torch's own sampler, whose corners are the outer cells' outer corners; at -3 it reads zeros.
    grid = torch.where(inside, (2 * within + 1) / size - 1, -3.0)
    if len(level) == 1:
        return _read(level, grid, samples)
    order = image.argsort(stable=True)
    counts = torch.bincount(image, minlength=len(level)).tolist()
    parts = zip(level.split(1), grid[order].split(counts), strict=True)
    read = torch.cat([_read(one, where, samples) for one, where in parts])
    return read[order.argsort()]


def _read(level: Tensor, grid: Tensor, samples: int) -> Tensor:
    """One image's map (1, C, H, W) at (K, h, w, 2) positions, whole in [-1, 1], averaged."""
    count, height, width, _ = grid.shape
    channels, h, w = level.shape[1], height // samples, width // samples
    if count == 0:
        return grid.new_zeros(0, channels, h, w)
    flat = grid.reshape(1, count * height, width, 2)
    read = F.grid_sample(
        level.to(grid.dtype), flat, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return F.avg_pool2d(read, samples).reshape(channels, count, h, w).transpose(0, 1)


def scaled(rois: Tensor, factor: float) -> Tensor:
    """RoIs enlarged by ``factor`` about their centres, (K, 5)."""
    if factor == 1.0:
        return rois
    center = (rois[:, 1:3] + rois[:, 3:5]) / 2
    half = (rois[:, 3:5] - rois[:, 1:3]) / 2 * factor
    return torch.cat((rois[:, :1], center - half, center + half), dim=1)
