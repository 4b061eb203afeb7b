"""Features from an own copy of part of the network (TSD, Figure 3 and Table 1)."""

from __future__ import annotations

from torch import Tensor, nn


class Shared(nn.Module):
    """The detector's own pyramid."""

    def forward(self, maps: list[Tensor], levels: list[Tensor]) -> list[Tensor]:
        return levels


class Own(nn.Module):
    """An own pyramid, and own backbone stages from a stride upwards.

    The stages start from the backbone's weights, wherever those come from, and what the backbone
    freezes is frozen here.

    Args:
        stages: copies of the backbone's last stages; none shares the whole backbone.
        names: of the stages in the backbone, and so in its files.
        neck: own pyramid on all backbone maps.
        first: index of the first own backbone map (C2 is 0); 4 where all are shared.
        kept: of each stage, names of the modules that the backbone keeps in evaluation mode.
    """

    own_start = ("neck",)

    def __init__(
        self,
        stages: nn.ModuleList,
        names: list[str],
        neck: nn.Module,
        first: int,
        kept: list[tuple[str, ...]],
    ) -> None:
        super().__init__()
        self.stages = stages
        self.neck = neck
        self.first = first
        self.from_backbone = {f"stages.{index}": name for index, name in enumerate(names)}
        self._kept = kept

    def train(self, mode: bool = True) -> Own:
        """Switch to training; what the backbone keeps in evaluation mode stays so here."""
        super().train(mode)
        for stage, kept in zip(self.stages, self._kept, strict=True):
            for name in kept:
                stage.get_submodule(name).training = False
        return self

    def forward(self, maps: list[Tensor], levels: list[Tensor]) -> list[Tensor]:
        """Backbone maps C2..C5 to the task's pyramid; the shared pyramid is not read."""
        own = list(maps[: self.first])
        for stage in self.stages:
            own.append(stage(own[-1]))
        return self.neck(own)
