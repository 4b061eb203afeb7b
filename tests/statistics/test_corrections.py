"""Several differences together: against scipy, by hand, and on made replicates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detbench.statistics.corrections import (
    benjamini_hochberg,
    holm,
    max_t,
    not_worse,
    together,
)
from detbench.statistics.estimate import Estimate, central, share

P = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@settings(max_examples=50, deadline=None)
@given(p=P)
def test_benjamini_and_hochberg_are_scipys(p: list[float]) -> None:
    from scipy.stats import false_discovery_control

    assert benjamini_hochberg(p) == pytest.approx(list(false_discovery_control(p)))


@settings(max_examples=50, deadline=None)
@given(p=P)
def test_holm_rejects_as_its_steps_do(p: list[float]) -> None:
    """Smallest first, at 0.05 / how many are left, until one is not rejected."""
    rejected, order = set(), sorted(range(len(p)), key=lambda i: p[i])
    for step, place in enumerate(order):
        if p[place] > 0.05 / (len(p) - step):
            break
        rejected.add(place)
    assert {i for i, one in enumerate(holm(p)) if one <= 0.05} == rejected


def _students(values: list[float], freedom: float = 4.0) -> list[Estimate]:
    return [Estimate(v, np.zeros(999), 1.0, freedom, 100, True) for v in values]


def _by_images(values: list[float], rng: np.random.Generator) -> list[Estimate]:
    shared = rng.normal(size=999)
    made = [v + shared + 0.5 * rng.normal(size=999) for v in values]
    pairs = zip(values, made, strict=True)
    return [Estimate(v, d, float(d.var(ddof=1)), math.inf, 100, False) for v, d in pairs]


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-12, 12), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_p_and_interval_never_contradict(values: list[float], seed: int) -> None:
    for found in (_students(values), _by_images(values, np.random.default_rng(seed))):
        for one, adjusted in zip(found, together(found), strict=True):
            (low, high), alone = one.interval(), one.p()
            assert (alone <= 0.05) == (low > 0 or high < 0)
            wide = adjusted.ends
            # A sign that Holm finds may have 0 for its end.
            clear = (wide[0] >= 0 or wide[1] <= 0) if one.seeds else (wide[0] > 0 or wide[1] < 0)
            assert (adjusted.p <= 0.05) == clear
            assert adjusted.p >= alone
            assert wide[0] <= low + 1e-9 or (one.seeds and wide[0] == 0)
            assert wide[1] >= high - 1e-9 or (one.seeds and wide[1] == 0)


def test_max_t_knows_that_rows_share_their_replicates() -> None:
    """Eleven copies of one row are one row; eleven independent ones cost about what Sidak says."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=20_000)
    copies = max_t([2.5] * 11, 2.5 + np.tile(one, (11, 1)))
    assert copies[0].p == pytest.approx(2 * 0.00621, abs=0.003)
    apart = max_t([2.5] * 11, 2.5 + rng.normal(size=(11, 20_000)))
    assert apart[0].p == pytest.approx(1 - (1 - 2 * 0.00621) ** 11, abs=0.02)
    assert apart[0].ends[0] < copies[0].ends[0] < 2.5


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(200, 1200),
    shift=st.floats(-4, 4),
    level=st.sampled_from([0.9, 0.95, 0.96, 0.99]),
)
def test_order_statistics_and_p_agree_at_any_number_of_replicates(
    count: int, shift: float, level: float
) -> None:
    draws = np.random.default_rng(count).normal(shift, 1, count)
    low, high = central(draws, level)
    assert (share(draws) <= 1 - level + 1e-12) == (low > 0 or high < 0)


def test_rows_like_the_best_are_those_that_are_not_found_worse() -> None:
    assert not_worse([None]) == [True]
    # Two others: one-sided p of 0.025 each.
    assert not_worse([None, 0.04, 0.06]) == [True, False, True]
    assert not_worse([None, None]) == [True, True]
