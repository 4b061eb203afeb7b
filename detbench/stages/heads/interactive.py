"""One tower for both tasks, all of whose layers are read (TOOD, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from detbench.stages.convolution import ConvStyle
from detbench.stages.heads.tower import Tower


class Interactive(Tower):
    """A tower whose result is the outputs of all its convolutions, side by side.

    Args:
        inputs, depth, channels, style, deformable: as of ``Tower``; ``depth`` is 1 or more.

    Attributes:
        layers: how many outputs, each as wide as the others.
    """

    def __init__(
        self,
        inputs: int,
        depth: int,
        channels: int,
        style: ConvStyle,
        deformable: tuple[int, ...] = (),
    ) -> None:
        super().__init__(inputs, depth, channels, style, deformable)
        self.layers = depth
        self.channels = depth * channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, layers x channels, H, W)."""
        outputs = []
        for conv in self.convs:
            x = conv(x)
            outputs.append(x)
        return torch.cat(outputs, dim=1)
