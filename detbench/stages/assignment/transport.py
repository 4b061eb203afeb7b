"""Assignment as optimal transport (OTA; Ge et al. 2021, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detbench.ops import focal
from detbench.ops.boxes import aligned_iou, pairwise_iou, side_distances
from detbench.ops.transport import Sinkhorn, Transport, sinkhorn
from detbench.stages.assignment.adaptive import strongest
from detbench.stages.assignment.assignment import BACKGROUND, Assignment, Normaliser
from detbench.stages.assignment.center_sampling import around
from detbench.stages.outputs import Outputs
from detbench.structures import Targets

LEAST_IOU = 1.1920929e-07
"""Whose logarithm is taken where a box does not overlap its object, as in OTA's code."""
OUTSIDE = 1e6
"""What being outside an object's centre costs. An object that is outside everywhere is left with
what float32 keeps of its other costs beside it, steps of 1/16, as in the code."""


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
    centre gives one to any, as being outside costs it the same everywhere.

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
        problem, anywhere = self.problem(outputs, targets)
        near, far = (_share(plan) for plan in sinkhorn(problem, self.solver))
        index, left = problem.places.flatten(1), far[:, -1]
        claims = _claims(near.flatten(1), left.gather(1, index))
        owner = torch.arange(near.shape[1], device=near.device)[:, None].expand_as(near).flatten(1)
        if anywhere.shape[1]:
            most, which = far[:, :-1].max(dim=1)
            every = torch.arange(shape[1], device=index.device).expand(shape)
            index, owner = (
                torch.cat((index, every), 1),
                torch.cat((owner, anywhere.gather(1, which)), 1),
            )
            claims = torch.cat((claims, _claims(most, left)), dim=1)
        return Assignment(strongest(shape, index, owner, claims))

    def problem(self, outputs: Outputs, targets: Targets) -> tuple[Transport, Tensor]:
        """What is to be transported, and at which cost; at least one object in the batch.

        Returns:
            The problem, and the objects (B, U) that reach all places, in their order: those
            without a candidate. Others behind them give nothing.
        """
        candidates, boxes = outputs.candidates, targets.boxes[:, :, None]
        places, inside = around(candidates, targets.boxes, self.radius)
        inside &= side_distances(candidates.points[places], boxes).amin(dim=-1) > 0.01
        image = torch.arange(len(places), device=places.device)[:, None, None]
        iou = aligned_iou(outputs.boxes[image, places], boxes)
        best = (iou * inside).topk(min(self.top, iou.shape[-1]), dim=-1).values
        supply = best.sum(dim=-1).floor().clamp(min=1) * targets.valid
        logits = outputs.logits.float()
        rest = (1 - self.cost.alpha) * focal.background(logits, self.cost.gamma).sum(dim=-1)
        at = logits[image, places, targets.labels[..., None]]
        cost = self._pair(rest[image, places], at, iou).masked_fill(~inside, torch.inf)

        covered = inside.any(dim=-1)
        anywhere, real = _first(~covered & targets.valid)
        iou = pairwise_iou(_at(targets.boxes, anywhere), outputs.boxes)
        own = _at(targets.labels[..., None], anywhere).expand_as(iou)
        far = self._pair(rest[:, None], logits.mT.gather(1, own), iou)
        far = torch.cat(((far + OUTSIDE) - OUTSIDE, rest[:, None]), dim=1)
        given = supply.gather(1, anywhere) * real
        return Transport(cost, places, supply * covered, far, given), anywhere

    def _pair(self, rest: Tensor, logit: Tensor, iou: Tensor) -> Tensor:
        """What pairs cost of whose places the background costs ``rest``."""
        cost = rest + focal.as_positive(logit, self.cost.alpha, self.cost.gamma)
        return cost - self.cost.loc_weight * iou.clamp(min=LEAST_IOU).log()


def _share(plan: Tensor) -> Tensor:
    """Of what each row gives at most; 0 of a row that gives nothing."""
    most = plan.amax(dim=-1, keepdim=True)
    return plan / torch.where(most > 0, most, 1.0)


def _claims(share: Tensor, left: Tensor) -> Tensor:
    """Shares that are not below the background's at the same place, -1 elsewhere."""
    return share.masked_fill((share < left) | (share == 0), -1.0)


def _first(which: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (B, U) of flags (B, G) that are set, in order, others behind them; and the flags.

    U is the most of any image; on a GPU, which one would have to wait for, it is G.
    """
    order = which.int().argsort(dim=1, descending=True, stable=True)
    if which.device.type == "cpu":
        order = order[:, : int(which.sum(dim=1).amax())]
    return order, which.gather(1, order)


def _at(values: Tensor, index: Tensor) -> Tensor:
    """(B, G, D) values at (B, U)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
