"""Features from a task's own copy of part of the network (TSD, Figure 3 and Table 1)."""

from __future__ import annotations

import copy
import math

from torch import Tensor, nn

from detbench.backbones.resnet import ResNet, kept_in_eval


class Shared(nn.Module):
    """The detector's own pyramid."""

    def forward(self, maps: list[Tensor], levels: list[Tensor]) -> list[Tensor]:
        return levels


class Own(nn.Module):
    """An own pyramid, and own backbone stages from a stride upwards.

    The stages start from the backbone's weights, wherever those come from, and what the backbone
    freezes is frozen here.

    Args:
        stride: of the last map that is shared, in pixels.
        backbone: its stages from that stride on are copied; with 32 there are none.
        neck: copied too; it reads all maps of the backbone.
    """

    own_start = ("neck",)

    def __init__(self, stride: int, backbone: ResNet, neck: nn.Module) -> None:
        super().__init__()
        self.first = round(math.log2(stride)) - 1  # own map of the backbone; C2 is 0
        stages = list(backbone.stages)[self.first :]
        names = {id(module): name for name, module in backbone.named_modules()}
        backbone.train()
        self.stages = nn.ModuleList(copy.deepcopy(stage) for stage in stages)
        self.neck = copy.deepcopy(neck)
        self.from_backbone = {f"stages.{n}": names[id(x)] for n, x in enumerate(stages)}
        self._kept = [kept_in_eval(stage) for stage in stages]

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
