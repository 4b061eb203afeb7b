"""Adaptive training sample selection (Zhang et al. 2020, algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench.ops.boxes import aligned_iou, centers, side_distances
from detbench.ops.candidates import Candidates
from detbench.stages.assignment.assignment import BACKGROUND, IGNORE, Assignment, Normaliser
from detbench.stages.outputs import Outputs
from detbench.structures import Targets


class AtssAssigner(nn.Module):
    """An object's positives are its nearby anchors above the mean + deviation of their IoUs.

    Nearby are the ``top_k`` anchors of each level whose centres are closest. A positive's centre
    must lie inside the object by more than 0.01 pixels; an anchor wanted by several objects goes to
    the one it overlaps most.
    """

    normaliser: Normaliser = "images"

    def __init__(self, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        candidates = outputs.candidates
        batch, count = targets.valid.shape
        shape = (batch, len(candidates.points))
        within = candidates.within(targets.extents)
        matched = targets.labels.new_full(shape, BACKGROUND)
        if count:
            nearby = self._nearby(candidates, targets, within)
            boxes = targets.boxes[:, :, None]
            iou = aligned_iou(candidates.boxes[nearby], boxes)
            usable = None if within is None else _at(within, nearby)
            inside = side_distances(candidates.points[nearby], boxes).amin(dim=-1) > 0.01
            positive = (iou >= _threshold(iou, usable)) & inside & targets.valid[..., None]
            if usable is not None:
                positive = positive & usable
            matched = _resolve(shape, nearby, iou, positive)
        if within is not None:
            matched = matched.masked_fill(~within, IGNORE)
        return Assignment(matched)

    def _nearby(self, candidates: Candidates, targets: Targets, within: Tensor | None) -> Tensor:
        """(B, G, K) indices of the nearest candidates, ``top_k`` a level or all it has.

        Of a level that has fewer ``within`` an image, others are taken last, and do not count.
        """
        middles = centers(targets.boxes)
        indices, start = [], 0
        for count in candidates.counts:
            points = candidates.points[start : start + count]
            squared = (middles[:, :, None] - points).square().sum(dim=-1)
            if within is not None:
                outside = ~within[:, None, start : start + count]
                squared = squared.masked_fill(outside, torch.inf)
            nearest = squared.topk(min(self.top_k, count), dim=-1, largest=False).indices
            indices.append(nearest + start)
            start += count
        return torch.cat(indices, dim=-1)


def _at(within: Tensor, nearby: Tensor) -> Tensor:
    """(B, N) flags at (B, G, K) indices."""
    return within.gather(1, nearby.flatten(1)).view_as(nearby)


def _threshold(iou: Tensor, usable: Tensor | None) -> Tensor:
    """(B, G, 1): mean and standard deviation, together, of each object's (B, G, K) overlaps."""
    if usable is None:
        return iou.mean(dim=-1, keepdim=True) + iou.std(dim=-1, keepdim=True)
    number = usable.sum(dim=-1, keepdim=True)
    mean = (iou * usable).sum(dim=-1, keepdim=True) / number
    squared = ((iou - mean).square() * usable).sum(dim=-1, keepdim=True)
    return mean + (squared / (number - 1)).sqrt()


def _resolve(shape: tuple[int, int], nearby: Tensor, iou: Tensor, positive: Tensor) -> Tensor:
    """One object per candidate: the positive pair with the highest IoU, then the lowest index.

    Args:
        shape: (B, N).
        nearby, iou, positive: (B, G, K) candidate indices, overlaps, and which pairs count.
    """
    batch, count, _ = nearby.shape
    index = nearby.flatten(1)
    value = iou.masked_fill(~positive, -1.0).flatten(1)
    best = value.new_full(shape, -1.0).scatter_reduce(1, index, value, "amax")
    owner = torch.arange(count, device=iou.device)[:, None].expand_as(nearby[0])
    owner = owner.expand(batch, -1, -1).flatten(1)
    wins = positive.flatten(1) & (value == best.gather(1, index))
    owner = torch.where(wins, owner, count)
    matched = owner.new_full(shape, count).scatter_reduce(1, index, owner, "amin")
    return matched.masked_fill(matched == count, BACKGROUND)
