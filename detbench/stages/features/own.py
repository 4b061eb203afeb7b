"""Features from an own copy of part of the network (TSD, Figure 3 and Table 1)."""

from __future__ import annotations

from torch import Tensor, nn


class Shared(nn.Module):
    """The detector's own pyramid."""

    def forward(self, maps: list[Tensor], levels: list[Tensor]) -> list[Tensor]:
        return levels


class Own(nn.Module):
    """An own pyramid, and own backbone stages from a stride upwards.

    Args:
        stages: copies of the backbone's last stages; none shares the whole backbone.
        neck: own pyramid on all backbone maps.
        first: index of the first own backbone map (C2 is 0); 4 where all are shared.
    """

    def __init__(self, stages: nn.ModuleList, neck: nn.Module, first: int) -> None:
        super().__init__()
        self.stages = stages
        self.neck = neck
        self.first = first

    def forward(self, maps: list[Tensor], levels: list[Tensor]) -> list[Tensor]:
        """Backbone maps C2..C5 to the task's pyramid; the shared pyramid is not read."""
        own = list(maps[: self.first])
        for stage in self.stages:
            own.append(stage(own[-1]))
        return self.neck(own)
