"""Cases: rows that miss and double exactly the objects that they were made to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_analysis import analysis, narrowed

from detbench.analysis import case_drawing, case_list, cases, kinds
from detbench.analysis.case_matching import BOX, OBJECT, judged, of_image, threshold
from detbench.analysis.kind import Analysis, Columns, Number
from detbench.evaluation.competition import Boxed

SETTINGS = {**kinds.settings(cases.KIND, []), "score": 0.5}
NONE = Boxed(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
SMALL, LARGE = (10.0, 10.0, 20.0, 20.0), (40.0, 40.0, 120.0, 120.0)
"""An easy object of class 0, and a hard one of class 2."""
IMAGES = 12


def image(number: int, boxes: list[tuple[list[float], int, float]]) -> Columns:
    """An image with both objects and some boxes: corners, label and score."""
    corners = np.array([one for one, _, _ in boxes], float).reshape(-1, 4)
    labels = np.array([label for _, label, _ in boxes], np.int64)
    found = Boxed(corners, labels, np.array([score for *_, score in boxes]))
    objects = Boxed(np.array([SMALL, LARGE]), np.array([0, 2]), np.ones(2))
    return of_image(number, found, (objects, NONE), np.array([100.0, 6400.0]), 0.5)


def row(*, missed: set[int], doubled: set[int], loose: set[int]) -> Columns:
    """A row that misses the small object of some images (its box scores 0.2), doubles the large one
    of some, and places the large one badly on some.
    """
    tables = []
    for number in range(1, IMAGES + 1):
        [large] = narrowed([0.6 if number in loose else 0.9], LARGE)
        boxes = [(list(SMALL), 0, 0.2 if number in missed else 0.8), (large, 2, 0.9)]
        # Its place is not good enough to find it, and no NMS at 0.5 takes it away.
        boxes += [(narrowed([0.4], LARGE)[0], 2, 0.7)] if number in doubled else []
        tables.append(image(number, boxes))
    return {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}


def made(**more: float) -> Analysis:
    """A misses two objects and doubles one, B doubles none and places three worse."""
    a = row(missed={2, 5}, doubled={5}, loose=set())
    b = row(missed={5}, doubled=set(), loose={7, 8, 9})
    return analysis(a, b, images=range(1, IMAGES + 1), settings={**SETTINGS, **more})


def known(found: list[Number]) -> dict[tuple[str, str, str, str], float | None]:
    return {(one.row, one.baseline, one.group, one.name): one.value for one in found}


def test_what_is_missed_and_doubled_is_counted() -> None:
    found = known(cases.numbers(made()))
    assert found["A", "", "all", "objects found"] == 2 * IMAGES - 2
    assert found["B", "", "all", "objects found"] == 2 * IMAGES - 1
    assert found["B", "A", "all", "objects found"] == 1
    assert found["A", "", "small objects", "objects found"] == IMAGES - 2
    assert found["A", "", "easy classes", "objects found"] == IMAGES - 2
    assert found["A", "", "hard classes", "objects found"] == IMAGES
    assert found["A", "", "all", "duplicates"] == found["A", "", "large objects", "duplicates"] == 1
    assert found["B", "", "all", "duplicates"] == 0
    assert found["A", "", "all", "other wrong boxes"] == 0


def test_what_one_row_alone_does_is_counted() -> None:
    found = known(cases.numbers(made()))
    expected = {
        "found by both": 2 * IMAGES - 2,
        "found by B alone": 1,
        "found by A alone": 0,
        "found by neither": 1,
        "doubled by A alone": 1,
        "doubled by B alone": 0,
        "better placed by A": 3,
        "better placed by B": 0,
        # 22 objects that both find, of which three by boxes of IoU 0.6 in place of 0.9.
        "IoU less A's": pytest.approx(-3 * 0.3 / (2 * IMAGES - 2)),
    }
    assert {name: found["B", "", "all", name] for name in expected} == expected
    assert found["B", "", "small objects", "found by B alone"] == 1
    assert found["B", "", "large objects", "found by B alone"] == 0


def test_a_count_has_the_interval_of_its_images() -> None:
    """One of twelve images adds one: a binomial number, whose ends are 0 and about 3."""
    every = cases.numbers(made())
    [one] = [n for n in every if (n.name, n.group) == ("found by B alone", "all")]
    assert one.low == 0
    assert one.high is not None
    assert 2 <= one.high <= 4
    assert (one.n, one.images, one.digits) == (2 * IMAGES, IMAGES, 0)


def test_the_images_with_the_highest_scores_are_chosen() -> None:
    found = case_list.chosen(made())
    # Image 5: a duplicate. Images 7 to 9: a worse place each. Image 2: one alone finds the object.
    assert {one.image: one.score for one in found} == {2: 1, 5: 1, 7: 1, 8: 1, 9: 1}
    assert [one.image for one in found[:3]] == [7, 8, 9]
    assert found[0].spread == pytest.approx(0.3)
    by_image = {one.image: one for one in found}
    assert by_image[2].differing == (0,)
    assert by_image[5].differing == by_image[7].differing == (1,)
    assert by_image[5].words == "1 duplicate"
    weighted = case_list.chosen(made(found=3.0, placed=0.0))
    assert [(one.image, one.score) for one in weighted] == [(2, 3), (5, 1)]
    alone = case_list.chosen(made(found=0.0, placed=0.0))
    assert [(one.image, one.words, one.differing) for one in alone] == [(5, "1 duplicate", (1,))]


def test_scores_of_cases_are_printed() -> None:
    scores = [one for one in cases.numbers(made(top=2)) if one.row == "all rows"]
    assert [(one.part, one.value) for one in scores] == [("image 7", 1), ("image 8", 1)]
    assert "0.500" in cases.notes(made())[0]


def test_equal_rows_have_no_cases() -> None:
    same = row(missed={2}, doubled={5}, loose=set())
    equal = analysis(same, same, images=range(1, IMAGES + 1), settings=SETTINGS)
    assert case_list.chosen(equal) == []
    figure = cases.draw(equal, cases.numbers(equal), ("Title", "Note."))
    [ax] = figure.axes
    assert ax.texts[0].get_text() == "No image in which rows differ."


def test_as_many_boxes_count_as_there_are_objects() -> None:
    table = row(missed={2, 5}, doubled={5}, loose=set())
    # 12 boxes of 0.9, 10 of 0.8, one of 0.7, two of 0.2: the 24th is one of 0.2.
    settings = {**SETTINGS, "score": 0.0}
    assert threshold(table, settings) == 0.2
    assert threshold(table, SETTINGS) == 0.5
    found = judged(table, settings)
    assert found["found"][found["what"] == OBJECT].sum() == 2 * IMAGES


def test_a_box_takes_the_free_object_that_it_overlaps_most() -> None:
    """The better-scored box takes its best object; the other one takes what is left, or nothing."""
    objects = Boxed(np.array([[0.0, 0, 10, 10], [0, 0, 10, 6]]), np.array([0, 0]), np.ones(2))
    boxes = Boxed(
        np.array([[0.0, 0, 10, 6], [0, 0, 10, 7], [0, 0, 10, 6]]),
        np.zeros(3, np.int64),
        np.array([0.5, 0.9, 0.4]),
    )
    table = of_image(1, boxes, (objects, NONE), np.array([100.0, 60.0]), 0.5)
    of_objects = table["what"] == OBJECT
    assert table["score"][of_objects].tolist() == [0.5, 0.9]
    assert table["iou"][of_objects].tolist() == pytest.approx([0.6, 6 / 7])
    assert table["finds"][table["what"] == BOX].tolist() == [1, 1, 0]


def test_boxes_in_a_crowd_are_neither_right_nor_wrong() -> None:
    crowd = Boxed(np.array([[0.0, 0, 100, 100]]), np.array([1]), np.ones(1))
    boxes = Boxed(
        np.array([[10.0, 10, 20, 20], [10, 10, 20, 20]]), np.array([1, 0]), np.full(2, 0.9)
    )
    table = of_image(1, boxes, (NONE, crowd), np.zeros(0), 0.5)
    assert table["ignored"].tolist() == [1, 0]
    assert judged(table, SETTINGS)["wrong"].tolist() == [0, 1]


@pytest.mark.parametrize("count", [0, 3])
def test_an_image_without_boxes_or_objects(count: int) -> None:
    boxes = Boxed(np.tile(SMALL, (count, 1)), np.zeros(count, np.int64), np.full(count, 0.9))
    table = of_image(1, boxes, (NONE, NONE), np.zeros(0), 0.5)
    assert judged(table, SETTINGS)["wrong"].sum() == count
    objects = Boxed(np.array([SMALL]), np.array([0]), np.ones(1))
    table = of_image(1, NONE, (objects, NONE), np.array([100.0]), 0.5)
    assert judged(table, SETTINGS)["found"].tolist() == [0]
    assert np.isnan(table["score"]).all()


def test_every_box_is_drawn_in_the_style_of_what_it_is() -> None:
    one = replace(made(top=5), pixels=lambda image: np.zeros((130, 130, 3), np.uint8))
    figure = cases.draw(one, cases.numbers(one), ("Title", "Note."))
    assert len(figure.axes) == 5 * 3
    at = [case.image for case in case_list.chosen(one)].index(5)
    objects, first, second = figure.axes[at * 3 : at * 3 + 3]
    styles = [[p.get_gid() for p in ax.patches if p.get_gid()] for ax in (objects, first, second)]
    assert styles[0] == ["object", "object"]
    assert styles[1] == ["object not found", "box that finds", "duplicate"]
    assert styles[2] == ["object not found", "box that finds"]
    assert [text.get_text() for text in first.texts] == ["0.90", "0.70"]
    assert "image 5" in objects.get_ylabel()


def test_of_a_large_image_what_differs_is_shown() -> None:
    one = replace(made(top=5), pixels=lambda image: np.zeros((600, 900, 3), np.uint8))
    figure = cases.draw(one, cases.numbers(one), ("Title", "Note."))
    left, right = figure.axes[0].get_xlim()
    assert left <= LARGE[0]
    assert LARGE[2] <= right < 500


def test_without_the_images_boxes_are_drawn_and_it_is_said() -> None:
    one = made()
    figure = case_drawing.draw(one, ("Title", "Note."))
    assert "5 images are not here: their boxes alone." in figure.get_supxlabel().replace("\n", " ")
