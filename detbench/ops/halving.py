"""A convolution of stride 2, on maps of any width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HalvingConv2d(nn.Conv2d):
    """A convolution of an odd kernel of at least 3 and stride 2 that keeps ceil(size / 2).

    On the CPU in bfloat16, oneDNN's gradient of its weights on a map one cell wide is read from
    memory that was never written (torch 2.14: errors of 1e36, or not a number; none on a map two
    cells wide). There a column of zeros is added, which the padding has at that place anyway.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2))."""
        if x.shape[-1] == 1 and _in_bfloat16(x):
            x = F.pad(x, (0, 1))
        return super().forward(x)


def _in_bfloat16(x: Tensor) -> bool:
    """Whether a convolution of it is computed in bfloat16 by the CPU."""
    if x.device.type != "cpu":
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.dtype == torch.bfloat16
