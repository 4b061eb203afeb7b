"""Deformable convolution (Dai et al. 2017; modulated, Zhu et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import torchvision.ops
from torch import Tensor


def deform_conv2d(
    x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None = None, **settings: Any
) -> Tensor:
    """Each tap of the kernel reads where its offset says, bilinearly, zero outside.

    torchvision's kernel on a GPU; on the CPU, where that one's backward pass takes five to fourteen
    times as long, ``deform_conv2d_cpu``. Both compute in float32 where autocast is on, as
    torchvision's does on a GPU by itself.

    Args:
        x: (B, C, H, W).
        offset: (B, 2 g k^2, H', W'), in cells, y before x; each of the g parts of the channels has
            its own.
        weight: (C', C / groups, k, k).
        mask: (B, g k^2, H', W'), modulation; none is 1.
        settings: ``bias``, ``stride``, ``padding``, ``dilation``, as there.

    Returns:
        (B, C', H', W'), of the type of ``x``.
    """
    device = x.device.type
    convolve = deform_conv2d_cpu if device == "cpu" else torchvision.ops.deform_conv2d
    # Not every device has autocast: meta tensors, whose operations are counted, have none.
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return convolve(x, offset, weight, mask=mask, **settings)
    with torch.autocast(device, enabled=False):
        modulation = None if mask is None else mask.float()
        found = convolve(x.float(), offset.float(), weight.float(), mask=modulation, **settings)
    return found.to(x.dtype)


def deform_conv2d_cpu(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    **steps: int | tuple[int, int],
) -> Tensor:
    """The same by ``grid_sample`` and a product of matrices: the output at p is the sum over the
    taps k of w_k x(p + p_k + d_k) m_k.

    For the backward pass it keeps what it read, of B C k^2 H' W' numbers, and with a mask that
    times the mask too; torchvision's keeps its inputs alone.

    Args:
        bias: (C',).
        steps: ``stride``, ``padding``, ``dilation``, of both axes, or of y and x.

    Raises:
        ValueError: offsets or masks are not of the output's size.
    """
    axes = _Steps(**steps).axes
    taps = weight.shape[-2:].numel()
    offset_groups = max(1, offset.shape[1] // (2 * taps))
    sizes = zip(x.shape[-2:], weight.shape[-2:], axes, strict=True)
    size = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, (s, p, d) in sizes)
    cells = size[0] * size[1]
    _expect("offset", offset, (len(x), 2 * offset_groups * taps, *size))
    # grid_sample counts from -1 to 1 and back: at powers of two whole cells, as those of offsets of
    # zero, stay whole, and have torchvision's derivative. What is added is zero, as all outside is.
    x = F.pad(x, (0, _missing(x.shape[3]), 0, _missing(x.shape[2])))
    batch, channels, *sides = x.shape
    maps = x.reshape(batch * offset_groups, channels // offset_groups, *sides)
    offsets = offset.reshape(len(maps), taps, 2, *size)
    # Whatever is farther outside than a cell reads zero: infinity is not a number times zero.
    places = [
        (_axis(weight, size, axis, axes[axis]) + offsets[:, :, axis]).clamp(-2, sides[axis] + 1)
        for axis in (1, 0)
    ]
    ends = [(2 * at + 1) / side - 1 for at, side in zip(places, sides[::-1], strict=True)]
    grid = torch.stack(ends, dim=-1).reshape(len(maps), taps, cells, 2)
    read = F.grid_sample(maps, grid, padding_mode="zeros", align_corners=False)
    if mask is not None:
        _expect("mask", mask, (batch, offset_groups * taps, *size))
        read = read * mask.reshape(len(maps), 1, taps, cells)
    groups = channels // weight.shape[1]
    columns = read.reshape(batch, groups, weight.shape[1] * taps, cells)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    found = (kernels @ columns).reshape(batch, weight.shape[0], *size)
    return found if bias is None else found + bias[:, None, None]


@dataclass(frozen=True)
class _Steps:
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    dilation: int | tuple[int, int] = 1

    @property
    def axes(self) -> list[tuple[int, int, int]]:
        """Stride, padding and dilation of y, then of x."""
        each = (self.stride, self.padding, self.dilation)
        return list(
            zip(*((one, one) if isinstance(one, int) else one for one in each), strict=True)
        )


def _expect(name: str, given: Tensor, shape: tuple[int, ...]) -> None:
    if given.shape != shape:
        raise ValueError(f"{name} of shape {tuple(given.shape)} where {shape} belongs")


def _missing(side: int) -> int:
    """Cells to the next power of two."""
    return (1 << (side - 1).bit_length()) - side


def _axis(weight: Tensor, size: tuple[int, ...], axis: int, steps: tuple[int, int, int]) -> Tensor:
    """Where taps read along one axis without offsets, in cells: (k^2, H', 1) or (k^2, 1, W')."""
    (stride, padding, dilation), kernel = steps, weight.shape[-2:]
    starts = torch.arange(size[axis], device=weight.device, dtype=weight.dtype) * stride - padding
    taps = torch.arange(kernel[axis], device=weight.device, dtype=weight.dtype) * dilation
    shape = (-1, 1) if axis == 0 else (1, -1)
    every = taps.reshape(shape).expand(*kernel).reshape(-1, 1, 1)
    return every + starts.reshape(shape)


class DeformConv2d(torchvision.ops.DeformConv2d):
    """torchvision's layer, with ``deform_conv2d`` of here."""

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(
            x,
            offset,
            self.weight,
            mask,
            bias=self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )
