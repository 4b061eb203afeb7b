"""Pooling the features of regions: RoIAlign over a pyramid, and its deformable, differentiable kin.

RoIs are (K, 5): image index and xyxy in pixels of the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.ops import roi_align  # noqa: F401  registers the kernel

from detbench.ops.reading import read

KERNEL: Any = torch.ops.torchvision.roi_align
"""Itself: on a GPU, where kernels are to repeat themselves, torchvision's function compiles another
one that needs many times its time and memory."""
FINEST = 56.0
"""Side in pixels of the RoIs that are on the finest level, and up to twice of it (FPN, eq. 1)."""
SMALL = 1024
"""Cells of a map up to which RoIAlign trains by matrix products on the CPU."""
LINES = 2**24
"""Numbers between the two products, for RoIs that are spread evenly over the images, up to which
it is: their memory is passing, but 16 images with 512 RoIs each would need gigabytes."""


@dataclass(frozen=True)
class Bins:
    """What RoIAlign reads of a region.

    Attributes:
        size: bins a side.
        scale: regions are enlarged by this about their centres first, but keep the level of their
            own size, as in MMDetection.
        samples: along a bin's side; 0 takes one for each cell that it covers.
        aligned: false reads half a cell to the right and below, and regions are a cell wide and
            high at least.
        last_pixel: regions end at their last pixel, one before the edge that is behind it, as where
            boxes name that pixel and RoIAlign takes it for the edge (maskrcnn-benchmark).
    """

    size: int
    scale: float
    samples: int = 0
    aligned: bool = True
    last_pixel: bool = False


@dataclass(frozen=True)
class ShiftedBins:
    """What is read of a region whose bins are shifted (TSD, eq. 6).

    Attributes:
        size: bins a side.
        samples: points along a bin's side, of which each bin is the average.
        pooling: ``aligned`` is RoIAlign with shifts. ``whole-pixels`` is TSD's released kernel: the
            region's corners are rounded to whole pixels of the input, samples start at the left and
            top edge of their part of the bin, and those more than half a cell outside the map are
            left out of the mean (a bin without any is 0). The level is that of the region itself.
    """

    size: int
    samples: int
    pooling: Literal["aligned", "whole-pixels"]


def assign_levels(rois: Tensor, count: int, finest: float = FINEST) -> Tensor:
    """Level of each RoI by its size (FPN, eq. 1 with k0 such that ``finest`` is level 0), (K,)."""
    size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=0).sqrt()
    return torch.floor(torch.log2(size / finest + 1e-6)).clamp(0, count - 1).long()


def align(
    levels: list[Tensor],
    strides: list[int],
    rois: Tensor,
    bins: Bins,
    finest: float = FINEST,
) -> Tensor:
    """RoIAlign, each RoI on its level, (K, C, size, size); K may be 0.

    One synchronisation with the device, to learn how many RoIs each level has.

    Args:
        levels, strides: the pyramid.
        rois: (K, 5).
        bins: what is read of each.
        finest: see ``assign_levels``.
    """
    whole, rois = rois, scaled(rois, bins.scale)
    if bins.last_pixel:
        rois = torch.cat((rois[:, :3], rois[:, 3:] - 1), dim=1)
    if len(levels) == 1 or rois.is_meta:
        return _align(levels[0], strides[0], rois, bins)
    groups = _by_level(assign_levels(whole, len(levels), finest), len(levels))
    pooled = [
        _align(x, stride, rois[group], bins)
        for x, stride, group in zip(levels, strides, groups, strict=True)
    ]
    return _merged(pooled, groups)


def _align(level: Tensor, stride: int, rois: Tensor, bins: Bins) -> Tensor:
    """Positions and sums in float32 at least: bfloat16 is off by pixels at 1000."""
    exact = torch.promote_types(level.dtype, torch.float32)
    maps, rois = level.to(exact), rois.to(exact)
    size = bins.size
    lines = len(rois) * size * level.shape[1] * level.shape[-1]
    small = level[0, 0].numel() <= SMALL and 0 < lines <= LINES
    if small and level.requires_grad and level.device.type == "cpu":
        pooled = _align_small(maps, stride, rois, bins)
    else:
        pooled = KERNEL(maps, rois, 1.0 / stride, size, size, bins.samples, bins.aligned)
    return pooled.to(level.dtype)


def _align_small(level: Tensor, stride: int, rois: Tensor, bins: Bins) -> Tensor:
    """Torchvision's RoIAlign by two matrix products.

    Bilinear reading, the mean over a bin's samples, and zero outside the map are each a product of
    what they are along y and along x: pooled = R F C', with a matrix R of rows and C of columns for
    each RoI. On small maps its gradient takes a fraction of the time of torchvision's loop over
    channels and samples on the CPU; both ways are the same up to rounding.
    """
    size = bins.size
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

    edges = rois[:, 1:].detach() / stride
    if bins.aligned:
        edges = edges - 0.5
    else:
        low, high = edges.split(2, dim=1)
        edges = torch.cat((low, torch.maximum(high, low + 1)), dim=1)
    rows = spread(_weights(edges[:, 1], edges[:, 3], size, height, bins.samples))
    columns = spread(_weights(edges[:, 0], edges[:, 2], size, width, bins.samples))
    with torch.autocast("cpu", enabled=False):
        wide = level.transpose(1, 2).reshape(batch, height, channels * width)
        lines = rows.reshape(batch, most * size, height) @ wide
        pooled = lines.reshape(batch * most, size * channels, width) @ columns.transpose(1, 2)
    return pooled.index_select(0, slot).reshape(-1, size, channels, size).transpose(1, 2)


def _weights(low: Tensor, high: Tensor, size: int, cells: int, fixed: int = 0) -> Tensor:
    """What each cell of an axis adds to each bin, (K, size, cells).

    Args:
        low, high: (K,), the RoIs' ends, 0 at the centre of the first cell.
        fixed: samples of a bin; 0 takes as many as have them at most one cell apart.
    """
    side = (high - low) / size
    samples = torch.full_like(side, fixed) if fixed else side.ceil().clamp(min=0)
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
    shares: Tensor,
    bins: ShiftedBins,
    finest: float = FINEST,
) -> Tensor:
    """RoI pooling whose bins are shifted, differentiable in the shifts (TSD, eq. 6).

    Work is vectorised over RoIs, its memory bounded (``ops.reading``). One synchronisation with the
    device, to learn how many RoIs each level has of each image.

    Args:
        levels, strides: the pyramid.
        rois: (K, 5); no gradient reaches them.
        shares: (K, size, size, 2) or (K, 1, 1, 2): shift of every bin along (x, y) as a share of
            the region's sides.
        bins: what is read of each.
        finest: see ``assign_levels``.

    Returns:
        (K, C, size, size).
    """
    images = len(levels[0])
    if rois.is_meta or (len(levels) == 1 and images == 1):
        return _deformable(levels[0], strides[0], rois, shares, bins, [len(rois)])
    level = assign_levels(rois, len(levels), finest)
    # Those of a level together, and of an image among them.
    groups = _by_level(level * images + rois[:, 0].long(), len(levels) * images)
    pooled, of_levels = [], []
    for number, (x, stride) in enumerate(zip(levels, strides, strict=True)):
        own = groups[number * images : (number + 1) * images]
        group = torch.cat(own)
        counts = [len(each) for each in own]
        pooled.append(_deformable(x, stride, rois[group], shares[group], bins, counts))
        of_levels.append(group)
    return _merged(pooled, of_levels)


def present(flags: Tensor) -> tuple[Tensor, list[int]]:
    """Which of a batch's regions are meant, and how many each image has.

    One synchronisation with the device, to learn that.

    Args:
        flags: (B, R), bool.

    Returns:
        Their indices, (K,), among all B R, in order; (B,) counts, which sum to K.
    """
    counts: list[int] = flags.sum(dim=1).tolist()
    return (~flags).flatten().to(torch.int8).argsort(stable=True)[: sum(counts)], counts


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
    shares: Tensor,
    bins: ShiftedBins,
    counts: list[int],
) -> Tensor:
    """Of RoIs in the order of their images, of which each has as many as ``counts`` says."""
    size, samples = bins.size, bins.samples
    boxes = rois[:, 1:].to(shares.dtype)
    nth = torch.arange(size * samples, device=level.device)
    if bins.pooling == "whole-pixels":
        # The kernel's x2 is a region's last pixel, one less than ours.
        low = _whole(boxes[:, :2]) / stride - 0.5
        high = (_whole(boxes[:, 2:] - 1) + 1) / stride - 0.5
        least, within, edge, dropped = 0.1, 0.0, 0.5, True
    else:
        low, high = boxes[:, :2] / stride - 0.5, boxes[:, 2:] / stride - 0.5
        least, within, edge, dropped = 0.0, 0.5, 1.0, False
    extent = (high - low).clamp(min=least)[:, None, None]
    # Position of every sample as a share of the RoI: bin, then sample within the bin.
    share = (nth + within) / (size * samples)
    grid = torch.stack(torch.meshgrid(share, share, indexing="xy"), dim=-1)
    moved = shares.expand(-1, size, size, 2)
    moved = moved.repeat_interleave(samples, 1).repeat_interleave(samples, 2)
    points = low[:, None, None] + (grid + moved) * extent
    return read(level, points, counts, samples, edge, dropped)


def _whole(positions: Tensor) -> Tensor:
    """The nearest whole number, halves away from zero (``torch.round``: to the even one)."""
    return positions.sign() * (positions.abs() + 0.5).floor()


def scaled(rois: Tensor, factor: float) -> Tensor:
    """RoIs enlarged by ``factor`` about their centres, (K, 5)."""
    if factor == 1.0:
        return rois
    center = (rois[:, 1:3] + rois[:, 3:5]) / 2
    half = (rois[:, 3:5] - rois[:, 1:3]) / 2 * factor
    return torch.cat((rois[:, :1], center - half, center + half), dim=1)
