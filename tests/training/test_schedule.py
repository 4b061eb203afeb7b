from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from standin import training

from detbench.recipe.experiment import OneCycle, Steps
from detbench.training.schedule import START_OF_CYCLE, factor, iterations, one_cycle, steps


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
