"""The length of a run and its learning rate, as pure functions of the iteration. No torch.

Nothing here has a state, so a resumed run needs only its iteration.
"""

from __future__ import annotations

import math

from detbench.recipe.experiment import Cosine, OneCycle, Steps, Training

START_OF_CYCLE = 1 / 25  # of the peak (Smith and Topin 2019 start low; 25 is fast.ai's)


def iterations(training: Training, per_epoch: int) -> int:
    """Iterations of the whole run, at least 1.

    Args:
        per_epoch: iterations that see the training set once.
    """
    if training.iterations is not None:
        return training.iterations
    assert training.epochs is not None
    return max(1, round(training.epochs * per_epoch))


def rate(training: Training, iteration: int, per_epoch: int) -> float:
    """Learning rate at ``iteration`` (from 0), of parameters without a factor of their own."""
    return training.optimizer.lr * factor(training, iteration, per_epoch)


def factor(training: Training, iteration: int, per_epoch: int) -> float:
    """What the learning rate is multiplied by at ``iteration`` (from 0), in [0, 1]."""
    if isinstance(training.schedule, OneCycle):
        return one_cycle(training.schedule, iteration, iterations(training, per_epoch))
    unit = 1 if training.iterations is not None else per_epoch
    if isinstance(training.schedule, Cosine):
        return cosine(training.schedule, iteration, unit, iterations(training, per_epoch))
    return steps(training.schedule, iteration, unit)


def steps(schedule: Steps, iteration: int, unit: int) -> float:
    """Linear warm-up from ``warmup_ratio`` (as mmcv 1.x does), times ``gamma`` per drop passed.

    Args:
        unit: iterations in the unit of ``drops``.
    """
    passed = sum(iteration >= math.ceil(drop * unit) for drop in schedule.drops)
    return schedule.gamma**passed * _warmup(schedule, iteration)


def cosine(schedule: Cosine, iteration: int, unit: int, total: int) -> float:
    """Linear warm-up, times a cosine from 1 towards ``least``, again in every period.

    Args:
        unit: iterations in the unit of ``period``.
        total: iterations of the whole run, which is one period where none is given.
    """
    period = total if schedule.period is None else schedule.period * unit
    fallen = 0.5 * (1 - math.cos(math.pi * (iteration % period) / period))
    return (1 - fallen * (1 - schedule.least)) * _warmup(schedule, iteration)


def _warmup(schedule: Steps | Cosine, iteration: int) -> float:
    """Linear from ``warmup_ratio`` to 1, as mmcv 1.x does it."""
    if iteration >= schedule.warmup_iterations:
        return 1.0
    left = 1 - iteration / schedule.warmup_iterations
    return 1 - left * (1 - schedule.warmup_ratio)


def one_cycle(schedule: OneCycle, iteration: int, total: int) -> float:
    """Linear from ``START_OF_CYCLE`` to 1 over ``rise`` of the run, then a cosine to 0."""
    rise = schedule.rise * total
    if iteration < rise:
        return START_OF_CYCLE + (1 - START_OF_CYCLE) * iteration / rise
    return 0.5 * (1 + math.cos(math.pi * (iteration - rise) / (total - rise)))
