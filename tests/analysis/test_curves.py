"""Losses side by side."""

from __future__ import annotations

import numpy as np
import pytest
from made_analysis import GROUPS

from detbench.analysis import curves, summary
from detbench.analysis.kind import Analysis, Asked, Measured


def table(slope: float, more: str = ""):
    points = [
        {"iteration": n, "lr": 0.1, "total": slope * n, "cls": 1.0, **({more: 2.0} if more else {})}
        for n in range(1, 101)
    ]
    points[3]["total"] = float("inf")
    return curves.measure(Asked(None, 0, {}, points=points))


def made(*rows: Measured) -> Analysis:
    return Analysis(rows, np.array([0]), GROUPS, (), {"window": 10.0}, "")


def test_means_of_quarters_and_their_spread_over_seeds() -> None:
    rows = made(
        Measured("A", (0, 1), (table(1.0), table(3.0))),
        Measured("B", (0, 1), (table(2.0, "quality"), table(4.0, "quality"))),
    )
    assert curves.shared(rows) == ["cls", "total"]
    found = {
        (one.row + one.baseline, one.part, one.group): one
        for one in summary.numbers(rows, curves.quantities(rows))
    }
    last = found["A", "total", "last quarter"]
    assert last.value == pytest.approx(2 * 88)
    assert last.sd == pytest.approx(2**0.5 * 88)
    assert (last.n, last.images) == (50, 0)
    assert found["BA", "total", "last quarter"].value == pytest.approx(88)
    assert found["A", "cls", "first quarter"].value == 1
    assert found["A", "total", "first quarter"].n == 48  # the infinite ones are left out


def test_the_picture_has_a_line_for_each_row_and_a_band_for_seeds() -> None:
    rows = made(Measured("A", (0, 1), (table(1.0), table(3.0))), Measured("B", (0,), (table(2.0),)))
    figure = curves.draw(rows, [], ("T", "n"))
    assert [len(ax.lines) for ax in figure.axes] == [2, 2]
    assert [len(ax.collections) for ax in figure.axes] == [1, 1]
