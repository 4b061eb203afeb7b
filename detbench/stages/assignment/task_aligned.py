"""Task-aligned assignment (TOOD; Feng et al. 2021, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops.boxes import pairwise_iou, side_distances
from detbench.stages.assignment.adaptive import resolve
from detbench.stages.assignment.assignment import BACKGROUND, IGNORE, Assignment, Normaliser
from detbench.stages.assignment.atss import AtssAssigner
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class TaskAlignedAssigner(nn.Module):
    """An object's positives are the predictions with the largest t = s^alpha u^beta (TOOD, eq. 1).

    s is the score of the object's class, u the predicted box's IoU with it. Of the largest count
    those above 0 whose centre is inside by more than 0.01 pixels; a prediction of several objects
    goes to that which it overlaps most. Its soft target is t, scaled so that the largest of an
    object is the largest u among its positives (section 3.2.2). In the first ``warmup`` epochs ATSS
    assigns, without soft targets: so losses know which of the two it was.

    Args:
        top_k: predictions of each object, over all levels.
        alpha, beta: see above.
        warmup: epochs.
        warmup_top_k: ATSS's nearest anchors of each level.
    """

    normaliser: Normaliser = "targets"

    def __init__(
        self, top_k: int, alpha: float, beta: float, warmup: float, warmup_top_k: int
    ) -> None:
        super().__init__()
        self.top_k, self.alpha, self.beta, self.warmup = top_k, alpha, beta, warmup
        self.first = AtssAssigner(warmup_top_k)

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        if epoch < self.warmup:
            first: Assignment = self.first(outputs, targets, epoch)
            return first
        candidates = outputs.candidates
        shape = (len(targets.valid), len(candidates.points))
        matched = targets.labels.new_full(shape, BACKGROUND)
        target = outputs.code.new_zeros(shape)
        within = candidates.within(targets.extents)
        if targets.valid.shape[1]:
            usable = targets.valid[..., None]
            usable = usable if within is None else usable & within[:, None]
            iou = pairwise_iou(targets.boxes, outputs.boxes)
            metric = self._alignment(outputs.scores, targets.labels, iou) * usable
            value, chosen = metric.topk(min(self.top_k, shape[1]), dim=-1)
            distances = side_distances(candidates.points[chosen], targets.boxes[:, :, None])
            positive = (value > 0) & (distances.amin(dim=-1) > 0.01)
            matched = resolve(shape, chosen, iou.gather(-1, chosen), positive)
            target = _soft(matched, metric, iou)
        if within is not None:
            matched = matched.masked_fill(~within, IGNORE)
        return Assignment(matched, target=target)

    def _alignment(self, scores: Tensor, labels: Tensor, iou: Tensor) -> Tensor:
        """(B, G, N): of each object with each prediction."""
        index = labels[..., None].expand(-1, -1, scores.shape[1])
        own = scores.transpose(1, 2).gather(1, index)
        return own.pow(self.alpha) * iou.pow(self.beta)


def _soft(matched: Tensor, metric: Tensor, iou: Tensor) -> Tensor:
    """(B, N) soft targets in [0, 1] of matches (B, N), 0 elsewhere, from (B, G, N) of all pairs."""
    index, positive = matched.clamp(min=0), matched >= 0

    def own_and_best(pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Of each candidate's object: at the candidate, and the largest at any of its positives."""
        own = pairs.gather(1, index[:, None])[:, 0] * positive
        best = torch.zeros_like(pairs[..., 0]).scatter_reduce(1, index, own, "amax")
        return own, best.gather(1, index)

    own, best = own_and_best(metric)
    return own / (best + 1e-7) * own_and_best(iou)[1]
