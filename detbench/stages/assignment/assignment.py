"""The result of an assignment, and the targets that losses read from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from detbench.ops.boxes import aligned_iou
from detbench.sharding import normaliser
from detbench.stages.outputs import Outputs
from detbench.structures import Targets

BACKGROUND = -1
IGNORE = -2

Normaliser = Literal["images", "batch", "weights", "targets"]
"""What a loss is divided by: the positives of each ``images``, counted as one at least
(MMDetection's anchor heads); those of the ``batch``, at least one (FCOS); the sum of their weights;
or that of their soft ``targets``, at least one (TOOD), as ``batch`` where there are none."""


@dataclass(frozen=True)
class Assignment:
    """The match, weight and target of each candidate of each image. Gradients may reach a learnt
    assigner through all but ``matched``.

    Attributes:
        matched: (B, N), int64: index of the object, or ``BACKGROUND``, or ``IGNORE``.
        weight: (B, N), not negative: factor on the losses of each candidate; None is 1.
        target: (B, N), in [0, 1]: soft target for the class score of a positive; None leaves it
            to the loss.
        pairs: (B, G, N): weight of each object at each place where a place has several, for a
            joint criterion; at an object's places it is ``pairs.LITTLE`` at least, 0 elsewhere.
    """

    matched: Tensor
    weight: Tensor | None = None
    target: Tensor | None = None
    pairs: Tensor | None = None

    @property
    def positive(self) -> Tensor:
        """(B, N), bool."""
        return self.matched >= 0

    def boxes(self, targets: Targets) -> Tensor:
        """(B, N, 4): each positive's object; the first object, or zeros, elsewhere."""
        if targets.boxes.shape[1] == 0:
            return targets.boxes.new_zeros(*self.matched.shape, 4)
        index = self.matched.clamp(min=0)[..., None].expand(-1, -1, 4)
        return targets.boxes.gather(1, index)

    def labels(self, targets: Targets) -> Tensor:
        """(B, N), int64: each positive's class; arbitrary elsewhere."""
        if targets.labels.shape[1] == 0:
            return torch.zeros_like(self.matched)
        return targets.labels.gather(1, self.matched.clamp(min=0))


@dataclass(frozen=True, eq=False)
class Assigned:
    """An assignment with its batch, for losses. What they read is computed once for all of them.

    Attributes:
        assignment: of a task.
        targets: of the batch.
        outputs: of the detector, detached.
        epoch: training progress in epochs, with a fraction, as 2.5.
        usual: the assigner's normaliser, for losses without one of their own.
        levels: (N,), how much the level of each candidate counts; None is 1. It is a factor on
            losses, and no part of what they are divided by.
    """

    assignment: Assignment
    targets: Targets
    outputs: Outputs
    epoch: float
    usual: Normaliser = "batch"
    levels: Tensor | None = None

    @cached_property
    def positive(self) -> Tensor:
        """(B, N), bool, of candidates that have an object."""
        return self.assignment.positive

    @cached_property
    def labels(self) -> Tensor:
        """(B, N), int64: each positive's class; arbitrary elsewhere."""
        return self.assignment.labels(self.targets)

    @cached_property
    def boxes(self) -> Tensor:
        """(B, N, 4), xyxy: each positive's object; arbitrary elsewhere."""
        return self.assignment.boxes(self.targets)

    @cached_property
    def pairs(self) -> Tensor:
        """(B, G, N), the assignment's, or the weight of each positive at its one object; more than
        0 at an object's places, and 0 elsewhere.
        """
        found = self.assignment
        if found.pairs is not None:
            return found.pairs
        objects = torch.arange(self.targets.boxes.shape[1], device=found.matched.device)
        own = found.matched[:, None] == objects[:, None]
        return own.float() if found.weight is None else own * found.weight[:, None]

    @cached_property
    def iou(self) -> Tensor:
        """(B, N), in [0, 1], of each positive's predicted box with its object; no gradient."""
        return aligned_iou(self.outputs.boxes, self.boxes)

    @cached_property
    def weights(self) -> Tensor:
        """(B, N), what each candidate's loss is multiplied by: 0 where it is ignored."""
        return self.levelled(self._weighted(self.assignment.matched != IGNORE))

    @cached_property
    def positive_weights(self) -> Tensor:
        """(B, N), the same at positives, and 0 elsewhere."""
        return self.levelled(self.positive_shares)

    @cached_property
    def positive_shares(self) -> Tensor:
        """(B, N), what positives count where a loss is divided by weights; 0 elsewhere."""
        return self._weighted(self.positive)

    def levelled(self, weights: Tensor) -> Tensor:
        """(B, N) weights with their levels' factors."""
        return weights if self.levels is None else weights * self.levels

    def normaliser(self, kind: Normaliser | None) -> Tensor:
        """A scalar, see ``Normaliser``; None is the usual one. Over several processes that of the
        whole batch, see ``detbench.sharding.normaliser``.
        """
        kind = kind or self.usual
        if kind == "weights":
            return normaliser(self.positive_shares.sum()).float()
        if kind == "targets" and self.assignment.target is not None:
            return normaliser((self.assignment.target * self.positive).sum()).float()
        return self._per_image if kind == "images" else self._per_batch

    @cached_property
    def _per_image(self) -> Tensor:
        return normaliser(self.positive.sum(dim=1).clamp(min=1).sum()).float()

    @cached_property
    def _per_batch(self) -> Tensor:
        return normaliser(self.positive.sum()).float()

    def _weighted(self, which: Tensor) -> Tensor:
        weight = self.assignment.weight
        return which if weight is None else which * weight
