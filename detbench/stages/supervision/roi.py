"""Losses of RoI detectors, on K sampled proposals, a fixed number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from detbench.ops.boxes import aligned_iou
from detbench.ops.coding import Delta, smooth_l1
from detbench.pertask import PerTask
from detbench.sharding import normaliser
from detbench.stages.assignment.proposals import Taught

WithoutPositives = Literal["as-others", "one-zero"]


@dataclass(frozen=True)
class BoxDeltas:
    """Boxes that a layer predicts.

    Attributes:
        deltas: (K, 4), or (K, 4 C) of every class (and four more of the background, if it has a
            box).
        references: (K, 4), xyxy, what the deltas are relative to; gradients pass through.
        code: what a delta means.
    """

    deltas: Tensor
    references: Tensor
    code: Delta

    @property
    def by_class(self) -> bool:
        """Whether boxes depend on the class."""
        return self.deltas.shape[1] > 4

    def of(self, labels: Tensor) -> Tensor:
        """(K, 4): each proposal's deltas for its label, float; any label is allowed."""
        if not self.by_class:
            return self.deltas.float()
        shaped = self._shaped()
        index = labels.clamp(0, shaped.shape[1] - 1)
        return shaped.gather(1, index[:, None, None].expand(-1, 1, 4))[:, 0]

    def decode(self, labels: Tensor) -> Tensor:
        """(K, 4), xyxy: each proposal's box for its label."""
        return self.code.decode(self.of(labels), self.references)

    def decode_best(self, logits: Tensor) -> Tensor:
        """(K, 4), xyxy: each proposal's box for the best class of (K, C + 1) logits, background
        aside.
        """
        return self.decode(best_class(logits)) if self.by_class else self.decode_all()

    def decode_all(self) -> Tensor:
        """Each proposal's boxes, xyxy: (K, 4), or (K, C, 4) of every class."""
        if not self.by_class:
            return self.code.decode(self.deltas.float(), self.references)
        return self.code.decode(self._shaped(), self.references[:, None])

    def _shaped(self) -> Tensor:
        """(K, C, 4), float; K may be 0."""
        count, outputs = self.deltas.shape
        return self.deltas.float().reshape(count, outputs // 4, 4)


def best_class(logits: Tensor) -> Tensor:
    """(K,): the best class of (K, C + 1) logits, background aside."""
    return logits[:, :-1].argmax(dim=1)


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy over the classes and background, a mean over valid proposals."""

    weight: float

    def __call__(self, logits: Tensor, taught: Taught) -> Tensor:
        """Logits (K, C + 1), background last."""
        valid = taught.rois.valid.flatten()
        entropy = F.cross_entropy(logits.float(), taught.labels, reduction="none")
        return self.weight * (entropy * valid).sum() / normaliser(valid.sum())


@dataclass(frozen=True)
class BoxLoss:
    """(Smooth) L1 on the deltas of positives, divided by a number of proposals.

    Attributes:
        beta: 0 is L1.
        weight: of the loss.
    """

    beta: float
    weight: float

    def __call__(self, boxes: BoxDeltas, taught: Taught, total: Tensor) -> Tensor:
        """Sum over positives divided by ``total``."""
        positive = taught.rois.positive
        safe = torch.where(positive[:, None], boxes.references, taught.target_boxes)
        wanted = boxes.code.encode(taught.target_boxes, safe)
        distance = smooth_l1(boxes.of(taught.labels), wanted, self.beta).sum(dim=1)
        return self.weight * (distance * positive).sum() / total


@dataclass(frozen=True)
class Constraint:
    """A branch must beat another, detached, by a margin (TSD, eq. 7 and 8).

    Attributes:
        margins: per task; None leaves the task out. They are capped so that a probability or an IoU
            of 1 satisfies them.
        without_positives: what an image without positives adds to the means: its proposals
            ``as-others``, or ``one-zero`` for all of them (TSD's code).
    """

    margins: PerTask[float | None] = PerTask(None, None)  # noqa: RUF009 - frozen
    without_positives: WithoutPositives = "as-others"

    def cls(self, before: Tensor, after: Tensor, taught: Taught, margin: float) -> Tensor:
        """Of (K, C + 1) logits: the label's probability must be higher ``after``.

        A mean over all sampled proposals, background included.
        """
        at = taught.labels[:, None]
        first, second = (
            logits.float().softmax(dim=1).gather(1, at)[:, 0] for logits in (before.detach(), after)
        )
        valid = taught.rois.valid
        if self.without_positives == "one-zero":
            valid = valid & (taught.rois.matched >= 0).any(dim=1, keepdim=True)
        return self._mean(_hinge(first, second, margin), valid, taught)

    def loc(self, before: Tensor, after: Tensor, taught: Taught, margin: float) -> Tensor:
        """Of (K, 4) boxes: the IoU with the object must be higher ``after``.

        A mean over positives; 0 without any.
        """
        counted, wanted = taught.rois.positive[:, None], taught.target_boxes
        first, second = (
            aligned_iou(torch.where(counted, boxes, wanted), wanted)
            for boxes in (before.detach(), after)
        )
        return self._mean(_hinge(first, second, margin), taught.rois.matched >= 0, taught)

    def _mean(self, hinge: Tensor, counted: Tensor, taught: Taught) -> Tensor:
        """Mean of (K,) where (B, R) are ``counted``; an image that has none adds one 0, if so
        configured.
        """
        count = counted.sum()
        if self.without_positives == "one-zero":
            count = count + (taught.rois.matched < 0).all(dim=1).sum()
        return (hinge * counted.flatten()).sum() / normaliser(count)


def _hinge(before: Tensor, after: Tensor, margin: float) -> Tensor:
    wanted = torch.minimum(torch.full_like(before, margin), 1 - before)
    return (before + wanted - after).clamp(min=0)
