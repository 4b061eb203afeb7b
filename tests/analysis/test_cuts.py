"""Pixels around objects."""

from __future__ import annotations

import numpy as np
import pytest

from detbench.analysis.cuts import MOST, cut, opened

IMAGE = np.zeros((3, 100, 200), np.uint8)
IMAGE[:, 40:60, 80:120] = 255


def test_a_cut_shows_what_it_says() -> None:
    png, extent = cut(IMAGE, np.array([80.0, 40.0, 120.0, 60.0]), 0.5)
    assert extent.tolist() == [60, 140, 30, 70]
    shown = opened(png)
    assert shown.shape == (40, 80)
    assert shown[10:30, 20:60].min() == 255
    assert shown.sum() == 255 * 20 * 40


@pytest.mark.parametrize(
    ("box", "beyond", "expected"),
    [
        ((0, 0, 10, 10), 1.0, [0, 20, 0, 20]),
        ((190, 90, 200, 100), 1.0, [180, 200, 80, 100]),
        ((80, 40, 120, 60), float("inf"), [0, 200, 0, 100]),
        ((50, 50, 50, 50), 0.0, [49, 50, 49, 50]),
        ((50, 50, 50, 50), float("inf"), [0, 200, 0, 100]),
    ],
)
def test_cuts_end_at_the_image(box: tuple[float, ...], beyond: float, expected: list[int]) -> None:
    png, extent = cut(IMAGE, np.array(box, float), beyond)
    assert extent.tolist() == expected
    assert opened(png).size > 0


def test_large_cuts_are_made_smaller() -> None:
    png, extent = cut(np.zeros((3, 500, 2000), np.uint8), np.array([0.0, 0, 9, 9]), float("inf"))
    assert extent.tolist() == [0, 2000, 0, 500]
    assert opened(png).shape == (MOST // 4, MOST)
