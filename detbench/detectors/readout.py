"""Readout: which head, and which round, answers which task at test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from detbench.detectors.branch import HeadOutput
from detbench.pertask import PerTask


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

    def scores(self, rounds: list[PerTask[HeadOutput | None]]) -> Tensor:
        """(K, C): class probabilities without background, from the rounds that are averaged."""
        if self.cls in ("cls", "loc"):
            outputs = [getattr(each, self.cls) for each in rounds]
            if self.average == "logits":
                logits = torch.stack([_logits(output) for output in outputs]).mean(dim=0)
                return logits.softmax(dim=1)[:, :-1]
            return torch.stack([_probabilities(output) for output in outputs]).mean(dim=0)
        fused = [
            fuse(_probabilities(each.cls), _probabilities(each.loc), self.cls) for each in rounds
        ]
        return torch.stack(fused).mean(dim=0)

    def boxes_from(self, outputs: PerTask[HeadOutput | None]) -> HeadOutput:
        """The head whose deltas are decoded."""
        output = getattr(outputs, self.loc)
        assert output is not None
        return output


def fuse(first: Tensor, second: Tensor, how: str) -> Tensor:
    """Fuse the scores of two classifiers (Double-Head, eq. 4 and Table 3)."""
    if how == "max":
        return torch.maximum(first, second)
    if how == "average":
        return (first + second) / 2
    return first + second * (1 - first)


def _logits(output: HeadOutput | None) -> Tensor:
    if output is None or output.logits is None:
        raise ValueError("the readout asks a head for scores that it does not predict")
    return output.logits.float()


def _probabilities(output: HeadOutput | None) -> Tensor:
    return _logits(output).softmax(dim=1)[:, :-1]
