"""One place for each object, the best in all (the assignment problem; Kuhn 1955)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

OUTSIDE = -1.0
"""What a place counts that is not among an object's own."""


def one_to_one(quality: Tensor, places: Tensor, valid: Tensor, total: int) -> Tensor:
    """Match objects to places so that the sum of their qualities is highest, exactly.

    Solved in memory, by scipy: on a GPU this waits for the device once, however many images. It is
    asked about all pairs in DeFCN's code, and of several best matches it takes one by the order of
    places; so it does here, where places that are no object's own, and so all alike, are left out
    but for as many of the first as can be taken.

    Args:
        quality: (B, G, K), more than ``OUTSIDE`` in places that are an object's own.
        places: (B, G, K), their indices, none twice for an object.
        valid: (B, G), bool; the rest is padding. G may be 0.
        total: N, of all places.

    Returns:
        (B, G), each object's place, whether its own or not; -1 in padding, and where objects are
        more than places.
    """
    batch, count, _ = quality.shape
    if count == 0:
        return places.new_zeros(batch, 0)
    quality = quality.masked_fill(~valid[..., None], -torch.inf)
    told = torch.stack((quality.double(), places.double()))
    return solve(told.cpu(), total).to(quality.device, non_blocking=True)


def solve(told: Tensor, total: int) -> Tensor:
    """Qualities and places, (2, B, G, K) in memory, to (B, G) places, or -1."""
    images = zip(*told.numpy(), strict=True)
    found = [_of_image(quality, places, total) for quality, places in images]
    return torch.from_numpy(np.stack(found))


def _of_image(quality: np.ndarray, places: np.ndarray, total: int) -> np.ndarray:
    """One image's (G, K) to (G,) places, or -1; rows of -inf are padding."""
    from scipy.optimize import linear_sum_assignment

    found = np.full(len(quality), -1, dtype=np.int64)
    rows = np.flatnonzero(quality[:, 0] > -np.inf)
    quality, places = quality[rows], places[rows].astype(np.int64)
    own = quality > OUTSIDE
    columns = np.union1d(np.arange(min(total, 2 * len(rows))), places[own])
    table = np.full((len(rows), len(columns)), OUTSIDE)
    table[own.nonzero()[0], np.searchsorted(columns, places[own])] = quality[own]
    matched, column = linear_sum_assignment(table, maximize=True)
    found[rows[matched]] = columns[column]
    return found
