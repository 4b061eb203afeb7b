"""Optimal transport with an entropy, from a few rows to many places (Cuturi 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Transport:
    """Suppliers of labels and places, each of which wants one (OTA, section 3.1).

    A supplier reaches K places alone, so that nothing of B G N is made. One more, the rest, reaches
    all and has what the others leave over.

    Attributes:
        cost: (B, G, K), of each supplier and place; infinite where nothing may go.
        places: (B, G, K), indices of the N places; none twice for a supplier.
        rest: (B, N), cost of the last supplier.
        supply: (B, G), how many labels each has; 0 is none at all, as in padding.
    """

    cost: Tensor
    places: Tensor
    rest: Tensor
    supply: Tensor


@dataclass(frozen=True)
class Sinkhorn:
    """How a plan is found.

    Attributes:
        epsilon: how much its entropy counts.
        iterations: how many, whether it converges or not.
    """

    epsilon: float
    iterations: int


def sinkhorn(problem: Transport, settings: Sinkhorn) -> tuple[Tensor, Tensor]:
    """The plan after so many iterations, in logarithms throughout, so that it is always finite.

    Places' potentials come first, as in OTA's code. Where the others have more than there are
    places, the rest has nothing.

    Returns:
        What goes from each supplier to its places, (B, G, K), and from the rest, (B, N).
    """
    epsilon = settings.epsilon
    real, index = problem.supply[..., None] > 0, problem.places.flatten(1)
    own = torch.where(real, -problem.cost / epsilon, -torch.inf)
    rest = -problem.rest / epsilon
    left = (rest.shape[1] - problem.supply.sum(dim=1, keepdim=True)).clamp(min=0)
    supply, left = _log(problem.supply)[..., None], _log(left)
    row, last = torch.zeros_like(supply), torch.zeros_like(left)
    for _ in range(settings.iterations):
        column = -_over_rows((row + own).flatten(1), last + rest, index)
        at = column.gather(1, index).view_as(own)
        row = torch.where(real, supply - (own + at).logsumexp(dim=-1, keepdim=True), 0.0)
        last = left - (rest + column).logsumexp(dim=1, keepdim=True)
    return (row + own + at).exp(), (last + rest + column).exp()


def _over_rows(own: Tensor, rest: Tensor, index: Tensor) -> Tensor:
    """(B, N): log-sum-exp at each place of (B, G K) entries ``own`` at ``index`` and (B, N)."""
    most = rest.scatter_reduce(1, index, own, "amax")
    total = (rest - most).exp().scatter_add(1, index, (own - most.gather(1, index)).exp())
    return most + total.log()


def _log(supply: Tensor) -> Tensor:
    return (supply + 1e-8).log()
