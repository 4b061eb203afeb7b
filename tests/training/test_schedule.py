from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from standin import training

from detbench.recipe.experiment import Cosine, OneCycle, Steps
from detbench.training.schedule import START_OF_CYCLE, cosine, factor, iterations, one_cycle, steps


def test_steps_are_the_1x_schedule() -> None:
    """12 epochs of 7330: a tenth from the ninth epoch on, a hundredth from the twelfth on."""
    settings = training(iterations=None, epochs=12, schedule={"kind": "steps"})
    assert iterations(settings, 7330) == 87960
    expected = {500: 1, 58639: 1, 58640: 0.1, 80629: 0.1, 80630: 0.01, 87959: 0.01}
    for iteration, value in expected.items():
        assert factor(settings, iteration, 7330) == pytest.approx(value)


def test_warm_up_is_mmcvs() -> None:
    """Linear from the ratio at iteration 0 to 1 at ``warmup_iterations``."""
    schedule = Steps(kind="steps", warmup_iterations=500, warmup_ratio=0.001)
    assert [steps(schedule, i, 1000) for i in (0, 250, 499, 500)] == pytest.approx(
        [0.001, 0.5005, 0.998002, 1.0]
    )


def test_warm_up_multiplies_a_drop_inside_it() -> None:
    schedule = Steps(kind="steps", drops=(2,), warmup_iterations=4, warmup_ratio=0.0)
    assert steps(schedule, 2, 1) == pytest.approx(0.05)


def test_drops_are_in_the_unit_of_the_length() -> None:
    by_epoch = training(iterations=None, epochs=2.5, schedule={"kind": "steps", "drops": (1.5,)})
    by_iteration = training(iterations=9, schedule={"kind": "steps", "drops": (7,)})
    assert (iterations(by_epoch, 10), iterations(by_iteration, 10)) == (25, 9)
    ready: dict[str, Any] = {"warmup_iterations": 0}
    for settings, at in ((by_epoch, 15), (by_iteration, 7)):
        schedule = settings.schedule.model_copy(update=ready)
        changed = settings.model_copy(update={"schedule": schedule})
        assert [factor(changed, i, 10) for i in (at - 1, at)] == [1, 0.1]


@pytest.mark.parametrize("rise", [0.0, 0.25, 1.0])
def test_one_cycle(rise: float) -> None:
    schedule = OneCycle(kind="one-cycle", rise=rise)
    values = [one_cycle(schedule, i, 100) for i in range(100)]
    peak = int(rise * 100)
    assert all(one < other for one, other in pairwise(values[:peak]))
    assert all(one > other for one, other in pairwise(values[peak:]))
    assert values[0] == (1.0 if rise == 0 else START_OF_CYCLE)
    assert 0 < min(values) <= max(values) <= 1
    if rise < 1:
        assert values[peak] == 1
        assert values[-1] < 0.002


def test_cosine_with_restarts_is_ddod_faces() -> None:
    """From 7.5e-3 to 7.5e-5 in 30 epochs, 20 times, after a warm-up (DDOD, section 5.1)."""
    schedule = {"kind": "cosine", "period": 30, "least": 0.01}
    settings = training(iterations=None, epochs=600, schedule=schedule)
    per_epoch = 537
    at = {15: 0.505, 10: 0.7525, 30: 1.0, 45: 0.505, 40: 0.7525, 570: 1.0, 590: 0.2575}
    for epoch, value in at.items():
        assert factor(settings, epoch * per_epoch, per_epoch) == pytest.approx(value)
    for restart in range(1, 21):
        before = factor(settings, restart * 30 * per_epoch - 1, per_epoch)
        assert 0.01 < before == pytest.approx(0.01, abs=1e-6)
    assert factor(settings, 0, per_epoch) == pytest.approx(0.001)
    assert factor(settings, 250, per_epoch) == pytest.approx(0.5005, rel=1e-3)


def test_cosine_without_restarts_falls_once() -> None:
    schedule = Cosine(kind="cosine", warmup_iterations=0)
    values = [cosine(schedule, i, 7, 100) for i in range(100)]
    assert values[0] == 1
    assert values[50] == pytest.approx(0.5)
    assert all(one > other for one, other in pairwise(values))
    assert 0 < values[-1] < 0.001


def test_a_cosines_period_is_in_the_unit_of_the_length() -> None:
    plain = {"kind": "cosine", "period": 4, "warmup_iterations": 0}
    by_iteration = training(iterations=12, schedule=plain)
    by_epoch = training(iterations=None, epochs=12, schedule=plain)
    assert [factor(by_iteration, i, 10) for i in (2, 4, 6)] == pytest.approx([0.5, 1.0, 0.5])
    assert [factor(by_epoch, i, 10) for i in (20, 40, 60)] == pytest.approx([0.5, 1.0, 0.5])
