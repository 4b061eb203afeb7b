"""Class scores guided by the distributions of boxes (GFLv2, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from detbench.pertask import PerTask
from detbench.stages.predictor.convolutions import Convolutions
from detbench.stages.predictor.predictions import Predictions, PredictorShape


@dataclass(frozen=True)
class Statistics:
    """What is read of each side's distribution, and by how wide a network.

    Attributes:
        top: its largest probabilities, this many, in falling order.
        mean: their mean too.
        hidden: width of the network.
    """

    top: int
    mean: bool
    hidden: int


class DistributionGuided(Convolutions):
    """Beside the convolutions, the extra output ``quality``: how sharp a box's distributions are.

    A network of two 1x1 convolutions reads the statistics of the four sides. Nothing is detached:
    what is taught by the score teaches the distributions (as in the authors' code). A loss of the
    third output teaches the same ``quality``, and no convolution of its own.

    Args:
        shape, extras, scaled, bias, prior: as of ``Convolutions``; boxes are distributions.
        statistics: see there.
    """

    def __init__(
        self,
        shape: PredictorShape,
        extras: Mapping[str, str],
        scaled: bool,
        bias: float,
        prior: float,
        statistics: Statistics,
    ) -> None:
        others = {name: task for name, task in extras.items() if name != "quality"}
        super().__init__(shape, others, scaled, bias, prior)
        self.top, self.mean = statistics.top, statistics.mean
        self.guide = nn.Sequential(
            nn.Conv2d(4 * (self.top + self.mean), statistics.hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(statistics.hidden, 1, 1),
        )
        for module in self.guide.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        made = super().forward(towers, sizes)
        quality = [self.quality(code) for code in made.loc]
        return replace(made, extras=made.extras | {"quality": quality})

    def quality(self, code: Tensor) -> Tensor:
        """(B, A 4 (bins + 1), H, W) logits to (B, A, H, W), one of each box."""
        batch, _, height, width = code.shape
        sides = code.float().reshape(batch * self.per_cell, 4, -1, height, width)
        read = sides.softmax(dim=2).topk(self.top, dim=2).values
        if self.mean:
            read = torch.cat((read, read.mean(dim=2, keepdim=True)), dim=2)
        found: Tensor = self.guide(read.reshape(len(sides), -1, height, width))
        return found.reshape(batch, self.per_cell, height, width)

    def parts(self) -> dict[str, list[nn.Module]]:
        parts = super().parts()
        parts["loc"].append(self.guide)
        return parts
