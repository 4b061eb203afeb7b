"""Power: against trials of the model, and planning's edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detbench.statistics import power
from detbench.statistics.estimate import Part, combine
from detbench.statistics.power import Spread


def found(gain: float, spread: Spread, seeds: int, images: int, trials: int = 400) -> float:
    """How often trials of two methods find the better one: seeds and images drawn anew in each."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(trials):
        own = [rng.normal(0, spread.seeds, seeds) for _ in range(2)]
        # The choice of images moves b against a, in the data as in its replicates.
        error = spread.images / math.sqrt(images)
        moved = rng.normal(0, error)
        draws = np.tile(rng.normal(0, error, 300), (seeds, 1))
        a = Part(own[0], own[0][:, None] + 0 * draws)
        b = Part(own[1] + gain + moved, own[1][:, None] + gain + moved + draws)
        one = combine((a, b), (-1.0, 1.0), images)
        hits += one.p() <= 0.05 and one.value > 0
    return hits / trials


@pytest.mark.parametrize(("seeds", "images"), [(3, 200), (6, 1000)])
def test_the_smallest_difference_is_found_in_80_of_100_trials(seeds: int, images: int) -> None:
    spread = Spread(seeds=0.4, images=8.0)
    gain = power.smallest(spread, seeds, images)
    assert gain is not None
    assert power.chance(gain, spread, seeds, images) == pytest.approx(0.8, abs=1e-6)
    # 400 trials: 2 points of standard deviation.
    assert found(gain, spread, seeds, images) == pytest.approx(0.8, abs=0.07)
    assert found(gain / 3, spread, seeds, images) < 0.35


def test_power_for_one_seeds_deviation_is_what_was_seen() -> None:
    """0.16, 0.35 and 0.83 with 3, 6 and 18 trainings a side, images aside."""
    spread = Spread(1.0, 0.0)
    chances = [power.chance(1.0, spread, seeds, 10**6) for seeds in (3, 6, 18)]
    assert chances == pytest.approx([0.16, 0.35, 0.83], abs=0.01)


def test_seeds_and_images_that_a_gain_needs() -> None:
    spread = Spread(0.4, 8.0)
    many = power.seeds_for(1.0, spread, 2000)
    assert many is not None
    assert power.chance(1.0, spread, many, 2000) >= 0.8 > power.chance(1.0, spread, many - 1, 2000)
    # 8 / sqrt(200) is 0.57 points, whatever the seeds.
    assert power.seeds_for(1.0, spread, 200) is None
    more = power.images_for(1.0, spread, 10)
    assert more is not None
    assert power.chance(1.0, spread, 10, more) >= 0.8 > power.chance(1.0, spread, 10, more - 1)
    assert power.images_for(0.2, spread, 3) is None  # seeds alone hide it
    assert (power.smallest(spread, 1, 5000), power.chance(9.0, spread, 1, 5000)) == (None, 0.0)
    assert power.chance(0.1, Spread(0.0, 0.0), 2, 100) == 1.0


def test_a_spread_is_read_off_differences() -> None:
    rng = np.random.default_rng(1)
    estimates = []
    for _ in range(41):
        moved = rng.normal(0, 0.5, 2000)
        parts = [Part(own := rng.normal(0, 0.8, 3), own[:, None] + d) for d in (0 * moved, moved)]
        estimates.append(combine(parts, (-1.0, 1.0), 400))
    spread = power.of_estimates(estimates, 3)
    assert spread is not None
    assert spread.images == pytest.approx(0.5 * 20, rel=0.1)
    assert spread.seeds == pytest.approx(0.8, rel=0.3)
    assert power.of_estimates([], 3) is None
    assert power.of_estimates(estimates, 1) is None
