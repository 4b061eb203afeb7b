"""The plain option: each task reads the pyramid level itself."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.stages.features.pyramid import Pyramid


class Level(nn.Module):
    """The pyramid as it is.

    Args:
        channels: of the pyramid.
    """

    coarseness = 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, pyramid: Pyramid) -> list[Tensor]:
        return pyramid.levels
