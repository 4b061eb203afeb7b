"""Optimal transport with an entropy, from a few rows to many places (Cuturi 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Transport:
    """Suppliers of labels and places, each of which wants one (OTA, section 3.1).

    A supplier reaches K places alone, so that nothing of B G N is made. A few more reach all; the
    last of them is the rest, which has what the others leave over.

    Attributes:
        cost: (B, G, K), of each supplier and place; infinite where nothing may go.
        places: (B, G, K), indices of the N places; none twice for a supplier.
        supply: (B, G), how many labels each has; 0 is none at all, as in padding.
        far: (B, U + 1, N), costs of those that reach all places, the rest last.
        given: (B, U), what they have, but for the rest.
    """

    cost: Tensor
    places: Tensor
    supply: Tensor
    far: Tensor
    given: Tensor


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
        What goes from each supplier to its places, (B, G, K), and from those that reach all,
        (B, U + 1, N).
    """
    index = problem.places.flatten(1)
    gone = problem.supply.sum(dim=1) + problem.given.sum(dim=1)
    left = (problem.far.shape[-1] - gone).clamp(min=0)[:, None]
    near = _Rows(problem.cost, problem.supply, problem.supply > 0, settings.epsilon)
    there = torch.cat((problem.given > 0, torch.ones_like(left, dtype=torch.bool)), dim=1)
    far = _Rows(problem.far, torch.cat((problem.given, left), dim=1), there, settings.epsilon)
    for _ in range(settings.iterations):
        column = -_over_rows(near.now().flatten(1), far.now().logsumexp(dim=1), index)
        at, every = column.gather(1, index).view_as(near.own), column[:, None]
        near.give(at)
        far.give(every)
    return (near.now() + at).exp(), (far.now() + every).exp()


class _Rows:
    """Suppliers with their potentials.

    Args:
        cost: (B, G, n); supply: (B, G).
        real: (B, G), bool; the others give nothing.
        epsilon: see ``Sinkhorn``.
    """

    def __init__(self, cost: Tensor, supply: Tensor, real: Tensor, epsilon: float) -> None:
        self.real, self.supply = real[..., None], (supply + 1e-8).log()[..., None]
        self.own = torch.where(self.real, -cost / epsilon, -torch.inf)
        self.row = torch.zeros_like(self.supply)

    def now(self) -> Tensor:
        """(B, G, n): the plan's logarithm without what the places add."""
        return self.row + self.own

    def give(self, column: Tensor) -> None:
        """All that they have, at places' potentials (B, G or 1, n)."""
        total = (self.own + column).logsumexp(dim=-1, keepdim=True)
        self.row = torch.where(self.real, self.supply - total, 0.0)


def _over_rows(own: Tensor, rest: Tensor, index: Tensor) -> Tensor:
    """(B, N): log-sum-exp at each place of (B, G K) entries ``own`` at ``index`` and (B, N)."""
    most = rest.scatter_reduce(1, index, own, "amax")
    total = (rest - most).exp().scatter_add(1, index, (own - most.gather(1, index)).exp())
    return most + total.log()
