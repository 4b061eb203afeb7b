"""Modules that lack something, or do too much."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from own_roi_parts import Centre, Overlapping, Proposals
from torch import Tensor, nn

from detbench.stages.sampling import Pooled, RoiPyramid


class _Fixed(Overlapping):
    at = None  # type: ignore[assignment]


class Fixed(Proposals):
    """Not for rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler = _Fixed(0.3)


class _Lost(Overlapping):
    def at(self, positive: float) -> float:  # type: ignore[override]
        return positive


class Lost(Proposals):
    """Whose rounds have no sampler."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler = _Lost(0.3)


class Noisy(Centre):
    """Draws random numbers, and keeps statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        pooled = super().forward(pyramid, rois, embedding)
        return Pooled(self.norm(pooled.features + torch.rand(1)), pooled.boxes)


class Plain(SimpleNamespace):
    """What it is given, and nothing else."""
