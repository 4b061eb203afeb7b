"""Best-placed against best-scored boxes, on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from detbench.evaluation.competition import Boxed, competitions, survivors
from detbench.evaluation.detections import iou


def boxed(*rows: tuple[float, float, float, float, int, float]) -> Boxed:
    """Rows of x0, y0, x1, y1, label, score."""
    table = np.array(rows, float).reshape(-1, 6)
    return Boxed(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


def test_the_best_placed_box_need_not_be_the_best_scored() -> None:
    objects = boxed((0, 0, 10, 10, 0, 1))
    found = boxed(
        (0, 0, 10, 5, 0, 0.9),  # IoU 0.5
        (0, 0, 10, 10, 0, 0.1),  # IoU 1
        (0, 0, 10, 8, 0, 0.6),  # IoU 0.8
        (0, 0, 10, 9, 0, 0.7),  # IoU 0.9
        (0, 0, 10, 9, 1, 0.99),  # another class
        (50, 50, 60, 60, 0, 0.95),  # elsewhere
    )
    [one] = competitions(found, objects)
    assert one.boxes == 4
    assert one.best_iou is not None
    assert (one.best_iou.iou, one.best_iou.score) == (1.0, 0.1)
    assert [(c.score, c.iou) for c in one.best_scores] == [
        (0.9, pytest.approx(0.5)),
        (0.7, pytest.approx(0.9)),
        (0.6, pytest.approx(0.8)),
    ]


def test_a_box_claims_the_object_of_its_class_that_it_overlaps_most() -> None:
    objects = boxed((0, 0, 10, 10, 0, 1), (4, 0, 14, 10, 0, 1), (0, 0, 10, 10, 1, 1))
    found = boxed((3, 0, 13, 10, 0, 0.9), (1, 0, 11, 10, 0, 0.8))
    first, second, other = competitions(found, objects)
    assert [c.score for c in first.best_scores] == [0.8]
    assert [c.score for c in second.best_scores] == [0.9]
    assert (other.best_iou, other.best_scores, other.boxes) == (None, (), 0)


def test_a_tenth_of_overlap_is_no_claim() -> None:
    objects = boxed((0, 0, 10, 10, 0, 1))
    assert competitions(boxed((0, 0, 10, 1, 0, 0.9)), objects)[0].boxes == 0
    assert competitions(boxed((0, 0, 10, 1.01, 0, 0.9)), objects)[0].boxes == 1


def test_nothing_found_and_nothing_there() -> None:
    assert competitions(boxed((0, 0, 1, 1, 0, 0.5)), boxed()) == []
    [one] = competitions(boxed(), boxed((0, 0, 10, 10, 0, 1)))
    assert one.best_iou is None
    assert survivors(boxed(), boxed()).tolist() == []
    assert survivors(boxed(), boxed((0, 0, 9, 9, 0, 0.5))).tolist() == [0]


def test_survivors_count_the_boxes_of_their_class_that_they_stand_for() -> None:
    after = boxed((0, 0, 10, 10, 0, 0.9), (20, 0, 30, 10, 0, 0.8), (0, 0, 10, 10, 1, 0.7))
    before = boxed(
        (0, 0, 10, 10, 0, 0.9),
        (1, 0, 11, 10, 0, 0.5),
        (20, 0, 30, 10, 0, 0.8),
        (0, 0, 10, 10, 1, 0.7),
        (60, 60, 70, 70, 0, 0.4),  # overlaps none of them
    )
    assert survivors(before, after).tolist() == [2, 1, 1]


def test_iou_of_sides() -> None:
    one = np.array([[0.0, 0.0, 2.0, 2.0]])
    other = np.array([[1.0, 1.0, 2.0, 2.0]])
    assert iou(one[:, None], other) == pytest.approx(1 / 7)
    assert iou(one[:, None], other, crowd=True) == pytest.approx(1 / 4)
    assert iou(one[:, None], other, pixel=1.0) == pytest.approx(4 / 14)
    assert iou(one[:, None], np.zeros((0, 4))).shape == (1, 0)
    apart = np.array([[3.0, 3.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert iou(one[:, None], apart).tolist() == [[0.0, 0.0]]
