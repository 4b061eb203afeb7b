import torch

from detbench.ops.candidates import Rounding, anchor_grid


def anchors(stride: int, size: float, ratio: float, rounding: Rounding | None) -> list[list[float]]:
    grid = anchor_grid(size, 1, (ratio,), 0.5, rounding=rounding)
    return grid.lay([(1, 2)], [stride], torch.zeros(1)).boxes.tolist()


def test_rounded_anchors_are_those_of_mmdetection_1():
    """There (9, 1, 1) is 0, 0, 8, 8: the last pixel is named, here the edge behind it."""
    assert anchors(9, 1.0, 1.0, rounding="corners") == [[0, 0, 9, 9], [9, 0, 18, 9]]
    # Sides of 45.25 and 22.63 about 1.5: -21, -9, 24, 12 there.
    assert anchors(4, 8.0, 0.5, rounding="corners") == [[-21, -9, 25, 13], [-17, -9, 29, 13]]


def test_anchors_are_not_rounded_unasked():
    first = anchors(4, 8.0, 0.5, rounding=None)[0]
    assert [round(value, 3) for value in first] == [-20.627, -9.314, 24.627, 13.314]
