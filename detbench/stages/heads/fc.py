"""Fully connected head of RoI detectors."""

from __future__ import annotations

from torch import Tensor, nn


class Fc(nn.Module):
    """``depth`` linear layers with ReLU on the flattened region (FPN, section 4.2).

    Args:
        inputs: channels of the pooled features.
        size: their side.
        depth, channels: of the layers.
    """

    def __init__(self, inputs: int, size: int = 7, depth: int = 2, channels: int = 1024) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = inputs * size * size
        for _ in range(depth):
            layer = nn.Linear(width, channels)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU(inplace=True)]
            width = channels
        self.layers = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        """(K, C, s, s) to (K, channels)."""
        return self.layers(features.flatten(1))
