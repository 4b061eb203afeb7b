"""Semantic context encoding: coarse, semantically strong maps (TSCODE, section 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from detbench.stages.features.pyramid import Pyramid


class Sce(nn.Module):
    """G_l = concat(down(P_l), P_{l+1}), at half the resolution of P_l (TSCODE, eq. 3).

    ``down`` is shared by all levels. The paper does not say where P_{l+1} comes from at the last
    level; here a strided convolution makes it, the only reading that agrees with the printed GFLOPs
    (see ``recipes/tscode/table1.toml``).

    Args:
        channels: of the pyramid.
        down: operation that halves a level.
        kernel: its size; the stride is 2.
        next_level: concatenate P_{l+1}.
    """

    coarseness = 2

    def __init__(
        self,
        channels: int,
        down: Literal["conv", "avg", "max"] = "conv",
        kernel: int = 3,
        next_level: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2
        self.down: nn.Module
        if down == "conv":
            self.down = nn.Conv2d(channels, channels, kernel, stride=2, padding=padding)
        elif down == "avg":
            self.down = nn.AvgPool2d(kernel, 2, padding, count_include_pad=False)
        else:
            self.down = nn.MaxPool2d(kernel, 2, padding)
        self.above = nn.Conv2d(channels, channels, 3, stride=2, padding=1) if next_level else None
        self.channels = channels * (2 if next_level else 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, pyramid: Pyramid) -> list[Tensor]:
        """Per level (B, channels, ceil(H_l / 2), ceil(W_l / 2))."""
        halved = [self.down(level) for level in pyramid.levels]
        if self.above is None:
            return halved
        above = [*pyramid.levels[1:], self.above(pyramid.levels[-1])]
        return [torch.cat(pair, dim=1) for pair in zip(halved, above, strict=True)]
