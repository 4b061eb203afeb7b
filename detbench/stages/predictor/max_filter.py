"""A filter that suppresses all but the strongest of its neighbours (DeFCN; Wang et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.pertask import PerTask
from detbench.stages.convolution import groups_of, prediction, start
from detbench.stages.predictor.convolutions import Convolutions
from detbench.stages.predictor.predictions import Predictions, PredictorShape


@dataclass(frozen=True)
class FilterSettings:
    """Of a ``MaxFilter``.

    Attributes:
        neighbours: levels to each side.
        kernel: side of the neighbourhood in cells.
        norm, conv_bias, init: as in ``ConvStyle``.
    """

    neighbours: int
    kernel: int
    norm: Literal["gn", "none"]
    conv_bias: bool
    init: Literal["he"] | None = None


class MaxFilter(nn.Module):
    """Each map, and what of it and its neighbours is largest around each place (3DMF, eqs. 6, 7).

    One convolution for all levels; those of neighbouring levels are resized to the level's size;
    then the maximum over levels and cells, the map itself before the convolution is added, norm and
    ReLU.

    Args:
        channels: of the maps, which it keeps.
        settings: see there.
    """

    def __init__(self, channels: int, settings: FilterSettings) -> None:
        super().__init__()
        normed = settings.norm == "gn"
        bias = settings.conv_bias or not normed
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        start(self.conv.weight, settings.init)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm = nn.GroupNorm(groups_of(channels), channels) if normed else None
        self.relu = nn.ReLU(inplace=True)
        self.neighbours, self.kernel = settings.neighbours, settings.kernel

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, channels, H_l, W_l) per level to as many of the same sizes."""
        filtered, found = [self.conv(x) for x in maps], []
        for level, x in enumerate(maps):
            most = filtered[level]
            for other in range(level - self.neighbours, level + self.neighbours + 1):
                if other != level and 0 <= other < len(maps):
                    size = x.shape[-2:]
                    resized = F.interpolate(filtered[other], size, mode="bilinear")
                    most = torch.maximum(most, resized)
            most = x + F.max_pool2d(most, self.kernel, 1, self.kernel // 2)
            found.append(self.relu(most if self.norm is None else self.norm(most)))
        return found


class Filtered(Convolutions):
    """``Convolutions``, and an output ``filter`` of the localisation tower behind a ``MaxFilter``.

    Args:
        shape, extras, scaled, bias, prior: of the convolutions.
        settings: of the filter.
    """

    def __init__(
        self,
        shape: PredictorShape,
        extras: Mapping[str, str],
        scaled: bool,
        bias: float,
        prior: float,
        settings: FilterSettings,
    ) -> None:
        super().__init__(shape, extras, scaled, bias, prior)
        width, cells = shape.channels.loc, shape.coarseness.loc**2
        self.max_filter = MaxFilter(width, settings)
        self.filter = prediction(width, shape.per_cell * cells)

    def forward(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        found = super().forward(towers, sizes)
        maps = self.max_filter(towers.loc)
        found.extras["filter"] = self._on_grid(self.filter, maps, self.coarseness.loc, sizes)
        return found

    def parts(self) -> dict[str, list[nn.Module]]:
        parts = super().parts()
        parts["loc"] += [self.max_filter, self.filter]
        return parts
