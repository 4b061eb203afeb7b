import pytest
import torch

from detbench.ops.candidates import AnchorShapes, Rounding, anchor_grid


def anchors(stride: int, size: float, ratio: float, rounding: Rounding | None) -> list[list[float]]:
    grid = anchor_grid(AnchorShapes(size, 1, (ratio,), 1), 0.5, rounding)
    return grid.lay([(1, 2)], [stride], torch.zeros(1)).boxes.tolist()


def test_rounded_anchors_are_those_of_mmdetection_1():
    """There (9, 1, 1) is 0, 0, 8, 8: the last pixel is named, here the edge behind it."""
    assert anchors(9, 1.0, 1.0, rounding="corners") == [[0, 0, 9, 9], [9, 0, 18, 9]]
    # Sides of 45.25 and 22.63 about 1.5: -21, -9, 24, 12 there.
    assert anchors(4, 8.0, 0.5, rounding="corners") == [[-21, -9, 25, 13], [-17, -9, 29, 13]]


@pytest.mark.parametrize(
    ("ratio", "printed"),
    [
        (0.5, [[-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200]]),
        (1.0, [[-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264]]),
        (2.0, [[-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360]]),
    ],
)
def test_anchors_rounded_in_cells_are_the_first_faster_rcnns(ratio, printed):
    """Those that py-faster-rcnn and maskrcnn-benchmark print in a comment, for a stride of 16.

    Pixels are counted from 1 there: the box about the cell is 1, 1, 16, 16; here 0, 0, 16, 16.
    """
    grid = anchor_grid(AnchorShapes(8.0, 1, (ratio,), 3), 0.5, rounding="cells")
    boxes = grid.lay([(1, 1)], [16], torch.zeros(1)).boxes
    torch.testing.assert_close(boxes, torch.tensor(printed) - torch.tensor([1.0, 1, 0, 0]))


def test_anchors_rounded_in_cells_by_stride():
    """At a stride of 4 and 1:2 a cell has 6 x 3 (5.66 and half of 6), at 8 it has 11 x 6."""
    assert anchors(4, 8.0, 0.5, rounding="cells")[0] == pytest.approx([-22, -10, 26, 14])
    assert anchors(8, 8.0, 0.5, rounding="cells")[0] == pytest.approx([-40, -20, 48, 28])


def test_anchors_are_not_rounded_unasked():
    first = anchors(4, 8.0, 0.5, rounding=None)[0]
    assert [round(value, 3) for value in first] == [-20.627, -9.314, 24.627, 13.314]


def test_sides_and_ratios_of_ones_own():
    """TSD's on OpenImages: 8, 11 and 14 strides at six ratios, 18 anchors a cell."""
    ratios, sides = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0), (8.0, 11.0, 14.0)
    grid = anchor_grid(AnchorShapes(1.0, 1, ratios, 1, sides), 0.5)
    assert grid.per_cell == 18
    boxes = grid.lay([(1, 1)], [16], torch.zeros(1)).boxes
    width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    expected = [(side * 16, ratio) for ratio in ratios for side in sides]
    torch.testing.assert_close((width * height).sqrt(), torch.tensor([one for one, _ in expected]))
    torch.testing.assert_close(height / width, torch.tensor([ratio for _, ratio in expected]))
    eight = anchor_grid(AnchorShapes(8.0, 1, ratios, 1), 0.5, "corners")
    scaled = anchor_grid(AnchorShapes(8.0, 1, ratios, 1, (1.0, 1.375)), 0.5, "corners")
    assert scaled.shapes[::2] == eight.shapes
