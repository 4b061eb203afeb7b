"""Intervals: calibrated on detectors whose true difference is known, and their arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_detectors import PAIRS, Made, detect, scenes

from detbench.errors import DataError, RecipeError
from detbench.evaluation.coco import evaluate
from detbench.evaluation.matching import Matches, match
from detbench.recipe.experiment import Evaluation
from detbench.statistics import bootstrap, estimate, small
from detbench.statistics.bootstrap import Options, difference, interval
from detbench.statistics.replicates import draw


def made(seed: int, images: int, *habits: Made) -> list[Matches]:
    """Detectors of these habits on the same new scenes."""
    rng = np.random.default_rng(seed)
    ground, hard = scenes(rng, images)
    return [match(ground, detect(rng, ground, hard, one), Evaluation()) for one in habits]


def covered(pairs: int, images: int, replicates: int) -> float:
    """The share of made pairs of detectors whose interval covers their true difference in AP."""
    hits = 0
    for number in range(pairs):
        first, second, true = PAIRS[number % len(PAIRS)]
        a, b = made(number, images, first, second)
        found = difference([a], [b], replicates=replicates, seed=number)["AP"]
        hits += found.low <= true <= found.high  # type: ignore[operator]
    return hits / pairs


def test_the_interval_of_a_difference_covers_the_truth_19_times_in_20() -> None:
    """200 pairs of detectors, three in eight of them with no true difference.

    With the replicates that ``compare`` takes: 200 of them cover about one point less.
    """
    assert 0.92 <= covered(200, 100, bootstrap.REPLICATES) <= 0.98


def test_the_interval_of_one_detector_covers_its_ap() -> None:
    """100 data sets of 100 images; its AP on 40,000 images is 0.3594."""
    hits = 0
    for number in range(100):
        one = interval(made(number, 100, Made()), replicates=200, seed=number)["AP"]
        hits += one.low <= 0.3594 <= one.high  # type: ignore[operator]
    assert 0.9 <= hits / 100 <= 0.99


def seeds_of(rng: np.random.Generator, ground: Any, hard: Any, count: int) -> list[Matches]:
    """Trainings of one recipe: each places its boxes a little better or worse."""
    habits = [Made(misplaces=0.09 * float(np.exp(rng.normal(0, 0.1)))) for _ in range(count)]
    return [match(ground, detect(rng, ground, hard, one), Evaluation()) for one in habits]


def test_with_seeds_the_interval_covers_what_images_alone_do_not() -> None:
    """60 times two sides of three trainings of the same recipe, so without any true difference."""
    both = images = 0
    for number in range(60):
        rng = np.random.default_rng(number)
        ground, hard = scenes(rng, 60)
        a, b = (seeds_of(rng, ground, hard, 3) for _ in range(2))
        found = difference(a, b, replicates=200)["AP"]
        single = difference(a[:1], b[:1], replicates=200)["AP"]
        both += not found.real
        images += not single.real
    assert 0.9 <= both / 60 <= 1.0
    assert images / 60 < 0.85


def test_values_are_those_of_the_metrics() -> None:
    rng = np.random.default_rng(0)
    ground, hard = scenes(rng, 40)
    results = [detect(rng, ground, hard, one) for one in (Made(), Made(finds=0.5))]
    metrics = ("AP", "AP50", "APs", "ARl")
    expected = [evaluate(ground, one, Evaluation(), "pycocotools") for one in results]
    a, b = (match(ground, one, Evaluation()) for one in results)
    found = difference([a], [b], metrics, replicates=200)
    for name in metrics:
        assert (found[name].a, found[name].b) == (expected[0][name], expected[1][name])
        assert found[name].value == expected[1][name] - expected[0][name]  # type: ignore[operator]
        assert found[name].low < found[name].value < found[name].high  # type: ignore[operator]
        assert found[name].sources == "images"
    alone = interval([a], metrics, replicates=200)
    assert [alone[name].value for name in metrics] == [expected[0][name] for name in metrics]
    assert all(one.low < one.value < one.high for one in alone.values())  # type: ignore[operator]


def test_a_replicate_is_the_metric_of_the_drawn_images() -> None:
    """The interval is that of pycocotools on data sets drawn with replacement, to float32."""
    a, b = made(3, 30, Made(), Made(misplaces=0.12))
    from detbench.evaluation import accumulate

    weights = draw(30, 200, 0)
    assert (weights.sum(axis=0) == 30).all()
    slow = [
        accumulate.metrics(b, weights[:, r])["AP"] - accumulate.metrics(a, weights[:, r])["AP"]  # type: ignore[operator]
        for r in range(200)
    ]
    found = difference([a], [b], replicates=200)["AP"]
    # Widened by Student's t of 30 images about the difference; 0.025 * 201 is 5.
    value = found.value or 0.0
    wide = value + small.stretch(30) * (np.sort(slow) - value)
    assert [found.low, found.high] == pytest.approx([wide[4], wide[-5]], abs=1e-6)
    smaller = min(sum(d <= 0 for d in wide), sum(d >= 0 for d in wide))
    assert found.p == min(1.0, 2 * (smaller + 1) / 201)


def test_a_detector_against_itself_differs_by_nothing() -> None:
    [a] = made(1, 20, Made())
    found = difference([a], [a])["AP"]
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.real


def test_swapped_sides_swap_the_sign() -> None:
    a, b = made(2, 40, Made(), Made(misplaces=0.12))
    one, other = difference([a], [b])["AP"], difference([b], [a])["AP"]
    assert one.value == -other.value  # type: ignore[operator]
    assert one.low == pytest.approx(-other.high, abs=1e-9)  # type: ignore[operator]
    assert one.p == other.p
    assert one.real
    assert one.p < 0.05  # type: ignore[operator]


def test_the_same_seed_gives_the_same_interval_and_another_one_not() -> None:
    a, b = made(4, 30, Made(), Made())
    first, again, other = (difference([a], [b], seed=seed)["AP"] for seed in (0, 0, 1))
    assert first == again
    assert first.low != other.low


def test_replicates_do_not_change_the_draws_before_them() -> None:
    assert (draw(9, 20, 5)[:, :7] == draw(9, 7, 5)).all()


def test_more_images_narrow_the_interval() -> None:
    wide, narrow = (
        difference(*([one] for one in made(6, images, Made(), Made())))["AP"]
        for images in (30, 480)
    )
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)  # type: ignore[operator]
    assert 2.5 < ratio < 6  # the square root of 16


def test_metrics_without_objects_are_undefined() -> None:
    a, b = made(7, 10, Made(), Made())
    names = ("AP", "AP[class 2]")
    keep = a.object_starts.copy()
    assert keep[3] > keep[2]
    found = difference([a], [b], names)
    assert found["AP[class 2]"].value is not None
    none = Matches(
        **{
            **{name: getattr(a, name) for name in a.__dataclass_fields__},
            "object_ignored": a.object_ignored | (np.arange(len(a.object_images)) >= keep[2]),
        }
    )
    found = difference([none], [none], names)
    empty = found["AP[class 2]"]
    assert (empty.value, empty.low, empty.high, empty.p, empty.a) == (None,) * 5
    assert not empty.real
    assert interval([none], names)["AP[class 2]"].low is None
    assert found["AP"].value == 0


def test_seeds_are_means_with_their_spread() -> None:
    rng = np.random.default_rng(8)
    ground, hard = scenes(rng, 50)
    a, b = seeds_of(rng, ground, hard, 3), seeds_of(rng, ground, hard, 2)
    of_a = [interval([one], replicates=200)["AP"].value for one in a]
    of_b = [interval([one], replicates=200)["AP"].value for one in b]
    found = difference(a, b, replicates=200)["AP"]
    assert found.a == pytest.approx(np.mean(of_a))
    assert found.sd_a == pytest.approx(np.std(of_a, ddof=1))
    assert found.sd_b == pytest.approx(np.std(of_b, ddof=1))
    assert found.value == pytest.approx(np.mean(of_b) - np.mean(of_a))
    assert (found.seeds_a, found.seeds_b, found.sources) == (3, 2, "images and seeds")
    single = difference(a, b[:1], replicates=200)["AP"]
    assert single.sources == "images and seeds of a"
    assert single.sd_b is None
    together = interval(a, replicates=200)["AP"]
    assert (together.seeds, together.sources) == (3, "images and seeds")
    assert together.sd == found.sd_a


def test_the_variance_is_the_formulas() -> None:
    """On made replicates: images, seeds and what is in both."""
    rng = np.random.default_rng(9)
    seeds, images = rng.normal(0, 3, 5), rng.normal(0, 2, 4000)
    joint = rng.normal(0, 1, (5, 4000))
    draws = seeds[:, None] + images + joint
    side = estimate.Part(seeds + rng.normal(0, 1, 5), draws)
    found = estimate.combine((side,), (1.0,), images=5000)
    variance, freedom = found.variance, found.freedom
    between = side.values.var(ddof=1) / 5
    assert variance == pytest.approx(4 + 1 / 5 + between - 1 / 5, rel=0.1)
    assert freedom == pytest.approx(variance**2 / (between**2 / 4), rel=1e-9)
    half = 2 * estimate.quantile(1e12, 0.975)
    assert half == pytest.approx(1.959964 * 2, rel=1e-5)
    assert estimate.two_sided(half, 4.0, 1e12) == pytest.approx(0.05)
    assert estimate.quantile(4, 0.975) == pytest.approx(2.776445, rel=1e-5)


def test_other_images_classes_or_settings_are_no_comparison() -> None:
    [a] = made(10, 20, Made())
    [fewer] = made(10, 19, Made())
    [other] = made(11, 20, Made())
    with pytest.raises(DataError, match=r"different images \(20 and 19\)"):
        difference([a], [fewer])
    with pytest.raises(DataError, match="different objects"):
        difference([a], [other])
    rng = np.random.default_rng(10)
    ground, hard = scenes(rng, 20)
    scaled = match(ground, detect(rng, ground, hard, Made()), Evaluation(area_scale=0.5))
    with pytest.raises(DataError, match="different settings"):
        difference([a], [scaled])


@pytest.mark.parametrize(
    ("metrics", "replicates", "said"),
    [
        (("mAP",), 200, "no metric 'mAP'"),
        (("AP[cat]",), 200, "no class 'cat'"),
        (("AP",), 3, "few"),
        (("AP",), 199, "199 replicates are too few"),
    ],
)
def test_what_cannot_be_asked(metrics: tuple[str, ...], replicates: int, said: str) -> None:
    [a] = made(12, 5, Made())
    with pytest.raises(RecipeError, match=said):
        difference([a], [a], metrics, replicates)


def test_progress_is_told() -> None:
    a, b = made(13, 5, Made(), Made())
    told: list[tuple[int, int]] = []
    difference([a], [b], options=Options(progress=lambda *at: told.append(at)))
    assert told == [(1, 2), (2, 2)]
