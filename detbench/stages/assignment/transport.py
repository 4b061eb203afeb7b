"""Assignment as optimal transport (OTA; Ge et al. 2021, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from detbench.ops import focal
from detbench.ops.boxes import aligned_iou, side_distances
from detbench.ops.transport import Sinkhorn, Transport, sinkhorn
from detbench.stages.assignment.adaptive import resolve
from detbench.stages.assignment.assignment import BACKGROUND, Assignment, Normaliser
from detbench.stages.assignment.center_sampling import around
from detbench.stages.outputs import Outputs
from detbench.structures import Targets

LEAST_IOU = 1.1920929e-07
"""Whose logarithm is taken where a box does not overlap its object, as in OTA's code."""


@dataclass(frozen=True)
class PairCost:
    """What it costs that a place learns an object: focal loss - ``loc_weight`` log IoU.

    Attributes:
        loc_weight: of the second term.
        alpha, gamma: of the focal loss.
    """

    loc_weight: float
    alpha: float
    gamma: float


class TransportAssigner(nn.Module):
    """Objects supply positives and the background negatives, at the least cost in all.

    An object has as many to give as the IoUs of its best predictions add up to, one at least, and
    to places in its centre alone; background costs the focal loss against no class. A place takes
    the row that gives it most, each in parts of the most that the row gives anywhere, as in the
    authors' code, so that positives are not exactly as many. An object without a place in its
    centre has those nearest to it; there the code has all, next to which the term for the outside
    leaves no digits.

    Args:
        radius: half side of the square around an object's centre in strides, cut to the object; 0
            takes the whole object.
        top: how many best predictions count.
        cost: of a pair.
        solver: see ``ops.transport``.
    """

    normaliser: Normaliser = "batch"

    def __init__(self, radius: float, top: int, cost: PairCost, solver: Sinkhorn) -> None:
        super().__init__()
        self.radius, self.top, self.cost, self.solver = radius, top, cost, solver

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        shape = (len(targets.valid), len(outputs.candidates.points))
        if targets.valid.shape[1] == 0:
            return Assignment(targets.labels.new_full(shape, BACKGROUND))
        problem = self.problem(outputs, targets)
        plan, rest = sinkhorn(problem, self.solver)
        share = plan / plan.amax(dim=-1, keepdim=True)
        left = (rest / rest.amax(dim=1, keepdim=True)).gather(1, problem.places.flatten(1))
        takes = (share >= left.view_as(share)) & (share > 0) & targets.valid[..., None]
        return Assignment(resolve(shape, problem.places, share, takes))

    def problem(self, outputs: Outputs, targets: Targets) -> Transport:
        """What is to be transported, and at which cost; at least one object in the batch."""
        candidates, boxes = outputs.candidates, targets.boxes[:, :, None]
        places, inside = around(candidates, targets.boxes, self.radius)
        inside &= side_distances(candidates.points[places], boxes).amin(dim=-1) > 0.01
        image = torch.arange(len(places), device=places.device)[:, None, None]
        iou = aligned_iou(outputs.boxes[image, places], boxes)
        best = (iou * inside).topk(min(self.top, iou.shape[-1]), dim=-1).values
        supply = best.sum(dim=-1).floor().clamp(min=1) * targets.valid
        cost, (alpha, gamma) = self.cost, (self.cost.alpha, self.cost.gamma)
        rest = (1 - alpha) * focal.background(outputs.logits.float(), gamma).sum(dim=-1)
        at = outputs.logits[image, places, targets.labels[..., None]].float()
        pair = rest[image, places] + focal.as_positive(at, alpha, gamma)
        pair = pair - cost.loc_weight * iou.clamp(min=LEAST_IOU).log()
        usable = inside | ~inside.any(dim=-1, keepdim=True)
        return Transport(pair.masked_fill(~usable, torch.inf), places, rest, supply)
