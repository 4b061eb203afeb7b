"""A branch trained beside another, which must beat it by a margin; dropped at test (TSD)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from detbench.detectors.branch import Branch
from detbench.detectors.roi_losses import BranchLosses
from detbench.detectors.stage import Step
from detbench.pertask import PerTask
from detbench.stages.sampling import RoiPyramid
from detbench.stages.supervision.roi import Constraint
from detbench.structures import Detections


@dataclass(frozen=True)
class Sibling:
    """TSD's sibling head.

    Attributes:
        module, supervision: the branch, and its losses.
        constraint: between it and the stage's branch.
    """

    module: Branch
    supervision: BranchLosses
    constraint: Constraint = Constraint()  # noqa: RUF009 - frozen

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Its own losses, and the constraint of each task that has a margin."""
        beside, taught, margins = self.module(step.regions), step.taught, self.constraint.margins
        named = self.supervision(beside, taught, step.of_both)
        losses = {f"sibling_{name}": loss for name, loss in named.items()}
        if margins.cls is not None:
            pair = beside.logits["cls"], step.outputs.logits["cls"]
            losses["constraint_cls"] = self.constraint.cls(*pair, taught.cls, margins.cls)
        if margins.loc is not None:
            before, after = (
                each.boxes["loc"].decode(taught.loc.labels) for each in (beside, step.outputs)
            )
            losses["constraint_loc"] = self.constraint.loc(before, after, taught.loc, margins.loc)
        return losses

    def uniform(self) -> dict[str, float]:
        """Of its own losses."""
        named = self.supervision.uniform(self.module.predicts.classes)
        return {f"sibling_{name}": loss for name, loss in named.items()}

    def predict(
        self, pyramids: PerTask[RoiPyramid], detections: list[Detections]
    ) -> list[Detections]:
        """Nothing is added at test."""
        return detections
