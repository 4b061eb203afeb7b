from __future__ import annotations

from pathlib import Path

import pytest

from detbench.errors import RecipeError
from detbench.recipe import load, resolve
from detbench.recipe.detector import Roi

HEAD = 'id = "own"\ntitle = "Own"\npaper = "own"\ncolumns = ["AP"]\n'
SWEEP = (
    HEAD
    + """
[sweep]
detector = "cascade-rcnn-r50"
label = "{first} at {IoU}"
fixed = { inference = { nms = 0.4 } }
without = [{ first = "plain", IoU = "0.7" }]
numbers = [{ at = ["heavy", "0.7"], published = { AP = 1.5 } }]

[[sweep.axes]]
title = "first"
options = [
  { label = "plain", set = {} },
  { label = "heavy", set = { "rounds[0].weight" = 2.0, "supervision.unfocused" = UNFOCUSED } },
]

[[sweep.axes]]
title = "IoU"
options = [
  { label = "0.6", set = { "rounds[1].positive" = 0.6 } },
  { label = "0.7", set = { "rounds[1].positive" = 0.7 } },
]
""".replace("UNFOCUSED", "{ cls = 0.5, loc = 0.0 }")
)
GRID = (
    HEAD
    + """
[grid]
stage = "heads"
detector = "faster-rcnn-r50"
[[grid.cls]]
label = "fc"
option = { kind = "fc" }
[[grid.loc]]
label = "fc"
option = { kind = "fc" }
[[grid.loc]]
label = "conv"
option = { kind = "conv" }
"""
)


def written(text: str, tmp_path: Path) -> str:
    path = tmp_path / "own.toml"
    path.write_text(text)
    return str(path)


def test_every_combination_is_a_row(tmp_path: Path) -> None:
    table = load.table(written(SWEEP, tmp_path))
    assert [row.label for row in table.rows] == ["plain at 0.6", "heavy at 0.6", "heavy at 0.7"]
    assert [row.published for row in table.rows] == [{}, {}, {"AP": 1.5}]
    assert table.labels == ("first", "IoU")
    plain, heavy, last = (resolve.paper_detector(row) for row in table.rows)
    assert isinstance(plain, Roi)
    assert isinstance(heavy, Roi)
    assert isinstance(last, Roi)
    assert [one.weight for one in plain.rounds] == [0.5, 0.25]
    assert [one.weight for one in heavy.rounds] == [2.0, 0.25]
    assert [one.positive for one in last.rounds] == [0.6, 0.7]
    # What the options do not set stays the detector's own.
    assert heavy.supervision.loc == plain.supervision.loc
    assert plain.supervision.unfocused is None
    assert heavy.supervision.unfocused is not None
    assert all(one.inference.nms == 0.4 for one in (plain, heavy, last))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight", "wight", "axes[0].options[1].set: rounds[0].wight: unknown key 'wight', did"),
        ("= 2.0", "= -2.0", "axes[0].options[1].set: rounds[0].weight: given -2.0, must be at"),
        ("rounds[0]", "rounds[5]", "axes[0].options[1].set: no such setting in the detector: "),
        ("rounds[0]", "rund[0]", "axes[0].options[1].set: unknown key 'rund', did you mean 'r"),
        ("{first} at", "{frist} at", "sweep.label: only {first}, {IoU} stand in braces"),
        ('first = "plain"', 'frist = "plain"', "without[0]: unknown axis 'frist', did you mean"),
        ('at = ["heavy"', 'at = ["heavi"', "numbers[0].at: no such combination: heavi, 0.7"),
        ("{ AP = 1.5 }", "{ APP = 1.5 }", "numbers[0].published: unknown metric 'APP', did"),
        ("fixed = { inf", "fixed = { imf", "sweep.fixed: unknown key 'imference', did you mean"),
        ('"cascade-rcnn-r50"', '"cascade-r50"', "detector: unknown detector 'cascade-r50', did"),
        ('axes]]\ntitle = "IoU', 'axes]]\ntitel = "IoU', "sweep: axes[1].titel: unknown key"),
    ],
)
def test_a_mistake_in_a_sweep_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load.table(written(SWEEP.replace(old, new, 1), tmp_path))
    assert any(said in line for line in caught.value.mistakes), caught.value.mistakes


def test_a_grid_over_a_stage_of_an_roi_detector(tmp_path: Path) -> None:
    rows = load.table(written(GRID, tmp_path)).rows
    assert [row.label for row in rows] == ["cls fc, loc fc", "cls fc, loc conv"]
    last = resolve.paper_detector(rows[1])
    assert isinstance(last, Roi)
    assert last.heads.of("loc").kind == "conv"
    with pytest.raises(RecipeError, match=r"unknown kind 'tower'.* \(choices: fc, conv, res5"):
        load.table(written(GRID.replace('"conv" }', '"tower" }'), tmp_path))
