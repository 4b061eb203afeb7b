"""PAA's mixture and what it makes positive, against scalar loops."""

from __future__ import annotations

import math
import random

import pytest
import torch
from made_outputs import outputs

from detbench.ops.candidates import AnchorShapes, anchor_grid
from detbench.ops.mixture import fitted
from detbench.stages.assignment.mixture import MixtureAssigner, lower
from detbench.structures import Targets


def density(x: float, share: float, mean: float, variance: float) -> float:
    return share * math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(math.tau * variance)


def slow_fit(values: list[float], iterations: int) -> list[tuple[float, float, float]]:
    """Weight, mean and variance of two components: scikit-learn's steps, one number at a time."""
    parts = [(0.5, min(values), 1.0), (0.5, max(values), 1.0)]
    before = -math.inf
    for _ in range(iterations):
        each = [[density(x, *part) for part in parts] for x in values]
        now = sum(math.log(a + b) for a, b in each) / len(values)
        parts = []
        for k in (0, 1):
            share = [row[k] / sum(row) for row in each]
            total = sum(share) + 10 * 2.0**-52
            mean = sum(s * x for s, x in zip(share, values, strict=True)) / total
            square = sum(s * x * x for s, x in zip(share, values, strict=True)) / total
            parts.append((total / len(values), mean, square - mean**2 + 1e-6))
        if abs(now - before) < 1e-3:
            break
        before = now
    return parts


def slow_lower(values: list[float]) -> list[bool]:
    """Of rising values, those of the first component, up to the most likely of them."""
    if len(values) < 2:
        return [False] * len(values)
    parts = slow_fit(values, 100)
    each = [[density(x, *part) for part in parts] for x in values]
    low = [index for index, (a, b) in enumerate(each) if a >= b]
    last = max(low, key=lambda index: (sum(each[index]), -index), default=-1)
    return [index in low and index <= last for index in range(len(values))]


def sets(count: int) -> list[list[float]]:
    """Losses as of candidates: one or two heaps, from one value to 45."""
    source = random.Random(5)
    found = []
    for number in range(count):
        low, high = source.uniform(0.2, 1.5), source.uniform(1.5, 4.0)
        size = 1 + number % 45
        found.append(
            sorted(source.gauss(source.choice((low, high)), 0.25) ** 2 for _ in range(size))
        )
    return found


def padded(given: list[list[float]]) -> torch.Tensor:
    rows = [torch.tensor(row, dtype=torch.float64) for row in given]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.inf)


def test_fits_are_those_of_a_scalar_loop() -> None:
    given = sets(90)
    losses = padded(given)
    there = losses.isfinite()
    found = fitted(torch.where(there, losses, 0.0), there, 100).exp()
    for row, values in zip(found, given, strict=True):
        parts = slow_fit(values, 100)
        wanted = [[density(x, *part) for part in parts] for x in values]
        torch.testing.assert_close(
            row[: len(values)], torch.tensor(wanted, dtype=torch.float64), rtol=1e-6, atol=1e-9
        )


def test_what_is_lower_is_that_of_a_scalar_loop() -> None:
    given = sets(180)
    found = lower(padded(given), 100).tolist()
    for row, values in zip(found, given, strict=True):
        assert row[: len(values)] == slow_lower(values)
        assert not any(row[len(values) :])
    assert 90 < sum(map(any, found)) < 180


def test_fewer_iterations_end_the_fit_earlier() -> None:
    values = padded(sets(40)[30:])
    there = values.isfinite()
    given = torch.where(there, values, 0.0)
    assert not torch.equal(fitted(given, there, 1), fitted(given, there, 100))


@pytest.mark.parametrize(
    "row", [[], [1.0], [1.0, 1.0], [0.5] * 9, [0.0, 1e4], [0.1, 0.1, 0.1, 50.0]]
)
def test_few_and_equal_losses(row: list[float]) -> None:
    losses = torch.full((1, 9), torch.inf, dtype=torch.float64)
    losses[0, : len(row)] = torch.tensor(row, dtype=torch.float64)
    there = losses.isfinite()
    assert fitted(torch.where(there, losses, 0.0), there, 100)[there].isfinite().all()
    assert lower(losses, 100)[0, : len(row)].tolist() == slow_lower(row)


def test_positives_are_among_the_least_losses_of_each_level() -> None:
    """Predicted boxes are the anchors: of an object's anchors, at most nine of a level."""
    candidates = anchor_grid(AnchorShapes(4, 1, (1.0,), 1), 0.5).lay(
        [(16, 16), (8, 8), (4, 4)], [8, 16, 32], torch.zeros(1)
    )
    boxes = torch.tensor([[8.0, 8.0, 60.0, 64.0], [60.0, 60.0, 124.0, 120.0]])
    truth = Targets.pad([boxes, torch.zeros(0, 4)], [torch.tensor([0, 2]), torch.zeros(0).long()])
    assigner = MixtureAssigner(0.1, 9, 0.25, 2.0, 1.3, 100)
    made = outputs(candidates, 2)
    found = assigner(made, truth, 0.0).matched
    first = assigner.overlapping(made, truth, 0.0).matched
    assert (found[1] < 0).all()
    assert ((found == first) | (found < 0)).all()
    for number in (0, 1):
        per_level = [int((level == number).sum()) for level in found[0].split(candidates.counts)]
        assert sum(per_level) > 0
        assert max(per_level) <= 9
