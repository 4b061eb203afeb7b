from __future__ import annotations

from pathlib import Path

import pytest

from detbench.recipe import load
from detbench.recipe.stages import Tower

OWN = """
extends = "gfl-r50"
id = "mine"
title = "Mine"
source = "me"
fidelity = "text-only"

[detector.heads]
both = { kind = "tower", depth = 1 }
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    return path


def test_extends_replaces_whole_tables(own: Path) -> None:
    mine, parent = load.detector(str(own)), load.detector("gfl-r50")
    assert mine.detector.heads.shared
    assert mine.detector.heads.both == Tower(kind="tower", depth=1)
    assert mine.detector.neck == parent.detector.neck
    assert mine.detector.supervision == parent.detector.supervision


def test_what_is_published_about_the_parent_is_not_about_the_child(own: Path) -> None:
    assert load.detector(str(own)).published == {}
    assert load.detector(str(own)).notes == ()
    assert load.detector(str(own)).schedule == "coco-1x"


def test_a_parent_may_have_a_parent(own: Path) -> None:
    child = own.parent / "child.toml"
    text = OWN.replace("gfl-r50", "mine.toml").replace("heads", "inference")
    child.write_text(text.replace('both = { kind = "tower", depth = 1 }', "nms = 0.4"))
    detector = load.detector(str(child)).detector
    assert detector.inference.nms == 0.4
    # The table is replaced, not merged: the rest of it is the schema's default.
    assert detector.inference.max_detections == 100
    assert detector.heads.shared


def test_paths_in_a_table_are_from_its_folder(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table.toml"
    table.write_text(
        'id = "t"\ntitle = "T"\npaper = "own"\ncolumns = ["AP"]\n'
        '[[rows]]\nlabel = "A"\ndetector = "mine.toml"\n'
    )
    monkeypatch.chdir("/")
    (row,) = load.table(str(table)).rows
    assert row.detector == str(own.resolve())


def test_a_table_may_extend_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "tscode-table1"\nid = "mine"\nbreaks = []\n'
        '[[rows]]\nlabel = "A"\ndetector = "fcos-r50"\n'
    )
    table = load.table(str(path))
    assert [row.label for row in table.rows] == ["A"]
    assert table.columns == load.table("tscode-table1").columns


def test_tables_come_in_the_papers_order() -> None:
    names = ["ddod-table2", "tscode-table10", "tscode-table9", "mine-table1", "tsd-table1"]
    assert sorted(names, key=load._natural) == [
        "tscode-table9",
        "tscode-table10",
        "tsd-table1",
        "ddod-table2",
        "mine-table1",
    ]
