from __future__ import annotations

from pathlib import Path

import pytest

from detbench.errors import RecipeError
from detbench.recipe import load, resolve

GRID = """
id = "grid"
title = "A grid"
paper = "own"
columns = ["AP"]

[grid]
stage = "assignment"
detector = "atss-r50"
axes = ["for cls", "for loc"]
shared = true
published = { AP = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] }

[[grid.cls]]
label = "ATSS"
option = { kind = "atss" }
[[grid.cls]]
label = "IoU 0.5"
option = { kind = "iou", positive = 0.5 }

[[grid.loc]]
label = "ATSS"
option = { kind = "atss" }
[[grid.loc]]
label = "IoU 0.6"
option = { kind = "iou", positive = 0.6 }
[[grid.loc]]
label = "FCOS"
option = { kind = "fcos" }
"""


def table_of(text: str, tmp_path: Path) -> str:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return str(path)


def test_every_pair_is_a_row(tmp_path: Path) -> None:
    table = load.table(table_of(GRID, tmp_path))
    assert [row.label for row in table.rows] == [
        "cls ATSS, loc ATSS",
        "cls ATSS, loc IoU 0.6",
        "cls ATSS, loc FCOS",
        "cls IoU 0.5, loc ATSS",
        "cls IoU 0.5, loc IoU 0.6",
        "cls IoU 0.5, loc FCOS",
    ]
    assert [row.published["AP"] for row in table.rows] == [1, 2, 3, 4, 5, 6]
    assert table.labels == ("for cls", "for loc")
    rows = resolve.cells(table, "smoke")
    assert rows[4].cell is not None
    assert rows[4].cell.detector.assignment.of("loc").positive == 0.6  # type: ignore[union-attr]


def test_equal_options_are_one_object_only_where_asked(tmp_path: Path) -> None:
    shared = load.table(table_of(GRID, tmp_path)).rows
    assert [set(row.assignment or {}) for row in shared[:2]] == [{"both"}, {"cls", "loc"}]
    apart = load.table(table_of(GRID.replace("shared = true", ""), tmp_path)).rows
    assert set(apart[0].assignment or {}) == {"cls", "loc"}


def test_rows_may_stand_beside_a_grid(tmp_path: Path) -> None:
    text = GRID + '[[rows]]\nlabel = "base"\ndetector = "atss-r50"\n'
    assert len(load.table(table_of(text, tmp_path)).rows) == 7


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "fcos"', 'kind = "fcs"', "grid.loc[2].option: unknown kind 'fcs', did you mean"),
        ("positive = 0.6", "postive = 0.6", "grid.loc[1].option: postive: unknown key 'postive'"),
        ('"assignment"', '"assigning"', 'grid: stage: given the string "assigning", did you mean'),
        ("[1.0, 2.0, 3.0], ", "", "grid.published.AP: needs 2 lists (cls) of 3 numbers (loc)"),
        ("shared = true", 'label = "{a}"', "grid.label: only {cls} and {loc} stand in braces"),
        (
            "shared = true",
            "fixed = { assignment = {} }",
            "grid.fixed.assignment: this is",
        ),
        (
            "shared = true",
            "fixed = { nek = {} }",
            "grid.fixed: unknown key 'nek', did",
        ),
    ],
)
def test_a_mistake_in_a_grid_is_told_once(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load.table(table_of(GRID.replace(old, new), tmp_path))
    (found,) = caught.value.mistakes
    assert said in found
