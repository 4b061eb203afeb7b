"""Grad-CAMs of linear outputs, and what follows from made ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_analysis import analysis

from detbench.analysis import backward, cams, files, gradients, lines, summary
from detbench.analysis.cams import Cams
from detbench.analysis.gradients import TOLD
from detbench.analysis.lines import OWN
from detbench.analysis.opened import Objects

BOX = np.array([16.0, 16.0, 48.0, 48.0])
SETTINGS = {"pictures": 1.0}


def test_a_linear_head_has_the_known_map() -> None:
    """An output w . A at one cell: weights w / cells, and the map is ReLU of w . A / cells."""
    torch.manual_seed(0)
    features = torch.randn(1, 3, 4, 5, requires_grad=True)
    weights = torch.tensor([2.0, -1.0, 0.5])
    output = (features[0, :, 2, 3] * weights).sum() + 7
    expected = (weights[:, None, None] * features[0].detach()).sum(dim=0).relu() / 20
    assert torch.allclose(backward.grad_cam(output, features), expected, atol=1e-6)
    assert expected.max() > 0
    assert torch.equal(backward.grad_cam(output * 3, features), expected * 3) or torch.allclose(
        backward.grad_cam(output * 3, features), expected * 3
    )


def test_a_map_that_an_output_owes_nothing_to_is_empty() -> None:
    features, other = (torch.randn(1, 2, 3, 3, requires_grad=True) for _ in range(2))
    assert backward.grad_cam(other.sum(), features).tolist() == [[0.0] * 3] * 3


def test_sides_count_outwards() -> None:
    """The left side owes the first channel, the right one the second: left counts negatively."""
    features = torch.ones(1, 2, 2, 2, requires_grad=True)
    left, right = features[0, 0].sum(), features[0, 1].sum()
    constant = torch.zeros(()) * left
    found = backward.grad_cam_of_box(torch.stack((left, constant, right, constant)), features)
    assert found.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    found = backward.grad_cam_of_box(torch.stack((-left, constant, right, constant)), features)
    assert found.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def made(cls: np.ndarray, loc: np.ndarray) -> Cams:
    """Cells of 16 pixels on an image of 64, without padding."""
    return Cams(cls, loc, (16.0, 16.0), (64.0, 64.0))


def test_an_even_map_has_the_objects_share_of_the_image() -> None:
    found = made(np.ones((4, 4)), 2 * np.ones((4, 4))).numbers(BOX)
    assert found["even"] == found["inside_cls"] == found["inside_loc"] == pytest.approx(0.25)
    assert found["border_cls"] == pytest.approx(cams.EVEN_BORDER)
    assert found["common"] == pytest.approx(1)
    assert np.isnan(found["pearson"])


def test_maps_at_the_centre_and_around_it() -> None:
    """One in the object's four cells, the other in all the rest."""
    inner = np.zeros((4, 4))
    inner[1:3, 1:3] = 5e-4
    found = made(inner, 5e-4 - inner).numbers(BOX)
    assert (found["inside_cls"], found["inside_loc"]) == pytest.approx((1, 0))
    assert "border_loc" not in found
    assert (found["common"], found["pearson"]) == pytest.approx((0, -1))
    assert (found["empty_cls"], found["empty_loc"]) == (0, 0)


def test_an_empty_map_tells_that_it_is() -> None:
    found = made(np.ones((4, 4)), np.zeros((4, 4))).numbers(BOX)
    assert (found["empty_cls"], found["empty_loc"]) == (0, 1)
    assert {"inside_loc", "common", "pearson"}.isdisjoint(found)


def test_a_map_of_one_cell_is_like_any_other() -> None:
    found = Cams(np.ones((1, 1)), np.ones((1, 1)), (64.0, 64.0), (64.0, 64.0)).numbers(BOX)
    assert {"common", "pearson"}.isdisjoint(found)


def test_padding_does_not_count() -> None:
    """Cells of 16 on an image of 40: half of the third is beyond it."""
    values = np.ones((3, 3))
    one = Cams(values, values, (16.0, 16.0), (40.0, 40.0))
    assert one.cover(np.array([0, 0, 40, 40.0]))[2].tolist() == [0.5, 0.5, 0.25]
    assert one.numbers(np.array([0, 0, 16.0, 16.0]))["inside_cls"] == pytest.approx((16 / 40) ** 2)


def test_mean_maps_are_laid_over_the_object() -> None:
    """A map that is 1 left of the object's centre; a second object is cut by the image."""
    values = np.zeros((4, 4))
    values[:, :2] = 7.0
    one = made(values, values)
    count, cls, _ = cams.about([(one, BOX), (one, np.array([0.0, 0, 32, 32]))], 1.0, 5)
    assert count[2].tolist() == [1, 2, 2, 2, 1]  # one begins, the other ends, beyond the image
    assert cls[2].tolist() == [1, 2, 1, 0, 0]


def table(image: int, shares: tuple[float, float], picture: bool = False):
    """Three objects of one level; of each map a share is in the object, evenly."""
    maps = []
    for share in shares:
        one = np.full((4, 4), (1 - share) / 12)
        one[1:3, 1:3] = share / 4
        maps.append(one)
    found = [("P4", {"P4": made(*maps), "P5": made(*maps)})] * 3
    objects = Objects(np.tile(BOX, (3, 1)), np.arange(3), np.array([100.0, 2000.0, 9000.0]))
    held = gradients.of_image(found, objects)
    if picture:
        held += gradients._picture(found[2][1], np.zeros((3, 64, 64)), objects, 2)
    return lines.table(image, gradients.NAMES, held)


def analysed(*rows: tuple[float, float]):
    tables = [
        files.joined([table(image, shares, image == 1) for image in range(1, 13)])
        for shares in rows
    ]
    return analysis(*tables, images=range(1, 13), settings=SETTINGS)


def test_numbers_of_rows_are_those_of_their_maps() -> None:
    one = analysed((0.8, 0.4), (0.5, 0.4))
    found = summary.numbers(one, gradients.quantities(one))
    by = {(n.row + n.baseline, n.part, n.group, n.name): n for n in found}
    assert by["A", OWN, "all", TOLD["inside_cls"]].value == pytest.approx(0.8)
    assert by["BA", OWN, "all", TOLD["inside_cls"]].value == pytest.approx(-0.3)
    assert by["A", OWN, "all", TOLD["common"]].value == pytest.approx(0.6)
    assert by["A", "P5", "all", TOLD["inside_loc"]].value == pytest.approx(0.4)
    assert by["A", OWN, "large objects", TOLD["inside_cls"]].n == 12
    assert by["A", "P4", "all", TOLD["empty_cls"]].detail


def test_the_picture_has_every_level_of_both_tasks() -> None:
    figure = gradients.draw(analysed((0.8, 0.4), (0.5, 0.4)), [], ("T", "n"))
    above, below = figure.subfigs
    assert [len(ax.images) for ax in above.axes] == [2] * 8  # two rows, tasks and levels
    assert len([ax for ax in below.axes if ax.images]) == 12  # and the own one
