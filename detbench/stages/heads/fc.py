"""Fully connected head of RoI detectors."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.stages.initial import LinearInit, linear


class Fc(nn.Module):
    """``depth`` linear layers with ReLU on the flattened region (FPN, section 4.2).

    Args:
        inputs: channels of the pooled features.
        size: their side.
        depth, channels: of the layers.
        init: how they start, see ``stages.initial``.
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        depth: int,
        channels: int,
        init: LinearInit = "xavier-uniform",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = inputs * size * size
        for _ in range(depth):
            layers += [linear(width, channels, init), nn.ReLU(inplace=True)]
            width = channels
        self.layers = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        """(K, C, s, s) to (K, channels)."""
        return self.layers(features.flatten(1))
