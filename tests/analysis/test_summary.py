"""Intervals of analyses, and the groups that they part objects by."""

from __future__ import annotations

import numpy as np
import pytest
from made_analysis import analysis

from detbench.analysis import groups, summary
from detbench.analysis.kind import Groups, Measured, Quantity

IMAGES = 400


def table(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"image": np.arange(1, len(values) + 1), "value": values}


def mean(name: str = "mean") -> Quantity:
    def every(table: dict[str, np.ndarray]) -> np.ndarray:
        return np.ones(len(table["image"]), bool)

    return Quantity(name, "part", "all", every, summary.column("value"), summary.mean)


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(5, 2, IMAGES)
    made = analysis(table(values), images=range(1, IMAGES + 1), settings={})
    [one] = summary.numbers(made, [mean()])
    half = 1.96 * values.std(ddof=1) / IMAGES**0.5
    assert one.value == pytest.approx(values.mean())
    assert (one.low, one.high) == pytest.approx((values.mean() - half, values.mean() + half), 0.01)
    assert (one.n, one.images) == (IMAGES, IMAGES)


def test_rows_are_paired() -> None:
    """What two rows share drops out of their difference."""
    rng = np.random.default_rng(1)
    shared, own = rng.normal(0, 5, IMAGES), rng.normal(0.2, 0.1, IMAGES)
    made = analysis(table(shared), table(shared + own), images=range(1, IMAGES + 1), settings={})
    alone, _, difference = summary.numbers(made, [mean()])
    assert difference.baseline == "A"
    assert difference.value == pytest.approx(own.mean())
    assert alone.low is not None
    assert alone.high is not None
    assert difference.low is not None
    assert difference.high is not None
    assert alone.high - alone.low > 0.8
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * 0.1 / IMAGES**0.5, rel=0.15)


def test_without_images_an_interval_is_over_seeds() -> None:
    tables = [{"image": np.zeros(3, np.int64), "value": np.full(3, one)} for one in (1.0, 2.0, 3.0)]
    made = analysis(tables[0], images=[0], settings={})
    [alone] = summary.numbers(made, [mean()])
    assert (alone.value, alone.low, alone.sd) == (1.0, None, None)
    assert "one training" in alone.reason
    rows = (Measured("A", (0, 1, 2), tuple(tables)),)
    [three] = summary.numbers(
        type(made)(rows, made.images, made.groups, made.names, {}, ""), [mean()]
    )
    half = 4.303 * 1 / 3**0.5  # t of two degrees of freedom
    assert (three.value, three.sd) == (2.0, 1.0)
    assert (three.low, three.high) == pytest.approx((2 - half, 2 + half), abs=1e-3)


@pytest.mark.parametrize(("slope", "expected"), [(2.0, 1.0), (-0.5, -1.0)])
def test_pearson_of_a_line(slope: float, expected: float) -> None:
    x = np.linspace(0, 1, 9)
    sums = summary.moments(x, slope * x + 3).sum(axis=0)
    assert summary.pearson(sums) == pytest.approx(expected)


def test_pearson_of_anything_is_numpys() -> None:
    x, y = np.random.default_rng(2).random((2, 50))
    assert summary.pearson(summary.moments(x, y).sum(axis=0)) == pytest.approx(
        np.corrcoef(x, y)[0, 1]
    )
    assert np.isnan(summary.pearson(summary.moments(x, np.full(50, 0.1)).sum(axis=0)))


def test_a_deviation_is_numpys() -> None:
    values = np.random.default_rng(3).random(40)
    sums = np.array([40, values.sum(), (values**2).sum()])
    assert summary.deviation(sums) == pytest.approx(values.std())


def test_thirds_of_the_classes_by_ap() -> None:
    assert groups.by_difficulty([0.1, 0.9, None, 0.5, 0.4]) == (2, 0, -1, 0, 1)
    assert groups.by_difficulty([0.1, None, 0.2]) == ()


def test_sizes_are_cocos() -> None:
    made = Groups((100.0, 900.0))
    areas = {"image": np.ones(4), "area": np.array([99.0, 100.0, 899.0, 900.0])}
    assert made.names() == ("all", "small objects", "medium objects", "large objects")
    assert made.lines("small objects", areas).tolist() == [True, False, False, False]
    assert made.lines("medium objects", areas).tolist() == [False, True, True, False]
    assert made.lines("large objects", areas).tolist() == [False, False, False, True]
