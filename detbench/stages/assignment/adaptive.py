"""Positives by a quality threshold that adapts to each object (ATSS, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from detbench.ops.boxes import centers, side_distances
from detbench.ops.candidates import Candidates
from detbench.stages.assignment.assignment import BACKGROUND, IGNORE, Assignment
from detbench.structures import Targets

NOBODY = 2**31 - 1


def adaptive(
    candidates: Candidates,
    targets: Targets,
    top_k: int,
    quality: Callable[[Tensor], Tensor],
    nearby: Tensor | None = None,
) -> Assignment:
    """An object's positives are its nearby candidates above the mean + deviation of their quality.

    Nearby are the ``top_k`` candidates of each level whose centres are closest. A positive's centre
    must lie inside the object; a candidate that is positive for several objects goes to that for
    which its quality is highest. Without objects, all are background.

    Args:
        quality: (B, G, K) indices of candidates to their quality for each object, (B, G, K), not
            negative.
        nearby: (B, G, K) others in place of the nearest, places in the padding of an image too; of
            these a positive is anywhere inside (DeFCN's code), of the nearest by more than 0.01
            pixels (MMDetection's).
    """
    batch, count = targets.valid.shape
    shape = (batch, len(candidates.points))
    within = candidates.within(targets.extents) if nearby is None else None
    edge = 0.01 if nearby is None else 0.0
    matched = targets.labels.new_full(shape, BACKGROUND)
    if count:
        if nearby is None:
            nearby = _nearby(candidates, targets, top_k, within)
        value = quality(nearby)
        usable = None if within is None else _at(within, nearby)
        boxes = targets.boxes[:, :, None]
        inside = side_distances(candidates.points[nearby], boxes).amin(dim=-1) > edge
        positive = (value >= _threshold(value, usable)) & inside & targets.valid[..., None]
        if usable is not None:
            positive = positive & usable
        matched = resolve(shape, nearby, value, positive)
    if within is not None:
        matched = matched.masked_fill(~within, IGNORE)
    return Assignment(matched)


def _nearby(candidates: Candidates, targets: Targets, top_k: int, within: Tensor | None) -> Tensor:
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
        nearest = squared.topk(min(top_k, count), dim=-1, largest=False).indices
        indices.append(nearest + start)
        start += count
    return torch.cat(indices, dim=-1)


def _at(within: Tensor, nearby: Tensor) -> Tensor:
    """(B, N) flags at (B, G, K) indices."""
    return within.gather(1, nearby.flatten(1)).view_as(nearby)


def _threshold(value: Tensor, usable: Tensor | None) -> Tensor:
    """(B, G, 1): mean and standard deviation, together, of each object's (B, G, K) quality."""
    if usable is None:
        return value.mean(dim=-1, keepdim=True) + value.std(dim=-1, keepdim=True)
    number = usable.sum(dim=-1, keepdim=True)
    mean = (value * usable).sum(dim=-1, keepdim=True) / number
    squared = ((value - mean).square() * usable).sum(dim=-1, keepdim=True)
    return mean + (squared / (number - 1)).sqrt()


def resolve(shape: tuple[int, int], nearby: Tensor, value: Tensor, positive: Tensor) -> Tensor:
    """One object per candidate: the positive pair with the highest quality, then the lowest index.

    Args:
        shape: (B, N).
        nearby, value, positive: (B, G, K) candidate indices, their quality, and which pairs count.
    """
    owner = torch.arange(nearby.shape[1], device=nearby.device)[:, None].expand_as(nearby)
    value = value.masked_fill(~positive, -1.0)
    return strongest(shape, nearby.flatten(1), owner.flatten(1), value.flatten(1))


def strongest(shape: tuple[int, int], index: Tensor, owner: Tensor, value: Tensor) -> Tensor:
    """(B, N): the object with the highest claim on each candidate, then the lowest index.

    Args:
        shape: (B, N).
        index, owner, value: (B, P), of claims: on which candidate, of which object, and how high; a
            negative one is none.
    """
    best = value.new_full(shape, -1.0).scatter_reduce(1, index, value, "amax")
    wins = (value >= 0) & (value == best.gather(1, index))
    owner = torch.where(wins, owner, NOBODY)
    matched = owner.new_full(shape, NOBODY).scatter_reduce(1, index, owner, "amin")
    return matched.masked_fill(matched == NOBODY, BACKGROUND)
