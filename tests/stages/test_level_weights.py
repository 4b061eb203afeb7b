"""Factors of the pyramid's levels (DDOD, section 4.3 and Tables 2 and 7)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from detbench.assembly.common import make
from detbench.recipe.supervision import InterpolatedLevels, LinearLevels, SumLevels

COUNTS = torch.tensor([30, 12, 6, 2, 0])


def made(option: Any, levels: int = 5) -> Any:
    return make(option, levels=levels).train()


@pytest.mark.parametrize(
    ("first", "last", "factors"),
    [(1.0, 2.0, [1, 1.25, 1.5, 1.75, 2]), (3.0, 1.0, [3, 2.5, 2, 1.5, 1]), (1.0, 1.0, [1] * 5)],
)
def test_linear(first: float, last: float, factors: list[float]) -> None:
    linear = made(LinearLevels(kind="linear", first=first, last=last))
    assert linear(COUNTS).tolist() == pytest.approx(factors)
    assert not linear.state_dict()
    assert made(LinearLevels(kind="linear"), levels=3)(COUNTS[:3]).tolist() == [1, 1.5, 2]


def test_interpolated_between_the_most_and_the_fewest() -> None:
    alone = made(InterpolatedLevels(kind="interpolate", totals=False))
    assert alone(COUNTS).tolist() == pytest.approx([1, 1.6, 1.8, 2 - 2 / 30, 2])
    assert alone(COUNTS.flip(0)).tolist() == pytest.approx([2, 2 - 2 / 30, 1.8, 1.6, 1])
    assert alone(torch.full((5,), 4)).tolist() == [2] * 5
    assert not alone.state_dict()


def test_two_less_a_levels_share() -> None:
    alone = made(SumLevels(kind="sum", totals=False))
    assert alone(COUNTS).tolist() == pytest.approx([1.4, 1.76, 1.88, 1.96, 2])
    assert alone(torch.zeros(5, dtype=torch.int64)).tolist() == [2] * 5


@pytest.mark.parametrize("option", [SumLevels(kind="sum"), InterpolatedLevels(kind="interpolate")])
def test_totals_are_of_all_batches_so_far(option: Any) -> None:
    running = made(option)
    alone = made(option.model_copy(update={"totals": False}))
    batches = [COUNTS, torch.tensor([0, 4, 9, 1, 1]), torch.tensor([2, 0, 0, 0, 3])]
    for number, batch in enumerate(batches, start=1):
        assert torch.equal(running(batch), alone(torch.stack(batches[:number]).sum(dim=0)))
    assert running.state_dict()["positives_seen"].tolist() == [32, 16, 15, 3, 4]


def test_evaluation_counts_without_keeping() -> None:
    running = made(InterpolatedLevels(kind="interpolate"))
    running(COUNTS)
    kept = running.state_dict()["positives_seen"].clone()
    found = running.eval()(COUNTS)
    assert torch.equal(running.positives_seen, kept)
    assert torch.equal(running.train()(COUNTS), found)


def test_more_than_float32_can_count() -> None:
    running = made(InterpolatedLevels(kind="interpolate"))
    many = torch.tensor([2**25, 2**25 + 1, 0, 0, 0])
    running(many)
    assert running.positives_seen.tolist() == many.tolist()
