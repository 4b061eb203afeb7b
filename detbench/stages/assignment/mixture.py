"""Probabilistic anchor assignment (PAA; Kim and Lee 2020, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops import focal
from detbench.ops.boxes import giou_loss
from detbench.ops.constant import constant
from detbench.ops.mixture import fitted
from detbench.stages.assignment.assignment import BACKGROUND, Assignment, Normaliser
from detbench.stages.assignment.iou import IouAssigner
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class MixtureAssigner(nn.Module):
    """An object's positives are the candidates of least loss, by a mixture of two Gaussians.

    Candidates are anchors that overlap the object by ``iou`` or more, and those that overlap it
    most (``IouAssigner``). Of each level the ``top_k`` with the least loss are fitted; positives
    are those that the component of lower losses explains better, up to the most likely of them
    (figure 3c, as in the released code). With fewer than two candidates an object has none.

    Args:
        iou, top_k: see above.
        alpha, gamma: of the focal loss in a candidate's loss.
        loc_weight: of the GIoU loss in it.
        iterations: of the fit, at most.
    """

    normaliser: Normaliser = "batch"

    def __init__(
        self,
        iou: float,
        top_k: int,
        alpha: float,
        gamma: float,
        loc_weight: float,
        iterations: int,
    ) -> None:
        super().__init__()
        self.overlapping = IouAssigner(iou, iou, 0.0, match_low_quality=True)
        self.top_k, self.iterations = top_k, iterations
        self.alpha, self.gamma, self.loc_weight = alpha, gamma, loc_weight

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        first: Assignment = self.overlapping(outputs, targets, epoch)
        count = targets.valid.shape[1]
        if not count:
            return first
        loss = self._losses(outputs, targets, first)
        chosen, least = self._least(loss, first.matched, count, outputs.candidates.counts)
        positive = lower(least, self.iterations).flatten(1)
        kept = torch.zeros_like(first.matched)
        kept = kept.scatter_reduce(1, chosen.flatten(1), positive.long(), "amax")
        return Assignment(first.matched.masked_fill(first.positive & (kept == 0), BACKGROUND))

    @torch.no_grad()
    def _losses(self, outputs: Outputs, targets: Targets, first: Assignment) -> Tensor:
        """(B, N): what each candidate would cost as a positive of its object."""
        labels, positive = first.labels(targets), first.positive[..., None]
        logits = outputs.logits.float()
        background = (1 - self.alpha) * focal.background(logits, self.gamma)
        at = logits.gather(-1, labels[..., None])[..., 0]
        anywhere = constant([0.0, 0.0, 1.0, 1.0], outputs.code.device)
        boxes = torch.where(positive, first.boxes(targets), anywhere)
        predicted = torch.where(positive, outputs.boxes, anywhere)
        classes = background.sum(dim=-1) + focal.as_positive(at, self.alpha, self.gamma)
        return classes + self.loc_weight * giou_loss(predicted, boxes)

    def _least(
        self, loss: Tensor, matched: Tensor, count: int, counts: list[int]
    ) -> tuple[Tensor, Tensor]:
        """(B, G, K) candidates of each object in the order of their losses, and these; inf where an
        object has fewer.
        """
        objects = torch.arange(count, device=loss.device)[:, None]
        indices, values, start = [], [], 0
        for number in counts:
            level = slice(start, start + number)
            own = matched[:, None, level] == objects
            costs = torch.where(own, loss[:, None, level], torch.inf)
            value, index = costs.topk(min(self.top_k, number), dim=-1, largest=False)
            indices.append(index + start)
            values.append(value)
            start += number
        ordered, order = torch.cat(values, dim=-1).sort(dim=-1, stable=True)
        return torch.cat(indices, dim=-1).gather(-1, order), ordered


def lower(losses: Tensor, iterations: int) -> Tensor:
    """Which of each row's losses are positive, see ``MixtureAssigner``.

    Args:
        losses: (..., K), rising; inf at the end of rows that have fewer.

    Returns:
        (..., K), bool.
    """
    there = losses.isfinite()
    parts = fitted(torch.where(there, losses, 0.0).double(), there, iterations)
    low = (parts[..., 0] >= parts[..., 1]) & there
    likelihood = parts.logsumexp(dim=-1).masked_fill(~low, -torch.inf)
    last = likelihood.argmax(dim=-1, keepdim=True)
    place = torch.arange(losses.shape[-1], device=losses.device)
    enough = there.sum(dim=-1, keepdim=True) >= 2
    return low & (place <= last) & enough
