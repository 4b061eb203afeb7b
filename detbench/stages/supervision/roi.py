"""Losses of RoI detectors, on sampled proposals of a fixed number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from detbench.ops.boxes import aligned_iou
from detbench.ops.coding import Delta, smooth_l1
from detbench.sharing import normaliser

WithoutPositives = Literal["as-others", "one-zero"]


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy over the classes and background, a mean over valid proposals."""

    weight: float = 1.0

    def __call__(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """Logits (K, C + 1), background last; labels (K,); valid (K,), bool."""
        entropy = F.cross_entropy(logits.float(), labels, reduction="none")
        return self.weight * (entropy * valid).sum() / normaliser(valid.sum())


@dataclass(frozen=True)
class BoxLoss:
    """(Smooth) L1 on the deltas of positives, divided by a number of proposals.

    Attributes:
        code: deltas against the proposal.
        beta: 0 is L1.
        weight: of the loss.
        class_agnostic: predictions are (K, 4) instead of (K, 4 C).
    """

    code: Delta
    beta: float = 0.0
    weight: float = 1.0
    class_agnostic: bool = False

    def __call__(
        self,
        deltas: Tensor,
        references: Tensor,
        goals: Tensor,
        labels: Tensor,
        positive: Tensor,
        total: Tensor,
    ) -> Tensor:
        """Sum over positives divided by ``total``.

        Args:
            deltas: (K, 4) or (K, 4 C).
            references: (K, 4), what the deltas are relative to; gradient passes through.
            goals: (K, 4), each positive's object.
            labels: (K,), read at positives.
            positive: (K,), bool.
        """
        anywhere = references.new_tensor([0.0, 0.0, 1.0, 1.0])
        safe = torch.where(positive[:, None], references, anywhere)
        goals = torch.where(positive[:, None], goals, anywhere)
        chosen = self.of_class(deltas.float(), labels)
        distance = smooth_l1(chosen, self.code.encode(goals, safe), self.beta).sum(dim=1)
        return self.weight * (distance * positive).sum() / total

    def of_class(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """(K, 4): each proposal's deltas for its label; any label is allowed."""
        if self.class_agnostic:
            return deltas
        shaped = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
        index = labels.clamp(0, shaped.shape[1] - 1)
        return shaped.gather(1, index[:, None, None].expand(-1, 1, 4))[:, 0]


def constraint_cls(
    sibling: Tensor,
    main: Tensor,
    labels: Tensor,
    valid: Tensor,
    positive: Tensor,
    margin: float,
    without_positives: WithoutPositives = "as-others",
) -> Tensor:
    """The main branch's probability of the label must exceed the sibling's (TSD, eq. 7).

    The sibling is detached and the margin cut so that a probability of 1 satisfies it. A mean over
    all sampled proposals, background included.

    Args:
        sibling, main: logits (B R, C + 1), R proposals of each image; labels (B R,).
        valid, positive: (B, R), bool.
        without_positives: what an image without positives adds to the mean: its proposals
            ``as-others``, or ``one-zero`` for all of them (TSD's code).
    """
    at = labels[:, None]
    before = sibling.detach().float().softmax(dim=1).gather(1, at)[:, 0]
    after = main.float().softmax(dim=1).gather(1, at)[:, 0]
    hinge = _hinge(before, after, margin).reshape(valid.shape)
    if without_positives == "one-zero":
        valid = valid & positive.any(dim=1, keepdim=True)
    return _mean(hinge, valid, positive, without_positives)


def constraint_loc(
    sibling: Tensor,
    main: Tensor,
    goals: Tensor,
    positive: Tensor,
    margin: float,
    without_positives: WithoutPositives = "as-others",
) -> Tensor:
    """The main branch's IoU with the object must exceed the sibling's (TSD, eq. 8).

    A mean over positives; nothing without any.

    Args:
        sibling, main, goals: decoded boxes and objects, (B R, 4), xyxy; positive: (B, R), bool.
        without_positives: see ``constraint_cls``; images that have none add nothing or
            ``one-zero``.
    """
    anywhere = goals.new_tensor([0.0, 0.0, 1.0, 1.0])
    counted = positive.flatten()[:, None]
    before = aligned_iou(torch.where(counted, sibling.detach(), anywhere), goals)
    after = aligned_iou(torch.where(counted, main, anywhere), goals)
    hinge = _hinge(before, after, margin).reshape(positive.shape)
    return _mean(hinge, positive, positive, without_positives)


def _hinge(before: Tensor, after: Tensor, margin: float) -> Tensor:
    wanted = torch.minimum(torch.full_like(before, margin), 1 - before)
    return (before + wanted - after).clamp(min=0)


def _mean(hinge: Tensor, counted: Tensor, positive: Tensor, without: WithoutPositives) -> Tensor:
    """Mean of (B, R) where ``counted``, and of one 0 for each image that has none, if so wanted."""
    count = counted.sum()
    if without == "one-zero":
        count = count + (~positive.any(dim=1)).sum()
    return (hinge * counted).sum() / normaliser(count)
