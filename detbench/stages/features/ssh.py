"""The detection and context modules of a face detector (SSH, Najibi et al. 2017, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.stages.convolution import ConvStyle, ConvUnit
from detbench.stages.features.pyramid import Pyramid


class Ssh(nn.Module):
    """G_l = concat(3x3, 5x5, 7x7), the fields of view with which each part of it sees P_l.

    Half of the channels are of a 3x3 convolution (the detection module), a quarter each of two and
    three of them in a row (the context module), of which the first is one. Every one has the host's
    norm and ReLU, and all levels share them, as in TinaFace (Zhu et al. 2020).

    Args:
        channels: of the pyramid, a multiple of 4; as many come out.
        style: of the convolutions.

    Raises:
        ValueError: the channels cannot be parted.
    """

    coarseness = 1

    def __init__(self, channels: int, style: ConvStyle) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(f"'ssh' parts its channels in four, and the pyramid has {channels}")
        quarter = channels // 4
        self.channels = channels
        self.near = ConvUnit(channels, channels // 2, style)
        self.around = ConvUnit(channels, quarter, style)
        self.middle = ConvUnit(quarter, quarter, style)
        self.far = nn.Sequential(
            ConvUnit(quarter, quarter, style), ConvUnit(quarter, quarter, style)
        )

    def forward(self, pyramid: Pyramid) -> list[Tensor]:
        """Per level (B, channels, H_l, W_l)."""
        return [self._seen(level) for level in pyramid.levels]

    def _seen(self, level: Tensor) -> Tensor:
        around = self.around(level)
        return torch.cat((self.near(level), self.middle(around), self.far(around)), dim=1)
