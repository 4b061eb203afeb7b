"""One place for each object, the best in all (the assignment problem; Kuhn 1955)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

OUTSIDE = -1.0
NONE = OUTSIDE - 2e-4
"""Of an object that has no place left among its own; less than any of those, by next to nothing."""


def one_to_one(quality: Tensor, places: Tensor, valid: Tensor) -> Tensor:
    """Match objects to places so that the sum of their qualities is highest, exactly.

    Solved in memory, by scipy: on a GPU this waits for the device once, however many images. A best
    match takes each object to one of its G best places, as the others cannot take all of them; so
    few have to be looked at.

    Args:
        quality: (B, G, K), at least -1, which is what a place that is not among the K counts.
        places: (B, G, K), their indices.
        valid: (B, G), bool; the rest is padding. G may be 0.

    Returns:
        (B, G), each object's place; -1 where it has none: in padding, and where others have all
        that were worth looking at.
    """
    batch, count, _ = quality.shape
    if count == 0:
        return places.new_zeros(batch, 0)
    best, order = quality.sort(dim=-1, descending=True, stable=True)
    best, order = best[..., :count], order[..., :count]
    best = best.masked_fill(~valid[..., None], -torch.inf)
    told = torch.stack((best.double(), places.gather(-1, order).double()))
    return solve(told.cpu()).to(quality.device, non_blocking=True)


def solve(told: Tensor) -> Tensor:
    """Qualities and places, (2, B, G, K) in memory, to (B, G) places, or -1."""
    return torch.from_numpy(
        np.stack([_of_image(*image) for image in zip(*told.numpy(), strict=True)])
    )


def _of_image(quality: np.ndarray, places: np.ndarray) -> np.ndarray:
    """One image's (G, K) to (G,) places, or -1; rows of -inf are padding."""
    from scipy.optimize import linear_sum_assignment

    found = np.full(len(quality), -1, dtype=np.int64)
    rows = np.flatnonzero(quality[:, 0] > -np.inf)
    quality, places = quality[rows, : len(rows)], places[rows, : len(rows)]
    columns, at = np.unique(places.astype(np.int64), return_inverse=True)
    table = np.full((len(rows), len(columns) + len(rows)), NONE)
    table[:, : len(columns)] = 2 * NONE
    np.put_along_axis(table, at.reshape(quality.shape), quality, axis=1)
    matched, column = linear_sum_assignment(table, maximize=True)
    has = column < len(columns)
    found[rows[matched[has]]] = columns[column[has]]
    return found
