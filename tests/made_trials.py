"""Comparisons of made detectors, many times over, whose true difference is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from made_detectors import PAIRS, Made, detect, scenes

from detbench.evaluation.matching import match
from detbench.recipe.experiment import Evaluation
from detbench.statistics import bootstrap, corrections
from detbench.statistics.bootstrap import Difference
from detbench.statistics.replicates import Replicates, Resampling, of_matches

SPREAD = 0.1
"""Of the logarithm of ``misplaces`` over the trainings of one method: about 2.5 points of AP."""


def trained(
    rng: np.random.Generator, scene: tuple[Any, Any], habits: Sequence[Made], metric: str, seed: int
) -> list[Replicates]:
    """Trainings with these habits on one scene, resampled."""
    how = Resampling(400, seed)
    found = (match(scene[0], detect(rng, *scene, one), Evaluation()) for one in habits)
    return [of_matches(one, (metric,), how) for one in found]


def method(rng: np.random.Generator, seeds: int) -> list[Made]:
    """Trainings of one method: each places its boxes a little better or worse."""
    return [Made(misplaces=0.09 * float(np.exp(rng.normal(0, SPREAD)))) for _ in range(seeds)]


def pair(number: int, images: int) -> tuple[Difference, float]:
    """Two single trainings, and their true difference: nothing in three of eight."""
    first, second, true = PAIRS[number % len(PAIRS)]
    rng = np.random.default_rng(number)
    a, b = trained(rng, scenes(rng, images), (first, second), "AP", number)
    return bootstrap.between([a], [b], ("AP",))["AP"], true


def equals(number: int, images: int, seeds: tuple[int, int], metric: str = "AP") -> Difference:
    """Two sides of trainings of one method."""
    rng = np.random.default_rng((number, *seeds))
    scene = scenes(rng, images)
    a, b = (trained(rng, scene, method(rng, count), metric, number) for count in seeds)
    return bootstrap.between(a, b, (metric,))[metric]


def null_pair(number: int, images: int) -> Difference:
    """Two single trainings with equal habits, which no population tells apart."""
    rng = np.random.default_rng((number, images))
    a, b = trained(rng, scenes(rng, images), (Made(), Made()), "AP", number)
    return bootstrap.between([a], [b], ("AP",))["AP"]


def table(number: int, rows: int, seeds: int, images: int = 100) -> dict[str, Difference]:
    """A table of equal rows against the first of them, adjusted; with one seed of equal habits."""
    rng = np.random.default_rng((number, rows, seeds))
    scene = scenes(rng, images)
    habits = [method(rng, seeds) if seeds > 1 else [Made()] for _ in range(rows)]
    sides = [trained(rng, scene, one, "AP50", number) for one in habits]
    found = {
        f"row {place}": bootstrap.between(sides[0], side, ("AP50",))["AP50"]
        for place, side in enumerate(sides[1:], 1)
    }
    return corrections.adjust(found)


def rare(number: int, holding: int, images: int = 200) -> Difference:
    """Two single trainings with equal habits; a class that ``holding`` of the images hold."""
    rng = np.random.default_rng((number, holding))
    ground, hard = scenes(rng, images)
    owners = [one["image_id"] for one in ground["annotations"]]
    chosen = set(rng.choice(sorted(set(owners)), holding, replace=False).tolist())
    seen: set[int] = set()
    for one in ground["annotations"]:
        first = one["image_id"] in chosen and one["image_id"] not in seen
        one["category_id"] = 2 if first else one["category_id"] % 2
        seen |= {one["image_id"]}
    a, b = trained(rng, (ground, hard), (Made(), Made()), "AP[class 2]", number)
    return bootstrap.between([a], [b], ("AP[class 2]",))["AP[class 2]"]
