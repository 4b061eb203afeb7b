"""Windows of known IoU, and what heads say of them."""

from __future__ import annotations

import numpy as np
import pytest
from made_analysis import analysis

from detbench.analysis import files, sliding_window, summary
from detbench.analysis.kind import Number
from detbench.analysis.sliding_window import BINS, BOX, PEARSON, SCORE

BOX_AT = np.array([20.0, 30.0, 60.0, 90.0])
SIZE = (128, 120)


def test_bins_hold_the_ious_they_claim() -> None:
    boxes, bins = sliding_window.windows(BOX_AT, SIZE, 40, seed=1)
    ious = sliding_window.overlaps(boxes, BOX_AT)
    assert np.bincount(bins, minlength=BINS).tolist() == [40] * BINS
    assert (ious >= bins / BINS).all()
    assert (ious <= (bins + 1) / BINS).all()
    assert ious.min() == 0
    assert ious.max() > 0.97
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [SIZE[1], SIZE[0]]).all()
    assert ((boxes[:, 2:] - boxes[:, :2]) >= 1).all()


def test_windows_are_the_same_for_every_row() -> None:
    one, other = (sliding_window.windows(BOX_AT, SIZE, 20, seed=1) for _ in range(2))
    assert (one[0] == other[0]).all()
    assert (one[0] != sliding_window.windows(BOX_AT, SIZE, 20, seed=2)[0]).any()


@pytest.mark.parametrize("box", [(0, 0, 9, 7), (100, 0, 120, 128), (0, 0, 120, 128)])
def test_small_and_cut_objects_have_windows_of_all_ious(box: tuple[float, ...]) -> None:
    """The whole image has none that it does not meet."""
    _, bins = sliding_window.windows(np.array(box, float), SIZE, 10, seed=3)
    filled = np.bincount(bins, minlength=BINS) == 10
    assert filled.sum() >= (BINS - 1 if box[2] < 120 or box[0] else 15)


def table(score, regressed, images: int = 12):
    """What one head says, by functions of the window's IoU."""
    found = []
    for image in range(1, images + 1):
        boxes, bins = sliding_window.windows(BOX_AT, SIZE, 15, seed=image)
        ious = sliding_window.overlaps(boxes, BOX_AT)
        about = {"image": image, "label": 1, "area": 2400.0}
        parts = {"head": (score(ious), regressed(ious))}
        found.append(sliding_window.of_windows(about, ious, bins, parts))
    return files.joined(found)


def numbers(*tables) -> dict[tuple[str, str], Number]:
    made = analysis(*tables, images=range(1, 13), settings={"windows": 300.0})
    found = summary.numbers(made, sliding_window.quantities(made))
    return {(one.row + one.baseline, one.name): one for one in found if one.group == "all"}


def test_a_head_that_knows_the_iou_and_mends_nothing() -> None:
    found = numbers(table(lambda iou: iou, lambda iou: iou))
    assert found["A", PEARSON].value == pytest.approx(1)
    assert found["A", PEARSON].n == 12 * 15 * BINS
    for place in (0, 7, 19):
        middle = (place + 0.5) / BINS
        for title in (SCORE, BOX):
            one = found["A", sliding_window.bin_name(title, place)]
            assert one.value == pytest.approx(middle, abs=0.5 / BINS)
            assert one.n == 12 * 15
    deviation = found["A", f"deviation of {sliding_window.bin_name(SCORE, 7)}"]
    assert 0 < deviation.value < 0.5 / BINS


def test_a_head_that_sees_nothing_has_a_flat_curve_and_no_correlation() -> None:
    found = numbers(
        table(lambda iou: iou, lambda iou: iou), table(lambda iou: iou * 0 + 0.3, np.ones_like)
    )
    assert found["B", PEARSON].value is None
    heights = [found["B", sliding_window.bin_name(SCORE, place)].value for place in range(BINS)]
    assert heights == pytest.approx([0.3] * BINS)
    mended = found["BA", f"{BOX}, windows below 0.5"]
    assert mended.value == pytest.approx(0.75, abs=0.02)


def test_the_picture_has_a_line_for_each_row_in_each_panel() -> None:
    made = analysis(
        *[table(lambda iou: iou, lambda iou: iou)] * 2,
        images=range(1, 13),
        settings={"windows": 300.0},
    )
    figure = sliding_window.draw(
        made, summary.numbers(made, sliding_window.quantities(made)), ("T", "n")
    )
    assert [len(ax.lines) for ax in figure.axes] == [2, 2, 2, 2, 0, 2, 2, 2] * 2
