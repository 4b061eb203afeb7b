"""A second p: on merged matches that give each detector's own metrics."""

from __future__ import annotations

import numpy as np
import pytest
from made_detectors import Made, detect, scenes

from detbench.evaluation import accumulate
from detbench.evaluation.matching import Matches, match
from detbench.evaluation.metric import parse
from detbench.recipe.experiment import Evaluation
from detbench.statistics import randomisation
from detbench.statistics.bootstrap import difference


def made(seed: int, images: int, *habits: Made) -> list[Matches]:
    rng = np.random.default_rng(seed)
    ground, hard = scenes(rng, images)
    return [match(ground, detect(rng, ground, hard, one), Evaluation()) for one in habits]


def test_merged_matches_hold_both_detectors() -> None:
    a, b = made(0, 30, Made(), Made(misplaces=0.12))
    merged = randomisation.merge(a, b)
    ones, zeros = np.ones((30, 1), np.uint8), np.zeros((30, 1), np.uint8)
    wanted = [parse(name) for name in ("AP", "AP50", "APs", "ARm")]
    for matches, weights in ((a, (ones, zeros)), (b, (zeros, ones))):
        found = accumulate.replicate(merged, np.concatenate(weights), wanted)[:, 0]
        own = accumulate.values(matches, ("AP", "AP50", "APs", "ARm"))
        assert found.tolist() == pytest.approx(list(own.values()), abs=1e-6)
    half = np.concatenate((ones, zeros))
    half[10:20], half[40:50] = 0, 1
    mixed = accumulate.replicate(merged, half, wanted)[0, 0]
    alone = [accumulate.replicate(one, ones, wanted)[0, 0] for one in (a, b)]
    assert min(alone) - 0.05 < mixed < max(alone) + 0.05


def test_it_finds_what_the_bootstrap_finds() -> None:
    a, b = made(1, 60, Made(misplaces=0.12), Made(misplaces=0.06))
    assert (randomisation.swapped(a, b, ("AP", "AP50"), 200)["AP"] or 1) <= 0.01
    assert randomisation.swapped(a, a, swaps=200)["AP"] == 1.0
    same, other = made(2, 60, Made(), Made())
    p, q = randomisation.swapped(same, other)["AP"], difference([same], [other])["AP"].p
    assert p == pytest.approx(q, abs=0.15)
    whole = randomisation.swapped(a, b, ("AP",), 200, clusters=dict.fromkeys(range(60), 0))
    assert whole["AP"] == 1.0  # one cluster can only be swapped with itself


def test_null_p_is_uniform() -> None:
    found = [
        randomisation.swapped(*made(100 + n, 30, Made(), Made()), ("AP50",), 200)["AP50"] or 0
        for n in range(60)
    ]
    assert 0.35 < np.mean(found) < 0.65
    assert sum(p <= 0.05 for p in found) <= 9


def test_where_two_p_disagree() -> None:
    assert randomisation.disagree(0.04, 0.2)
    assert not randomisation.disagree(0.04, 0.01)
    assert not randomisation.disagree(None, 0.01)
