"""Adaptive training sample selection (Zhang et al. 2020, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from detbench.ops.boxes import aligned_iou, centers, side_distances
from detbench.ops.candidates import Candidates
from detbench.stages.assignment.assignment import BACKGROUND, Assignment, per_image
from detbench.structures import Targets


@dataclass(frozen=True)
class AtssAssigner:
    """An object's positives are its nearby anchors above the mean + deviation of their IoUs.

    Nearby are the ``top_k`` anchors of each level whose centres are closest. A positive's centre
    must lie inside the object by more than 0.01 pixels; an anchor wanted by several objects goes to
    the one it overlaps most.
    """

    top_k: int = 9

    def assign(
        self,
        candidates: Candidates,
        targets: Targets,
        predictions: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Assignment:
        batch, count = targets.valid.shape
        shape = (batch, len(candidates.points))
        matched = targets.labels.new_full(shape, BACKGROUND)
        if count == 0:
            return Assignment(matched, per_image(matched >= 0))
        nearby = self._nearby(candidates, targets)
        boxes = targets.boxes[:, :, None]
        iou = aligned_iou(candidates.boxes[nearby], boxes)
        threshold = iou.mean(dim=-1, keepdim=True) + iou.std(dim=-1, keepdim=True)
        inside = side_distances(candidates.points[nearby], boxes).amin(dim=-1) > 0.01
        positive = (iou >= threshold) & inside & targets.valid[..., None]
        matched = _resolve(shape, nearby, iou, positive)
        return Assignment(matched, per_image(matched >= 0))

    def _nearby(self, candidates: Candidates, targets: Targets) -> Tensor:
        """(B, G, K) indices of the nearest candidates, ``top_k`` a level or all it has."""
        middles = centers(targets.boxes)
        indices, start = [], 0
        for count in candidates.counts:
            points = candidates.points[start : start + count]
            squared = (middles[:, :, None] - points).square().sum(dim=-1)
            nearest = squared.topk(min(self.top_k, count), dim=-1, largest=False).indices
            indices.append(nearest + start)
            start += count
        return torch.cat(indices, dim=-1)


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
