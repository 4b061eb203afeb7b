"""Readout: which head, and which round, predicts which task at test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detbench.detectors.branch import BranchOutputs
from detbench.stages.supervision.roi import BoxDeltas


@dataclass(frozen=True)
class Readout:
    """See ``recipe.roi.Readout``."""

    cls: Literal["cls", "loc", "max", "average", "complementary"] = "cls"
    loc: Literal["loc", "cls"] = "loc"
    cls_rounds: tuple[int, ...] = (1,)
    average: Literal["probabilities", "logits"] = "probabilities"
    loc_round: int | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Heads of the main branch that have to run."""
        needed = {self.loc}
        needed |= {"cls", "loc"} if self.cls not in ("cls", "loc") else {self.cls}
        return tuple(task for task in ("cls", "loc") if task in needed)

    def scores(self, rounds: list[BranchOutputs]) -> Tensor:
        """(K, C): class probabilities without background, from the rounds that are averaged."""
        if self.cls in ("cls", "loc"):
            logits = torch.stack([each.logits[self.cls].float() for each in rounds])
            if self.average == "logits":
                return _probabilities(logits.mean(dim=0))
            return _probabilities(logits).mean(dim=0)
        fused = [
            fuse(_probabilities(each.logits["cls"]), _probabilities(each.logits["loc"]), self.cls)
            for each in rounds
        ]
        return torch.stack(fused).mean(dim=0)

    def boxes(self, outputs: BranchOutputs) -> BoxDeltas:
        """Boxes of the head that is read."""
        return outputs.boxes[self.loc]


def fuse(first: Tensor, second: Tensor, how: str) -> Tensor:
    """Fuse the scores of two classifiers (Double-Head, eq. 4 and Table 3)."""
    if how == "max":
        return torch.maximum(first, second)
    if how == "average":
        return (first + second) / 2
    return first + second * (1 - first)


def _probabilities(logits: Tensor) -> Tensor:
    """Of every class: (..., C + 1) logits to (..., C), float."""
    return logits.float().softmax(dim=-1)[..., :-1]
