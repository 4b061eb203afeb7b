"""Maps about objects, whose peaks are known."""

from __future__ import annotations

import numpy as np
import pytest
from made_analysis import analysis

from detbench.analysis import drawing_maps, files, lines, sensitivity, summary
from detbench.analysis.fields import Field, overlap, summed
from detbench.analysis.lines import OWN
from detbench.analysis.opened import Objects
from detbench.analysis.sensitivity import TOLD

STEPS = np.linspace(-0.5, 0.5, 13)
SETTINGS = {"reach": 0.5, "steps": 13.0, "pictures": 1.0}
BOX = np.array([20.0, 30.0, 60.0, 90.0])


def peaked(x: float, y: float, xs=STEPS, ys=STEPS) -> np.ndarray:
    """A map that falls with the distance from one place."""
    across, down = np.meshgrid(xs, ys)
    return np.exp(-8 * ((across - x) ** 2 + (down - y) ** 2))


def field(cls: np.ndarray, loc: np.ndarray) -> Field:
    return Field(STEPS, STEPS, cls, loc)


def test_peaks_are_where_they_are() -> None:
    at = STEPS[[1, 6, 10]]
    found = field(peaked(at[0], 0), peaked(at[1], at[2])).numbers()
    assert found["apart"] == pytest.approx(np.hypot(at[1] - at[0], at[2]))
    assert found["border_cls"] == pytest.approx(2 * abs(at[0]))
    assert found["border_loc"] == pytest.approx(2 * at[2])
    loc = peaked(at[1], at[2])
    assert found["given_up"] == pytest.approx(loc.max() - loc[6, 1])


def test_the_same_map_twice_is_wholly_in_common() -> None:
    one = peaked(0.25, -0.25)
    found = field(one, 3 * one).numbers()
    assert (found["pearson"], found["overlap"], found["apart"]) == pytest.approx((1, 1, 0))
    assert found["given_up"] == 0


def test_opposite_corners_have_no_best_quarter_in_common() -> None:
    assert overlap(peaked(-0.5, -0.5).ravel(), peaked(0.5, 0.5).ravel()) == 0


def test_maps_that_know_nothing_of_each_other_have_a_quarter_of_it_in_common() -> None:
    first, second = np.random.default_rng(0).random((2, 40_000))
    assert overlap(first, second) == pytest.approx(0.25, abs=0.01)


def test_a_flat_map_has_no_peak() -> None:
    found = field(np.full((13, 13), 0.3), peaked(0, 0)).numbers()
    assert found["range_cls"] == pytest.approx(0)
    assert set(found) == {"range_cls", "range_loc", "border_loc"}
    assert field(np.full((1, 3), 0.3), np.ones((1, 3))).numbers() == {}


def test_shifted_boxes_are_on_the_grid() -> None:
    boxes = sensitivity.shifted(BOX, np.array([-0.5, 0.0, 0.5]))
    assert boxes.shape == (9, 4)
    assert boxes[4].tolist() == BOX.tolist()
    assert boxes[5].tolist() == [40, 30, 80, 90]  # to the right
    assert boxes[7].tolist() == [20, 60, 60, 120]  # down


def test_mean_maps_are_of_objects_not_of_places() -> None:
    """One object has a place in each cell, another one four in its right half, a third a row."""
    whole = field(np.full((13, 13), 0.2), np.full((13, 13), 0.4))
    xs, ys = np.array([0.125, 0.375]), np.array([-0.25, 0.25])
    right = Field(xs, ys, np.array([[0.8, 0.6], [0.4, 0.2]]), np.ones((2, 2)))
    row = Field(STEPS, np.zeros(1), np.ones((1, 13)), np.ones((1, 13)))
    count, cls, loc = summed([whole, right, row], 0.5, 13)
    assert count[:, :6].tolist() == np.ones((13, 6)).tolist()
    assert count[:, 6:].tolist() == np.full((13, 7), 2.0).tolist()
    assert (cls[0, 12], cls[0, 7], cls[12, 12]) == pytest.approx((0.8, 1.0, 0.4))
    assert (loc[3, 3], loc[3, 9]) == pytest.approx((0.4, 1.4))
    assert summed([], 0.5, 3).tolist() == np.zeros((3, 3, 3)).tolist()


def table(image: int, fields: list[dict[str, Field]], picture: bool = False):
    count = len(fields)
    objects = Objects(np.tile(BOX, (count, 1)), np.arange(count) % 3, np.linspace(100, 9000, count))
    found = sensitivity.of_image(fields, objects, SETTINGS)
    if picture:
        pixels = np.full((3, 128, 128), 90, np.uint8)
        found += sensitivity._picture(fields[-1], pixels, objects, count - 1, SETTINGS)
    return lines.table(image, sensitivity.NAMES, found)


def aligned(*shifts: float):
    """Twelve images of three objects, whose loc peak is a known way from the cls peak, image by
    image over and over.
    """
    found = []
    for image in range(1, 13):
        one = field(peaked(0, 0), peaked(shifts[image % len(shifts)], 0))
        found.append(table(image, [{OWN: one, "P3": one}] * 3, image == 1))
    return files.joined(found)


def test_rows_are_told_apart_by_where_their_peaks_are() -> None:
    made = analysis(aligned(0.0), aligned(*STEPS[[8, 10]]), images=range(1, 13), settings=SETTINGS)
    found = summary.numbers(made, sensitivity.quantities(made))
    by = {(one.row + one.baseline, one.part, one.group, one.name): one for one in found}
    apart = TOLD["apart"]
    assert by["A", OWN, "all", apart].value == 0
    assert by["B", OWN, "all", apart].value == pytest.approx(0.25)
    difference = by["BA", OWN, "all", apart]
    assert difference.value == pytest.approx(0.25)
    assert difference.low is not None
    assert difference.high is not None
    half = 1.96 * (1 / 12) / 12**0.5
    assert (difference.low, difference.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.01)
    assert (by["A", OWN, "all", apart].n, difference.n) == (36, 72)
    assert by["A", OWN, "small objects", apart].n == 12
    assert {one.group for one in found if one.part == "P3"} == {"all"}
    assert by["A", "P3", "all", TOLD["given_up"]].detail


def test_a_row_with_flat_maps_is_no_mistake() -> None:
    flat = field(np.full((13, 13), 0.3), np.full((13, 13), 0.5))
    blind = files.joined([table(image, [{OWN: flat}], image == 1) for image in range(1, 13)])
    made = analysis(aligned(0.0), blind, images=range(1, 13), settings=SETTINGS)
    numbers = summary.numbers(made, sensitivity.quantities(made))
    flatness = [one for one in numbers if one.name == TOLD["range_cls"] and one.group == "all"]
    assert [one.value for one in flatness if one.row == "B" and not one.baseline] == [0.0]
    assert all(np.isfinite(one.value) for one in numbers if one.value is not None)
    sensitivity.draw(made, numbers, ("T", "n"))


def test_the_picture_has_both_maps_a_surface_and_the_means() -> None:
    made = analysis(*[aligned(0.25)] * 2, images=range(1, 13), settings=SETTINGS)
    figure = sensitivity.draw(made, [], ("T", "n"))
    above, below = figure.subfigs
    kinds = [ax.name for ax in above.axes]
    assert kinds.count("3d") == 2
    assert [len(ax.images) for ax in above.axes if ax.name != "3d"] == [2] * 4
    assert [ax.images[0].get_array().shape for ax in below.axes[:8]] == [(13, 13)] * 8


def test_without_pictures_there_are_the_means() -> None:
    one = field(peaked(0, 0), peaked(0.25, 0))
    made = analysis(table(1, [{OWN: one}]), images=[1], settings=SETTINGS)
    figure = sensitivity.draw(made, [], ("T", "n"))
    assert len(figure.subfigs) == 1
    empty = analysis(lines.table(1, sensitivity.NAMES, []), images=[1], settings=SETTINGS)
    assert sensitivity.quantities(empty) == []


def test_a_map_lies_where_its_places_are() -> None:
    ends = drawing_maps.edges(np.array([10.0, 20.0, 30.0]), np.array([4.0, 8.0]))
    assert ends.tolist() == [5, 35, 2, 10]


def test_arrays_come_back_as_they_were_packed() -> None:
    arrays = [np.array(3.0), np.zeros((0, 4)), np.arange(6.0).reshape(2, 3)]
    found = lines.unpack(lines.pack(arrays))
    assert [one.shape for one in found] == [(), (0, 4), (2, 3)]
    assert found[2].tolist() == arrays[2].tolist()
    assert lines.unpack(lines.pack([])) == []
