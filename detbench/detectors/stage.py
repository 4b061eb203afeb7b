"""A stage of an RoI detector: the main branch, or a round on the boxes of the stage before.

proposals ─ samplers ─ branch ─ losses ─┬─ refined boxes ─ the next stage
                                        └─ extras: trained or run beside it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from detbench.detectors.branch import Branch, BranchOutputs
from detbench.detectors.roi_losses import BranchLosses
from detbench.ops.boxes import clip
from detbench.pertask import PerTask
from detbench.stages.assignment.proposals import ProposalSampler, Rois, Taught
from detbench.stages.sampling import Regions, RoiPyramid
from detbench.stages.supervision.roi import BoxDeltas, best_class
from detbench.structures import Detections, Targets

Proposed = tuple[Tensor, Tensor]
"""Boxes to draw from, (B, P, 4) xyxy, and (B, P), bool, which of them are no padding."""


@dataclass(frozen=True)
class Step:
    """Samples and outputs of a stage in one training step.

    Attributes:
        regions: the sampled proposals, and the maps they were pooled from.
        taught: those proposals and their targets.
        outputs: of its branch for them.
        of_both: scalar, the first stage's proposals of both tasks' sets.
        masks: of the batch's objects, as in ``Targets``.
    """

    regions: PerTask[Regions]
    taught: PerTask[Taught]
    outputs: BranchOutputs
    of_both: Tensor
    masks: tuple[Tensor, ...] | None = None


class Extra(Protocol):
    """What is trained, or run, beside a stage's branch: a sibling, a mask head."""

    @property
    def module(self) -> nn.Module:
        """Its module, which is trained, and kept in checkpoints under the extra's name."""
        ...

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Losses by name, of the proposals and outputs of the stage."""
        ...

    def uniform(self) -> dict[str, float]:
        """Its classification losses, by name, if all classes were equally likely."""
        ...

    def predict(
        self, pyramids: PerTask[RoiPyramid], detections: list[Detections]
    ) -> list[Detections]:
        """The detections of each image, with what the extra adds to them."""
        ...


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        branch, supervision: what is run, and its losses.
        samplers: draw the proposals that it is trained on.
        weight: of its losses and its extras'.
        prefix: of their names.
        extras: beside it, by name.
    """

    branch: Branch
    samplers: PerTask[ProposalSampler]
    supervision: BranchLosses
    weight: float = 1.0
    prefix: str = ""
    extras: Mapping[str, Extra] = field(default_factory=dict)

    def run(
        self, pyramids: PerTask[RoiPyramid], proposed: PerTask[Proposed], targets: Targets
    ) -> Step:
        """Draw from the proposals, and run the branch on them."""
        rois = proposed.zip(self.samplers, lambda given, one: one.sample(*given, targets))
        regions = pyramids.zip(rois.map(Rois.flat), Regions)
        taught = rois.map(lambda drawn: drawn.taught(targets, self.branch.predicts.classes))
        of_both = rois.cls.sample_count
        if not rois.shared:
            of_both = of_both + rois.loc.sample_count
        return Step(regions, taught, self.branch(regions), of_both, targets.masks)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Losses of the branch and its extras, by name."""
        found = self.supervision(step.outputs, step.taught, step.of_both)
        for extra in self.extras.values():
            found |= extra.losses(step)
        return {f"{self.prefix}{name}": self.weight * loss for name, loss in found.items()}

    def uniform(self) -> dict[str, float]:
        """Its classification losses, by name, if all classes were equally likely."""
        found = self.supervision.uniform(self.branch.predicts.classes)
        for extra in self.extras.values():
            found |= extra.uniform()
        return {f"{self.prefix}{name}": self.weight * loss for name, loss in found.items()}

    @torch.no_grad()
    def refine(self, step: Step, following: Stage, sizes: Tensor) -> PerTask[Proposed]:
        """The branch's boxes, for the ``following`` stage to draw from; objects' own are not.

        Class-specific boxes are those of the label, or of the best class for background. Where one
        sampler follows two sets, the loc set alone goes on.

        Args:
            sizes: (B, 2), height and width that boxes are clipped to.
        """
        taught, logits = step.taught, step.outputs.logits
        boxes = PerTask.both(step.outputs.boxes["loc"])
        if not taught.shared and following.samplers.shared:
            taught, logits = PerTask.both(taught.loc), {}
        elif not taught.shared:  # the cls set has no boxes yet
            regions = Regions(step.regions.loc.pyramid, step.regions.cls.rois)
            boxes = PerTask(self.branch(PerTask.both(regions), ("loc",)).boxes["loc"], boxes.loc)
        labels = taught.map(lambda each: each.labels)
        if "cls" in logits and boxes.cls.by_class:
            best = torch.where(taught.cls.rois.positive, labels.cls, best_class(logits["cls"]))
            labels = PerTask.both(best) if taught.shared else PerTask(best, labels.loc)
        moved = boxes.zip(labels, BoxDeltas.decode)
        passed = moved.zip(taught, lambda to, each: (to.reshape(each.rois.boxes.shape), each.rois))
        return passed.zip(
            following.samplers, lambda given, sampler: _passed_on(*given, sampler, sizes)
        )


def _passed_on(boxes: Tensor, rois: Rois, sampler: ProposalSampler, sizes: Tensor) -> Proposed:
    """Refined boxes; the background of a positive sampler goes on as it is."""
    if getattr(sampler, "only_positive", False):  # own ones may lack it
        boxes = torch.where((rois.matched >= 0)[..., None], boxes, rois.boxes)
    return clip(boxes, sizes[:, None]), rois.valid & ~rois.is_ground_truth
