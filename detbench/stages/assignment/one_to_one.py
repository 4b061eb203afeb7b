"""One place for each object, so that nothing has to be suppressed (DeFCN; Wang et al. 2021)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from detbench.ops.boxes import aligned_iou
from detbench.ops.matching import OUTSIDE, one_to_one
from detbench.stages.assignment.adaptive import resolve
from detbench.stages.assignment.assignment import BACKGROUND, Assignment, Normaliser
from detbench.stages.assignment.center_sampling import around
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class OneToOneAssigner(nn.Module):
    """Each object's only positive is the place whose prediction fits it (POTO, eqs. 3 to 5).

    The quality of a prediction is p^(1 - alpha) IoU^alpha in the object's centre, with the score p
    of the object's class, and -1 elsewhere.

    Args:
        alpha: 0.8 in the paper.
        radius: half side of the square around an object's centre in strides, cut to the object; 0
            takes the whole object.
        match: ``hungarian`` finds the best match in all, in memory (see ``ops.matching``), and an
            object without a place in its centre has one that is left, as in the code: the first.
            ``argmax`` takes each object's best place: without one it has none, and of several
            objects the better one keeps a place.
    """

    normaliser: Normaliser = "batch"

    def __init__(self, alpha: float, radius: float, match: Literal["hungarian", "argmax"]) -> None:
        super().__init__()
        self.alpha, self.radius, self.match = alpha, radius, match

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        shape = (len(targets.valid), len(outputs.candidates.points))
        if targets.valid.shape[1] == 0:
            return Assignment(targets.labels.new_full(shape, BACKGROUND))
        places, inside = around(outputs.candidates, targets.boxes, self.radius)
        quality = self._quality(outputs, targets, places)
        if self.match == "argmax":
            best, at = quality.masked_fill(~inside, OUTSIDE).max(dim=-1, keepdim=True)
            positive = (best >= 0) & targets.valid[..., None]
            return Assignment(resolve(shape, places.gather(-1, at), best, positive))
        quality = quality.masked_fill(~inside, OUTSIDE)
        found = one_to_one(quality, places, targets.valid, shape[1])
        return Assignment(self._matched(shape, found))

    def _quality(self, outputs: Outputs, targets: Targets, places: Tensor) -> Tensor:
        """(B, G, K), in [0, 1]; only the score of the object's class is read."""
        image = torch.arange(len(places), device=places.device)[:, None, None]
        scores = outputs.scores[image, places, targets.labels[..., None]]
        iou = aligned_iou(outputs.boxes[image, places], targets.boxes[:, :, None])
        return scores.pow(1 - self.alpha) * iou.pow(self.alpha)

    @staticmethod
    def _matched(shape: tuple[int, int], found: Tensor) -> Tensor:
        """(B, G) places, or -1, to the object of each of (B, N) places."""
        batch, count = shape
        room = found.new_full((batch, count + 1), BACKGROUND)
        owner = torch.arange(found.shape[1], device=found.device).expand_as(found)
        return room.scatter(1, found.remainder(count + 1), owner)[:, :count]
