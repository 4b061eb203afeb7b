"""Alignment of score and IoU, on boxes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from made_analysis import OBJECT, analysis, boxed, narrowed, seen

from detbench.analysis import alignment, files, summary
from detbench.analysis.alignment import AFTER, BEFORE, GIVEN_UP, LOST, PEARSON, SPEARMAN
from detbench.analysis.kind import Columns, Number

IOUS = [0.2, 0.4, 0.5, 0.7, 0.9]
OBJECTS = boxed([OBJECT], [1.0])
AREAS = np.array([1600.0])


def of_scores(scores: list[float], kept: list[int], images: int = 12) -> Columns:
    """The same boxes on several images, of which NMS keeps some."""
    every = boxed(narrowed(IOUS), scores)
    left = every.chosen(np.array(kept, np.int64))
    looked = seen(every, every, left)
    return files.joined(
        [alignment.of_image(image, looked, OBJECTS, AREAS) for image in range(1, images + 1)]
    )


def numbers(*tables: Columns) -> dict[tuple[str, str, str, str, str], Number]:
    images = sorted(set(tables[0]["image"].tolist()))
    made = analysis(*tables, images=images, settings={"margin": 0.05})
    found = summary.numbers(made, alignment.quantities(made))
    return {(one.row, one.baseline, one.part, one.group, one.name): one for one in found}


def test_scores_that_are_the_iou_correlate_by_one() -> None:
    found = numbers(of_scores(IOUS, [4, 3]))
    for part in (BEFORE, AFTER):
        for name in (PEARSON, SPEARMAN):
            assert found["A", "", part, "all", name].value == pytest.approx(1.0)
    assert found["A", "", BEFORE, "all", GIVEN_UP].value == 0
    assert found["A", "", AFTER, "all", LOST].value == 0


def test_scores_that_rank_the_worst_first_correlate_by_minus_one() -> None:
    found = numbers(of_scores([1 - iou for iou in IOUS], [0]))
    assert found["A", "", BEFORE, "all", PEARSON].value == pytest.approx(-1.0)
    assert found["A", "", BEFORE, "all", SPEARMAN].value == pytest.approx(-1.0)
    assert found["A", "", BEFORE, "all", GIVEN_UP].value == pytest.approx(0.7)
    assert found["A", "", AFTER, "all", LOST].value == 1
    # One box in an image: nothing to correlate in it, and the same in all.
    assert found["A", "", AFTER, "all", PEARSON].value is None


def test_the_best_placed_and_the_three_best_scored_boxes_are_kept() -> None:
    table = alignment.of_image(
        7, seen(boxed(narrowed(IOUS), [0.9, 0.1, 0.8, 0.7, 0.6]), OBJECTS, OBJECTS), OBJECTS, AREAS
    )
    line = {name: column[0] for name, column in table.items()}
    assert (line["image"], line["ones"]) == (7, 5)
    assert (line["best_iou"], line["score_of_best_iou"]) == pytest.approx((0.9, 0.6))
    scored = [line[f"{what}_{n}"] for n in (1, 2, 3) for what in ("score", "iou")]
    assert scored == pytest.approx([0.9, 0.2, 0.8, 0.5, 0.7, 0.7])


def test_nms_loses_by_more_than_the_margin_only() -> None:
    two = [0.8, 0.84]
    every = boxed(narrowed(two), [0.9, 0.8])
    worse = alignment.of_image(1, seen(every, every, every.chosen(np.array([0]))), OBJECTS, AREAS)
    for margin, lost in ((0.03, 1.0), (0.05, 0.0)):
        made = analysis(worse, images=[1], settings={"margin": margin})
        found = summary.numbers(made, alignment.quantities(made))
        [one] = [one for one in found if (one.name, one.group) == (LOST, "all")]
        assert one.value == lost


def test_rows_are_compared_with_the_first_and_parted_by_size_and_difficulty() -> None:
    good, bad = of_scores(IOUS, [4]), of_scores([1 - iou for iou in IOUS], [0])
    found = numbers(good, bad)
    assert found["B", "A", BEFORE, "all", GIVEN_UP].value == pytest.approx(0.7)
    # An area of 1600 is medium here, class 0 is easy.
    assert found["A", "", BEFORE, "medium objects", PEARSON].n == 12 * len(IOUS)
    assert found["A", "", BEFORE, "easy classes", PEARSON].n == 12 * len(IOUS)
    assert found["A", "", BEFORE, "small objects", PEARSON].value is None
    assert found["A", "", BEFORE, "hard classes", PEARSON].reason


def test_an_image_without_objects_or_boxes_has_no_lines() -> None:
    nothing = boxed([], [])
    table = alignment.of_image(3, seen(nothing, nothing, nothing), nothing, np.zeros(0))
    assert {len(column) for column in table.values()} == {0}
    alone = alignment.of_image(3, seen(nothing, nothing, nothing), OBJECTS, AREAS)
    assert alone["ones"].tolist() == [0]
    assert np.isnan(alone["best_iou"]).all()


def test_the_picture_has_a_bar_for_each_row_and_group() -> None:
    tables = of_scores(IOUS, [4]), of_scores(IOUS, [3])
    made = analysis(*tables, images=list(range(1, 13)), settings={"margin": 0.05})
    figure = alignment.draw(made, summary.numbers(made, alignment.quantities(made)), ("T", "n"))
    assert [len(ax.patches) for ax in figure.axes] == [14] * 4
