"""Verdicts of made estimates, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from detbench.statistics import claims, power
from detbench.statistics.claims import Question
from detbench.statistics.estimate import Estimate

INF = math.inf


def made(
    value: float, error: float = 0.002, seeds: bool = True, fixed: float = 0.0, freedom: float = 4.0
) -> Estimate:
    """A difference with Student's t, or of images alone."""
    draws = value + error * np.linspace(-2, 2, 401)
    return Estimate(value, draws, error**2, freedom, 2000, seeds, fixed=fixed)


def asked(value: float, error: float = 0.002, low: float = 0.0, high: float = INF) -> Question:
    return Question(made(value, error), low, high, seeds=3)


def one_sided(t: float, freedom: float = 4.0) -> float:
    return float(stats.t.sf(t, freedom))


def test_one_question_has_the_two_sided_p_of_its_sign() -> None:
    p = claims.p_of(asked(0.01), 0.005)
    assert p is not None
    assert p.yes == pytest.approx(2 * one_sided(5.0))
    assert p.no == 1.0
    (found,) = claims.judge([[asked(0.01)]])
    assert (found.verdict, found.p) == ("supported", pytest.approx(p.yes))
    (against,) = claims.judge([[asked(-0.01)]])
    assert (against.verdict, against.p) == ("contradicted", pytest.approx(p.yes))


def test_a_least_gain_moves_the_bound() -> None:
    p = claims.p_of(asked(0.01, low=0.02), 0.005)
    assert p is not None
    assert p.no == pytest.approx(2 * one_sided(5.0))
    assert claims.judge([[asked(0.01, low=0.02)]])[0].verdict == "contradicted"
    assert claims.judge([[asked(0.01, low=0.009)]])[0].verdict == "undecided"


def test_within_two_bounds_each_is_tested_at_five_per_cent() -> None:
    """An equal claim is supported where the 90 % interval lies inside its margin."""
    half = float(stats.t.ppf(0.95, 4)) * 0.002
    inside = Question(made(0.0), -half - 1e-9, half + 1e-9, directed=False, seeds=3)
    outside = Question(made(0.0), -half + 1e-9, half - 1e-9, directed=False, seeds=3)
    assert claims.judge([[inside]])[0].verdict == "supported"
    assert claims.judge([[outside]])[0].verdict == "undecided"
    beyond = Question(made(0.02), -0.01, 0.01, directed=False, seeds=3)
    assert claims.judge([[beyond]])[0].verdict == "contradicted"


def test_a_claim_of_several_questions_needs_all_of_them() -> None:
    """Intersection-union: the largest p, not adjusted for their number."""
    weak = claims.p_of(asked(0.006), 0.005)
    assert weak is not None
    (found,) = claims.judge([[asked(0.02), asked(0.006), asked(0.03)]])
    assert (found.verdict, found.decides) == ("supported", 1)
    assert found.p == pytest.approx(weak.yes)
    (open_,) = claims.judge([[asked(0.02), asked(0.004)]])
    assert (open_.verdict, open_.decides) == ("undecided", 1)


def test_one_question_contradicts_it_at_the_price_of_looking_at_all() -> None:
    p = 2 * one_sided(3.5)
    assert 0.02 < p < 0.03
    found = claims.judge([[asked(-0.007), asked(0.02)]])[0]
    assert (found.verdict, found.p, found.decides) == ("contradicted", pytest.approx(2 * p), 0)
    more = claims.judge([[asked(-0.007), asked(0.02), asked(0.02)]])[0]
    assert (more.verdict, more.p) == ("undecided", pytest.approx(3 * p))


def test_no_sign_and_within_the_margin_is_equivalent() -> None:
    assert claims.judge([[asked(0.0001)]])[0].verdict == "equivalent"
    assert claims.judge([[asked(0.0001)]], margin=0.003)[0].verdict == "undecided"
    # All of it, and what has a sign is that first.
    assert claims.judge([[asked(0.0001), asked(0.0002, 0.01)]])[0].verdict == "undecided"
    assert claims.judge([[asked(0.002, 0.0004)]])[0].verdict == "supported"


def test_claims_of_a_table_pay_for_each_other() -> None:
    p = 2 * one_sided(3.4)
    alone = claims.judge([[asked(0.0068)]])[0]
    assert (alone.verdict, alone.adjusted) == ("supported", pytest.approx(p))
    found = claims.judge([[asked(0.0068)], [asked(0.05)], [asked(0.0, 0.02)]])
    assert [one.verdict for one in found] == ["undecided", "supported", "undecided"]
    assert found[0].adjusted == pytest.approx(2 * p)
    # What is counted, or not measured, asks for nothing.
    more = claims.judge([[asked(0.0068)], [Question(None, exact=True)], [Question(None)]])
    assert [one.verdict for one in more] == ["supported", "supported", "not measured"]
    assert more[1].p is None


def test_costs_are_counted() -> None:
    yes, no, missing = (Question(None, exact=one) for one in (True, False, None))
    verdicts = [one.verdict for one in claims.judge([[yes, yes], [yes, no], [yes, missing]])]
    assert verdicts == ["supported", "contradicted", "undecided"]
    assert claims.judge([[yes, missing]])[0].why == "1 of 2 comparisons are not measured"


def test_one_seed_decides_nothing() -> None:
    single = Question(made(0.5, seeds=False), seeds=1, reason=claims.ONE_SEED)
    found = claims.judge([[single]])[0]
    assert (found.verdict, found.why, found.p) == ("undecided", claims.ONE_SEED, None)
    # Nor does it where others have several: what it is part of is not supported.
    mixed = claims.judge([[asked(0.05), single]])[0]
    assert (mixed.verdict, mixed.why) == ("undecided", "1 of 2 comparisons are not measured")
    assert claims.judge([[asked(-0.05), single]])[0].verdict == "contradicted"


def test_too_few_images_decide_nothing() -> None:
    few = Estimate(0.5, np.full(200, 0.5), 1e-6, 4.0, 3, True)
    found = claims.judge([[Question(few, seeds=3)]])[0]
    assert found.verdict == "undecided"
    assert found.why.startswith("3 images hold such an object")


def test_seeds_that_would_decide() -> None:
    """As ``power`` says of the measured difference and its spread, at the level of the table."""
    one = Question(made(0.004, 0.003, fixed=1e-7), seeds=3)
    spread = claims.spread_of(one)
    assert spread is not None
    assert spread.variance(3, 2000) == pytest.approx(0.003**2)
    wanted = power.seeds_for(0.004, spread, 2000, alpha=0.05)
    assert claims.judge([[one]])[0].needs == wanted
    assert wanted is not None
    assert wanted > 3
    two = claims.judge([[one], [asked(0.05)]])[0].needs
    assert two == power.seeds_for(0.004, spread, 2000, alpha=0.025)
    # All questions are needed, so the one that needs the most counts; against it, any one does.
    harder = Question(made(0.003, 0.003, fixed=1e-7), seeds=3)
    assert claims.judge([[one, harder]])[0].needs == power.seeds_for(0.003, spread, 2000)
    against = Question(made(-0.004, 0.003, fixed=1e-7), seeds=3)
    assert claims.judge([[against, one]])[0].needs == power.seeds_for(
        0.004, spread, 2000, alpha=0.025
    )


def test_where_images_are_what_lacks_no_number_of_seeds_decides() -> None:
    one = Question(made(0.004, 0.003, fixed=8e-6), seeds=3)
    found = claims.judge([[one]], margin=0.001)[0]
    assert (found.verdict, found.needs) == ("undecided", None)
    spread = claims.spread_of(one)
    assert spread is not None
    assert found.images == power.images_for(0.004, spread, 3)
    assert found.images is None or found.images > 2000


def test_a_small_difference_is_decided_as_equivalent_with_fewer_seeds() -> None:
    one = Question(made(0.0001, 0.004, fixed=1e-8), seeds=3)
    spread = claims.spread_of(one)
    assert spread is not None
    found = claims.judge([[one]])[0]
    assert found.verdict == "undecided"
    assert found.needs == power.seeds_for(0.0049, spread, 2000, alpha=0.1)
