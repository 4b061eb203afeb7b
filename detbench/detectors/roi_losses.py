"""Losses of an RoI branch on sampled proposals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from detbench.detectors.branch import BranchOutputs
from detbench.pertask import PerTask
from detbench.stages.assignment.proposals import Taught
from detbench.stages.supervision.roi import BoxLoss, CrossEntropy


@dataclass(frozen=True)
class BranchLosses:
    """Losses of a branch.

    Attributes:
        cls, loc: of the focused tasks.
        unfocused: weights of the unfocused losses, or None.
        divisor: of box losses, see ``recipe.roi.BoxLoss``.
    """

    cls: CrossEntropy
    loc: BoxLoss
    unfocused: PerTask[float] | None = None
    divisor: Literal["sampled", "both", "twice"] = "sampled"

    def __call__(
        self, outputs: BranchOutputs, taught: PerTask[Taught], of_both: Tensor
    ) -> dict[str, Tensor]:
        """Losses by name; a loc-only round has no classification loss.

        Args:
            outputs: of the branch for the sampled proposals ``taught``.
            of_both: scalar, proposals of both tasks' sets.
        """
        sampled = taught.loc.rois.sample_count
        total = {"sampled": sampled, "twice": 2 * sampled, "both": of_both}[self.divisor]
        losses = {"loc": self.loc(outputs.boxes["loc"], taught.loc, total)}
        if "cls" in outputs.logits:
            losses["cls"] = self.cls(outputs.logits["cls"], taught.cls)
        if self.unfocused is not None:  # weights of their own, in place of the focused ones
            cls = replace(self.cls, weight=self.unfocused.cls)
            loc = replace(self.loc, weight=self.unfocused.loc)
            losses["unfocused_cls"] = cls(outputs.logits["loc"], taught.loc)
            losses["unfocused_loc"] = loc(outputs.boxes["cls"], taught.cls, total)
        return losses

    def uniform(self, classes: int) -> dict[str, float]:
        """The classification losses if all classes and background were equally likely."""
        weights = {"cls": self.cls.weight}
        if self.unfocused is not None:
            weights["unfocused_cls"] = self.unfocused.cls
        return {name: weight * math.log(classes + 1) for name, weight in weights.items()}
