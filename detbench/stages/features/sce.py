"""Semantic context encoding: coarse, semantically strong maps (TSCODE, section 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from detbench.ops.halving import HalvingConv2d
from detbench.stages.convolution import ConvStyle, ConvUnit
from detbench.stages.features.pyramid import Pyramid


class Sce(nn.Module):
    """G_l = concat(down(P_l), P_{l+1}), at half the resolution of P_l (TSCODE, eq. 3).

    ``down`` is shared by all levels; as a convolution it has the host's norm and ReLU. The paper
    does not say where P_{l+1} comes from at the last level: here a plain strided convolution of the
    last level, as necks make theirs. ``tests/measure`` shows that this reading, and no other that
    was tried, gives all ten printed GFLOPs.

    Args:
        channels: of the pyramid.
        down: operation that halves a level.
        kernel: its size; the stride is 2.
        next_level: concatenate P_{l+1}.
        style: of the convolution.
    """

    coarseness = 2

    def __init__(
        self,
        channels: int,
        down: Literal["conv", "avg", "max"],
        kernel: int,
        next_level: bool,
        style: ConvStyle,
    ) -> None:
        super().__init__()
        padding = kernel // 2
        self.down: nn.Module
        if down == "conv":
            self.down = ConvUnit(channels, channels, style, stride=2, kernel=kernel)
        elif down == "avg":
            self.down = nn.AvgPool2d(kernel, 2, padding, count_include_pad=False)
        else:
            self.down = nn.MaxPool2d(kernel, 2, padding)
        self.above: nn.Conv2d | None = None
        self.channels = channels
        if next_level:
            self.above = HalvingConv2d(channels, channels)
            nn.init.xavier_uniform_(self.above.weight)
            assert self.above.bias is not None
            nn.init.zeros_(self.above.bias)
            self.channels = 2 * channels

    def forward(self, pyramid: Pyramid) -> list[Tensor]:
        """Per level (B, channels, ceil(H_l / 2), ceil(W_l / 2))."""
        halved = [self.down(level) for level in pyramid.levels]
        if self.above is None:
            return halved
        above = [*pyramid.levels[1:], self.above(pyramid.levels[-1])]
        return [torch.cat(pair, dim=1) for pair in zip(halved, above, strict=True)]
