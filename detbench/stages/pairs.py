"""Pairs of an object and a place, in parts, so that their memory is bounded.

B images, G objects, N places, C classes. Of 300 objects and 22,000 places one number a pair is kept
at most; what is computed on the way, and again in the backward pass, is of ``AT_ONCE`` pairs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

AT_ONCE = 2**20
"""Pairs of all images together that are computed at once; those of one object at least."""
PAIRS = 2**24
"""As many where a pair is a number or two that nothing is learnt through."""
LITTLE = torch.finfo(torch.float32).tiny
"""The weight of a place that is an object's, but counts nothing as its positive."""


def parts(images: int, objects: int, places: int, pairs: int | None = None) -> list[slice]:
    """Objects to take at once, ``pairs`` with places (by default ``AT_ONCE``) or of one object at
    least; one empty part where there is none.
    """
    size = max(1, (pairs or AT_ONCE) // max(1, images * places))
    return [slice(start, start + size) for start in range(0, max(1, objects), size)]


def in_parts(function: Callable[..., Tensor], places: int, *objects: Tensor) -> Tensor:
    """``function`` of ``objects``, each (B, G, ...), computed in parts of them.

    Where there are several, the backward pass computes each again, in place of what it would keep.

    Args:
        function: of tensors (B, g, ...), to (B, g, ...); g may be 0.
        places: N.

    Returns:
        (B, G, ...).
    """
    each = parts(len(objects[0]), objects[0].shape[1], places)
    if len(each) == 1:
        return function(*objects)
    found = [
        checkpoint(
            function,
            *(tensor[:, part] for tensor in objects),
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for part in each
    ]
    return torch.cat(found, dim=1)


def kinds(labels: Tensor, classes: int) -> Tensor:
    """(B, G) classes of objects to (B, G, C), 1 at each one's class."""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).float()


def of_class(scores: Tensor, labels: Tensor) -> Tensor:
    """(B, N, C) scores to (B, G, N), those of each object's class.

    A product with zeros and ones, whose gradient is the same in every run on a GPU too.
    """
    return kinds(labels, scores.shape[-1]) @ scores.transpose(1, 2)


def by_class(
    values: Callable[[slice], Tensor], pairs: Tensor, labels: Tensor, count: int
) -> Tensor:
    """(B, C, N): at each place and class the value of the last object there, 1 without one.

    Args:
        values: of a part of the objects, (B, g, N), without gradient.
        pairs: (B, G, N), more than 0 at an object's places.
        labels: (B, G).
        count: C.
    """
    images, objects, places = pairs.shape
    found = pairs.new_ones(images, count, places)
    for part in parts(images, objects, places):
        inside, value = pairs[:, part] > 0, values(part)
        order = torch.arange(1, inside.shape[1] + 1, device=pairs.device, dtype=torch.int32)
        number = order[:, None] * inside
        index = labels[:, part, None].expand_as(number)
        none = number.new_zeros(images, count, places)
        last = none.scatter_reduce(1, index, number, "amax")
        wins = inside & (number == last.gather(1, index))
        placed = kinds(labels[:, part], count).transpose(1, 2) @ value.masked_fill(~wins, 0.0)
        found = torch.where(last > 0, placed, found)
    return found


def spread(values: Tensor, inside: Tensor, most: float = torch.inf) -> Tensor:
    """(B, G, N) values scaled to [0, 1] over each object's places; arbitrary elsewhere.

    Args:
        most: the upper end is at most this; larger values are arbitrary.
    """
    least = 1e-12
    low = values.masked_fill(~inside, torch.inf).amin(dim=-1, keepdim=True)
    high = values.masked_fill(~inside, -torch.inf).amax(dim=-1, keepdim=True).clamp(max=most)
    return (values - low + least) / (high - low + least)
