"""Every place inside an object is its own, the more so the nearer to its centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops.boxes import centers, side_distances
from detbench.ops.candidates import Candidates
from detbench.stages.assignment.assignment import BACKGROUND, Assignment, Normaliser
from detbench.stages.classes import ClassRows
from detbench.stages.outputs import Outputs
from detbench.stages.pairs import LITTLE, in_parts
from detbench.structures import Targets


class CenterPrior(nn.Module):
    """A Gaussian of each class about an object's centre, over all levels (AutoAssign, eq. 5).

    Distances are in strides. A place inside several objects belongs to all of them (``pairs``);
    ``matched`` is that of the largest prior, which weighs a positive for losses of one task.

    Args:
        classes: how many.
        sigma: deviation of each axis, to start with.
        learnt: means and deviations are trained; otherwise they stay (DW).
        threshold: priors above it are 1, all others next to nothing; None keeps them.
    """

    normaliser: Normaliser = "batch"
    mean: Tensor
    sigma: Tensor

    def __init__(
        self, classes: int, sigma: float, learnt: bool, threshold: float | None = None
    ) -> None:
        super().__init__()
        for name, value in (("mean", 0.0), ("sigma", sigma)):
            start = torch.full((classes, 2), value)
            if learnt:
                self.register_parameter(name, nn.Parameter(start))
            else:
                self.register_buffer(name, start)
        self.threshold = threshold

    def per_class(self) -> dict[str, ClassRows]:
        return {"mean": ClassRows(), "sigma": ClassRows()}

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        candidates = outputs.candidates
        boxes, labels, valid = targets.boxes, targets.labels, targets.valid

        def prior(boxes: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
            return self.prior(candidates, boxes, labels) * valid[..., None]

        pairs = in_parts(prior, len(candidates.points), boxes, labels, valid)
        if not boxes.shape[1]:
            shape = (len(boxes), len(candidates.points))
            return Assignment(labels.new_full(shape, BACKGROUND), pairs=pairs)
        best, index = pairs.detach().max(dim=1)
        taken = best > 0
        weight = torch.where(taken, best, 1.0)
        return Assignment(index.masked_fill(~taken, BACKGROUND), weight, pairs=pairs)

    def prior(self, candidates: Candidates, boxes: Tensor, labels: Tensor) -> Tensor:
        """(B, G, 4) boxes of (B, G) classes to (B, G, N): more than 0 inside, 0 elsewhere."""
        offset = candidates.points - centers(boxes)[:, :, None]
        offset = offset / candidates.strides[:, None] - self.mean[labels][:, :, None]
        spread = (2 * self.sigma[labels].square()).clamp(min=1e-6)
        prior = (-offset.square() / spread[:, :, None]).sum(dim=-1).exp()
        if self.threshold is not None:
            prior = (prior > self.threshold).to(prior.dtype)
        inside = side_distances(candidates.points, boxes[:, :, None]).amin(dim=-1) > 0
        return prior.clamp(min=LITTLE) * inside
