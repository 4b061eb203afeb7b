"""A convolution for each output (RetinaNet, FCOS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.pertask import PerTask
from detbench.stages.classes import ClassRows
from detbench.stages.convolution import prediction, prior_bias
from detbench.stages.predictor.predictions import Predictions, PredictorShape


class Convolutions(nn.Module):
    """The prediction convolutions, shared by all levels.

    A task whose features are coarser than their level predicts all fine cells under a coarse one at
    once: ``pixel_shuffle`` rearranges channels to cells (TSCODE, eq. 4, up to the order of
    channels). Where the level's size is odd, the surplus at right and bottom is cropped.

    Args:
        shape: see ``PredictorShape``.
        extras: name of each extra output to the task whose tower predicts it.
        scaled: multiply the localisation output of each level by a learnt factor.
        prior: class probability that classification starts with.
        bias: that localisation starts with.
    """

    def __init__(
        self,
        shape: PredictorShape,
        extras: Mapping[str, str],
        scaled: bool,
        bias: float,
        prior: float,
    ) -> None:
        super().__init__()
        self.coarseness = shape.coarseness
        self.per_cell = shape.per_cell
        self.extras = extras
        cells = shape.coarseness.map(lambda factor: factor**2)

        def make(task: str, count: int, bias: float = 0.0) -> nn.Conv2d:
            count = self.per_cell * count * getattr(cells, task)
            return prediction(getattr(shape.channels, task), count, bias)

        self.cls = make("cls", shape.classes, prior_bias(prior))
        self.loc = make("loc", shape.dims, bias)
        for name, task in extras.items():
            self.add_module(name, make(task, 1))
        self.scales = nn.Parameter(torch.ones(shape.levels)) if scaled else None

    def forward(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        """Towers' outputs per level to predictions on grids of ``sizes``."""
        raw = self.unscaled(towers, sizes)
        if self.scales is None:
            return raw
        scaled = [x * scale for x, scale in zip(raw.loc, self.scales, strict=True)]
        return replace(raw, loc=scaled)

    def unscaled(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        """The same without the learnt factors of levels."""
        cls = self._on_grid(self.cls, towers.cls, self.coarseness.cls, sizes)
        loc = self._on_grid(self.loc, towers.loc, self.coarseness.loc, sizes)
        extras = {}
        for name, task in self.extras.items():
            maps, factor = getattr(towers, task), getattr(self.coarseness, task)
            extras[name] = self._on_grid(getattr(self, name), maps, factor, sizes)
        return Predictions(cls, loc, extras)

    def parts(self) -> dict[str, list[nn.Module]]:
        """Its convolutions by the task whose tower they read."""
        parts: dict[str, list[nn.Module]] = {"cls": [self.cls], "loc": [self.loc]}
        for name, task in self.extras.items():
            parts[task].append(getattr(self, name))
        return parts

    def per_class(self) -> dict[str, ClassRows]:
        """Rows of the classes: for each candidate of a cell, for each cell under a coarse one."""
        rows = ClassRows(self.per_cell, self.coarseness.cls**2)
        return {"cls.weight": rows, "cls.bias": rows}

    @staticmethod
    def _on_grid(
        conv: nn.Module, maps: list[Tensor], factor: int, sizes: list[tuple[int, int]]
    ) -> list[Tensor]:
        outputs = [conv(x) for x in maps]
        if factor == 1:
            return outputs
        return [
            F.pixel_shuffle(x, factor)[..., :height, :width]
            for x, (height, width) in zip(outputs, sizes, strict=True)
        ]
