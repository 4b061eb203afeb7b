"""Sinkhorn over few places, against the dense one in double precision, and where it could break."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detbench.ops.transport import Sinkhorn, Transport, sinkhorn

SETTINGS = Sinkhorn(epsilon=0.1, iterations=50)


def dense(problem: Transport, settings: Sinkhorn) -> tuple[Tensor, Tensor]:
    """One image, all pairs: each supplier's cost where it does not reach is infinite."""
    total = problem.far.shape[-1]
    cost = torch.full((problem.cost.shape[1], total), torch.inf).double()
    cost.scatter_(1, problem.places[0], problem.cost[0].double())
    cost = torch.cat((cost, problem.far[0].double()))
    supply = torch.cat((problem.supply[0], problem.given[0]))
    supply = torch.cat((supply, total - supply.sum()[None])).double()
    kernel = -cost / settings.epsilon
    row = torch.zeros(len(cost), 1, dtype=torch.float64)
    for _ in range(settings.iterations):
        column = -(row + kernel).logsumexp(dim=0)
        row = (supply + 1e-8).log()[:, None] - (kernel + column).logsumexp(dim=1, keepdim=True)
    plan = (row + kernel + column).exp()
    count = problem.cost.shape[1]
    return plan[:count].gather(1, problem.places[0]), plan[count:]


def problem(
    batch: int, count: int, width: int, places: int, supply: float = 2.0, far: int = 0
) -> Transport:
    random = torch.Generator().manual_seed(count)
    order = torch.rand(batch, count, places, generator=random).argsort(dim=-1)[..., :width]
    return Transport(
        cost=2 * torch.rand(batch, count, width, generator=random).log().neg(),
        places=order,
        supply=torch.full((batch, count), supply),
        far=torch.rand(batch, far + 1, places, generator=random),
        given=torch.ones(batch, far),
    )


@pytest.mark.parametrize("far", [0, 3])
def test_few_places_are_all_pairs_with_infinite_costs(far: int) -> None:
    made = problem(1, 6, 20, 90, far=far)
    plan, rest = sinkhorn(made, SETTINGS)
    wanted, left = dense(made, SETTINGS)
    torch.testing.assert_close(plan[0].double(), wanted, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(rest[0].double(), left, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(plan.sum(-1), made.supply, rtol=1e-3, atol=0)
    torch.testing.assert_close(rest[:, :-1].sum(-1), made.given, rtol=1e-3, atol=0)


def test_padding_takes_nothing_and_changes_nothing() -> None:
    made = problem(2, 5, 10, 60, far=2)
    made.supply[0, 3:] = 0
    made.supply[1] = 0
    made.given[0, 1:] = 0
    made.given[1] = 0
    plan, rest = sinkhorn(made, SETTINGS)
    few = (made.cost[:1, :3], made.places[:1, :3], made.supply[:1, :3])
    alone = Transport(*few, made.far[:1, [0, 2]], made.given[:1, :1])
    own, left = sinkhorn(alone, SETTINGS)
    assert torch.equal(plan[0, :3], own[0])
    assert torch.equal(rest[0, [0, 2]], left[0])
    assert (rest[0, 1] == 0).all()
    assert (plan[0, 3:] == 0).all()
    assert (plan[1] == 0).all()
    torch.testing.assert_close(rest[1, -1], torch.ones(60))


def test_it_is_finite_at_any_cost_and_supply() -> None:
    """More is supplied than there are places; costs of nothing, of much, of infinity."""
    made = problem(1, 40, 8, 12, supply=5.0)
    made.cost[0, 0] = 1e6
    made.cost[0, 1] = 0
    made.cost[0, 2, 1:] = torch.inf
    made.far[0, -1, :4] = 1e4
    for found in sinkhorn(made, SETTINGS):
        assert found.isfinite().all()
        assert (found >= 0).all()
