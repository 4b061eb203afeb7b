"""FCOS's assignment: points in an object's centre, each object on the level of its size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops.boxes import areas, side_distances
from detbench.ops.candidates import Candidates
from detbench.stages.assignment.assignment import BACKGROUND, Assignment, Normaliser
from detbench.stages.assignment.center_sampling import in_center
from detbench.stages.outputs import Outputs
from detbench.stages.pairs import PAIRS, parts
from detbench.structures import Targets


class FcosAssigner(nn.Module):
    """Centre sampling and size ranges (FCOS, section 3.2); of several objects the smallest wins.

    Args:
        radius: half side of the centre box in strides, cut to the object; 0 takes the whole box.
        range_factor: a level of stride s takes longest distances in [f/2 s, f s].
    """

    normaliser: Normaliser = "batch"

    def __init__(self, radius: float, range_factor: float) -> None:
        super().__init__()
        self.radius = radius
        self.range_factor = range_factor

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        candidates = outputs.candidates
        (batch, count), places = targets.valid.shape, len(candidates.points)
        smallest = targets.boxes.new_full((batch, places), torch.inf)
        index = targets.labels.new_full((batch, places), BACKGROUND)
        order = torch.arange(count, device=index.device)
        for part in parts(batch, count, places, PAIRS) if count else ():
            usable = self._usable(candidates, targets.boxes[:, part]) & targets.valid[:, part, None]
            size = areas(targets.boxes[:, part])[..., None].expand_as(usable)
            here, which = size.masked_fill(~usable, torch.inf).min(dim=1)
            index = torch.where(here < smallest, order[part][which], index)
            smallest = torch.minimum(here, smallest)
        return Assignment(index)

    def _usable(self, candidates: Candidates, objects: Tensor) -> Tensor:
        """Which places are in the centre of which object, and of its size: (B, G, N)."""
        boxes = objects[:, :, None]
        longest = side_distances(candidates.points, boxes).amax(dim=-1)
        inside = in_center(candidates.points, candidates.strides, boxes, self.radius)
        low_limit, high_limit = self._ranges(candidates)
        return inside & (longest >= low_limit) & (longest <= high_limit)

    def _ranges(self, candidates: Candidates) -> tuple[Tensor, Tensor]:
        """(N,) lowest and highest distance of every candidate's level."""
        high = candidates.strides * self.range_factor
        low = high / 2
        first, last = candidates.counts[0], candidates.counts[-1]
        low = torch.cat((torch.full_like(low[:first], -1.0), low[first:]))
        high = torch.cat((high[: len(high) - last], torch.full_like(high[-last:], torch.inf)))
        return low, high
