"""The convolution unit that towers and features are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from detbench.ops.deformable import DeformConv2d
from detbench.ops.halving import HalvingConv2d


@dataclass(frozen=True)
class ConvStyle:
    """What the hidden convolutions of a head, and of the features it reads, have in common.

    Attributes:
        norm: ``gn`` for GroupNorm with 32 groups (fewer when narrower than 128 channels, so that a
            group has four channels or more), ``none``.
        conv_bias: a bias beside the norm too; without a norm there always is one.
        init: of the weights: ``he`` keeps the variance of what passes, N(0, 2 / fan in) (He et al.
            2015); by default N(0, 0.01^2), as RetinaNet's.
    """

    norm: Literal["gn", "none"]
    conv_bias: bool
    init: Literal["he"] | None = None


class ConvUnit(nn.Module):
    """Convolution, optional GroupNorm, ReLU.

    Args:
        inputs, outputs: channels.
        style: see there.
        stride, kernel: of the convolution; padding keeps ceil(size / stride).
        deformable: sample where a second convolution says (Dai et al. 2017), offsets zero at start.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style: ConvStyle,
        stride: int = 1,
        kernel: int = 3,
        deformable: bool = False,
    ) -> None:
        super().__init__()
        normed = style.norm == "gn"
        bias = style.conv_bias or not normed
        self.offset: nn.Conv2d | None = None
        self.conv: nn.Conv2d | DeformConv2d
        if deformable:
            self.offset = nn.Conv2d(inputs, 2 * kernel**2, kernel, stride, kernel // 2)
            nn.init.zeros_(self.offset.weight)
            assert self.offset.bias is not None
            nn.init.zeros_(self.offset.bias)
            self.conv = DeformConv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        elif stride == 2 and kernel > 1:
            self.conv = HalvingConv2d(inputs, outputs, kernel, bias)
        else:
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        start(self.conv.weight, style.init)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm = nn.GroupNorm(groups_of(outputs), outputs) if normed else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x) if self.offset is None else self.conv(x, self.offset(x))
        if self.norm is not None:
            x = self.norm(x)
        return self.relu(x)


def start(weight: Tensor, init: Literal["he"] | None) -> None:
    """Initial weights of a hidden convolution, in place; see ``ConvStyle``."""
    if init == "he":
        nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu")
    else:
        nn.init.normal_(weight, std=0.01)


def groups_of(channels: int) -> int:
    """GroupNorm groups: 32 as in every paper, fewer for narrow networks."""
    return math.gcd(channels, 32 if channels >= 128 else max(1, channels // 4))


def prior_bias(prior: float) -> float:
    """Bias at which a sigmoid gives ``prior`` (RetinaNet, section 4.1)."""
    return -math.log((1 - prior) / prior)


def prediction(inputs: int, outputs: int, bias: float = 0.0) -> nn.Conv2d:
    """A 3x3 prediction convolution, weights N(0, 0.01)."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.normal_(conv.weight, std=0.01)
    assert conv.bias is not None
    with torch.no_grad():
        conv.bias.fill_(bias)
    return conv
