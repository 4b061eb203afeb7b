"""Points and proposals that are moved by known shifts."""

from __future__ import annotations

import numpy as np
import pytest
from made_analysis import analysis

from detbench.analysis import drawing_shifts, files, lines, shifts, summary
from detbench.analysis.displacements import Moved
from detbench.analysis.moving import Seen
from detbench.analysis.opened import Objects
from detbench.analysis.shifts import DEVIATIONS, TOLD
from detbench.recipe import resolve

BOX = np.array([10.0, 20.0, 50.0, 100.0])
"""40 wide, 80 high."""
GRID = np.array([[20.0, 40.0], [40.0, 40.0], [20.0, 80.0], [40.0, 80.0]])
SETTINGS = {"pictures": 1.0}


def test_a_box_moved_by_a_known_shift_has_the_right_arrow() -> None:
    """By 4 to the right and 8 up; it is read too short on the right by most."""
    before, by = np.add(BOX, [-4, 8, -4, 8]), np.array([4.0, -8.0, 4.0, -8.0])
    region = np.stack((before, before + by))
    centres = (region[:, :2] + region[:, 2:]) / 2
    found = Moved(centres[:1], centres[1:], region).numbers(BOX, BOX - [0, 4, 10, 0])
    assert (found["right"], found["down"]) == pytest.approx((0.1, -0.1))
    assert found["length"] == pytest.approx(0.1 * 2**0.5)
    assert found["worst"] == pytest.approx(0.1)
    kept = 36 * 72
    assert found["gained"] == pytest.approx(1 - kept / (2 * 3200 - kept))
    assert "scatter" not in found


@pytest.mark.parametrize(
    ("side", "towards"), [(0, -0.1), (1, -0.05), (2, 0.1), (3, 0.05)], ids=["l", "t", "r", "b"]
)
def test_towards_the_side_that_is_read_worst(side: int, towards: float) -> None:
    read = BOX.copy()
    read[side] += 20
    found = Moved(GRID, np.add(GRID, [4.0, 4.0])).numbers(BOX, read)
    assert found["worst"] == pytest.approx(towards)


def test_points_that_scatter_from_their_mean() -> None:
    middle = GRID.mean(axis=0)
    found = Moved(GRID, middle + 2.5 * (GRID - middle)).numbers(BOX, BOX)
    assert found["scatter"] == pytest.approx(2.5)
    assert (found["right"], found["down"]) == pytest.approx((0, 0), abs=1e-12)
    assert (found["outside_before"], found["outside"]) == (0, 1)
    assert "gained" not in found


def test_points_are_told_about_the_object() -> None:
    before, after = Moved(GRID, np.add(GRID, [4, 8])).about(BOX)
    assert before[0].tolist() == pytest.approx([-0.25, -0.25])
    assert (after - before).tolist() == [[pytest.approx(0.1)] * 2] * 4


def table(image: int, right: float, picture: bool = False):
    """Two objects with a proposal, and one without."""
    region = np.stack((BOX, np.add(BOX, [40 * right, 0, 40 * right, 0])))
    centres = (region[:, :2] + region[:, 2:]) / 2
    moved = {
        "cls, points": Moved(GRID, np.add(GRID, [0, 8])),
        "loc, proposal": Moved(centres[:1], centres[1:], region),
    }
    found = [Seen(BOX, moved), None, Seen(BOX, moved)]
    objects = Objects(np.tile(BOX, (3, 1)), np.arange(3), np.array([100.0, 2000.0, 9000.0]))
    held = shifts.of_image(found, objects)
    if picture:
        held += shifts._picture(found[2], np.zeros((3, 128, 128)), objects, 2)  # type: ignore[arg-type]
    return lines.table(image, shifts.NAMES, held)


def analysed(*rows: tuple[float, ...]):
    """A row's shifts to the right, image by image over and over."""
    tables = [
        files.joined([table(n, row[n % len(row)], n == 1) for n in range(1, 13)]) for row in rows
    ]
    return analysis(*tables, images=range(1, 13), settings=SETTINGS)


def test_statistics_of_known_shifts() -> None:
    one = analysed((0.1,), (0.1, 0.3))
    found = summary.numbers(one, shifts.quantities(one))
    by = {(n.row + n.baseline, n.part, n.group, n.name): n for n in found}
    loc = "loc, proposal"
    assert by["A", loc, "all", TOLD["right"]].value == pytest.approx(0.1)
    assert by["B", loc, "all", TOLD["right"]].value == pytest.approx(0.2)
    assert by["BA", loc, "all", TOLD["length"]].value == pytest.approx(0.1)
    assert by["A", loc, "all", DEVIATIONS["right"]].value == pytest.approx(0, abs=1e-6)
    assert by["B", loc, "all", DEVIATIONS["right"]].value == pytest.approx(0.1)
    assert by["A", "cls, points", "all", TOLD["down"]].value == pytest.approx(0.1)
    assert by["A", loc, "all", TOLD["right"]].n == 24
    assert by["A", loc, "medium objects", TOLD["right"]].n == 0
    assert ("A", loc, "all", TOLD["scatter"]) not in by
    assert ("A", "cls, points", "all", TOLD["gained"]) not in by


def test_mean_arrows_are_those_of_the_objects() -> None:
    one = analysed((0.1, 0.3))
    before, after, count = drawing_shifts.mean_points(one.rows[0], "loc, proposal")
    assert count == 24
    assert before[0].tolist() == pytest.approx([0, 0])
    assert after[0].tolist() == pytest.approx([0.2, 0], abs=1e-6)


def test_the_picture_has_the_object_the_proposals_and_the_points() -> None:
    figure = shifts.draw(analysed((0.1,), (0.3,)), [], ("T", "n"))
    above, below = figure.subfigs
    assert len(above.axes) == len(below.axes) == 4
    assert [len(ax.patches) for ax in above.axes] == [2, 6] * 2  # each outline is drawn twice
    points = [line for line in above.axes[0].lines if line.get_marker() == "o"]
    assert points[0].get_xydata() == pytest.approx(np.add(GRID, [0, 8]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("faster-rcnn-r50", "reads its proposals where they are"),
        ("fcos-r50", "its convolutions are regular"),
        ("tsd-r50", ""),
        ("ddod-r50", ""),
    ],
)
def test_a_detector_without_shifts_is_told_so(name: str, said: str) -> None:
    cell = resolve.cell(name, "smoke").cell
    assert cell is not None
    found = shifts.unfit(cell.detector)
    assert said in found
    assert bool(said) == bool(found)
