"""Deformable convolution (Dai et al. 2017; modulated, Zhu et al. 2019)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchvision.ops
from torch import Tensor
from torch.nn.modules.utils import _pair as pair


def deform_conv2d(
    x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None = None, **settings: Any
) -> Tensor:
    """Each tap of the kernel reads where its offset says, bilinearly, zero outside.

    torchvision's kernel on a GPU; on the CPU, where that one's backward pass takes some ten times
    as long, by ``grid_sample`` and a product of matrices. Both compute in float32 where autocast is
    on, as torchvision's does on a GPU by itself.

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
    convolve = sampled if device == "cpu" else torchvision.ops.deform_conv2d
    # Not every device has autocast: meta tensors, whose operations are counted, have none.
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return convolve(x, offset, weight, mask=mask, **settings)
    with torch.autocast(device, enabled=False):
        modulation = None if mask is None else mask.float()
        found = convolve(x.float(), offset.float(), weight.float(), mask=modulation, **settings)
    return found.to(x.dtype)


def sampled(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """The same from its equation, on any device: y(p) = sum over k of w_k x(p + p_k + d_k) m_k."""
    # grid_sample counts from -1 to 1 and back: at powers of two no place between two cells moves
    # from one to the other by rounding, and with it the derivative. What is added is zero, as
    # what is outside is.
    x = F.pad(x, (0, _spare(x.shape[3]), 0, _spare(x.shape[2])))
    batch, channels, *sides = x.shape
    kernel, places = weight.shape[-2:], offset.shape[-2:]
    taps, cells = kernel.numel(), places.numel()
    parts = offset.shape[1] // (2 * taps)
    offsets = offset.reshape(batch * parts, taps, 2, *places)
    grids = []
    for axis, steps in enumerate(zip(pair(stride), pair(padding), pair(dilation), strict=True)):
        at = _axis(kernel, places, axis, steps, x) + offsets[:, :, axis]
        grids.append((2 * at + 1) / sides[axis] - 1)
    grid = torch.stack((grids[1], grids[0]), dim=-1).reshape(batch * parts, taps, cells, 2)
    maps = x.reshape(batch * parts, channels // parts, *sides)
    read = F.grid_sample(maps, grid, padding_mode="zeros", align_corners=False)
    if mask is not None:
        read = read * mask.reshape(batch * parts, 1, taps, cells)
    groups = channels // weight.shape[1]
    columns = read.reshape(batch, groups, weight.shape[1] * taps, cells)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    found = (kernels @ columns).reshape(batch, weight.shape[0], *places)
    return found if bias is None else found + bias[:, None, None]


def _spare(side: int) -> int:
    """To the next power of two."""
    return (1 << (side - 1).bit_length()) - side


def _axis(
    kernel: torch.Size, places: torch.Size, axis: int, steps: tuple[int, int, int], like: Tensor
) -> Tensor:
    """Where the taps are without offsets along one axis, in cells, of the shape that broadcasts."""
    stride, padding, dilation = steps
    starts = torch.arange(places[axis], device=like.device, dtype=like.dtype) * stride - padding
    taps = torch.arange(kernel[axis], device=like.device, dtype=like.dtype) * dilation
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
