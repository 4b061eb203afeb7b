"""Deformable convolution (Dai et al. 2017; modulated, Zhu et al. 2019) under autocast."""

from __future__ import annotations

from typing import Any

import torch
import torchvision.ops
from torch import Tensor


def deform_conv2d(
    x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None = None, **settings: Any
) -> Tensor:
    """torchvision's; where autocast is on it computes in float32, as torchvision's does on a GPU.

    On the CPU its kernel casts nothing, and fails on operands of several types.

    Args:
        x: (B, C, H, W).
        offset: (B, 2 k^2, H', W'), in cells, y before x.
        weight: (C', C / groups, k, k).
        mask: (B, k^2, H', W'), modulation; none is 1.
        settings: ``bias``, ``stride``, ``padding``, ``dilation``, as there.

    Returns:
        (B, C', H', W'), of the type of ``x``.
    """
    device = x.device.type
    # Not every device has autocast: meta tensors, whose operations are counted, have none.
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return torchvision.ops.deform_conv2d(x, offset, weight, mask=mask, **settings)
    with torch.autocast(device, enabled=False):
        modulation = None if mask is None else mask.float()
        found = torchvision.ops.deform_conv2d(
            x.float(), offset.float(), weight.float(), mask=modulation, **settings
        )
    return found.to(x.dtype)


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
