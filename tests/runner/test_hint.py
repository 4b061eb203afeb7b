"""Commands that messages tell the user to give: given as printed, they do what is said."""

from __future__ import annotations

import shlex
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import pytest
from commands import exit_code

from detbench.recipe import resolve
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import hint, plan

TABLE = """
id = "mine"
title = "Mine"
paper = "own"
columns = ["AP"]
schedule = "coco-1x-fcos"
[[rows]]
label = "FCOS, 3*3 [own]"
detector = "fcos-r50"
[[rows]]
label = "FCOS"
detector = "fcos-r50"
heads = { both = { kind = "tower", depth = 1 } }
"""
SETTINGS = ("data.size=48", "data.train=4", "data.val=2", "training.iterations=1")


@pytest.fixture
def asked(tmp_path: Path) -> plan.Request:
    file = tmp_path / "my tables" / "mine.toml"
    file.parent.mkdir()
    file.write_text(TABLE)
    return plan.Request(str(file), "smoke", tmp_path, (0, 2), overrides=SETTINGS)


def planned_by(command: str, root: Path) -> plan.Plan:
    """What a printed command asks for, read as the command line reads it."""
    words = shlex.split(command)
    assert words[:2] == ["detbench", "run"]
    given = dict(zip(words[3::2], words[4::2], strict=False))
    sets = tuple(value for name, value in pairwise(words) if name == "--set")
    seeds = tuple(map(int, given.get("--seeds", "0").split(",")))
    rows = given.get("--rows")
    return plan.choose(plan.Request(words[2], given["--profile"], root, seeds, rows, sets))


def test_it_plans_the_same_cells(asked: plan.Request, tmp_path: Path) -> None:
    made = plan.choose(asked)
    assert planned_by(hint.run(made), tmp_path).tasks == made.tasks


def test_one_row_is_named_whatever_its_label_has(asked: plan.Request, tmp_path: Path) -> None:
    made = plan.choose(asked)
    for row in made.rows:
        (found,) = planned_by(hint.run(made, [row.row.label]), tmp_path).rows
        assert found.digests == row.digests
    labels = [row.label for row in resolve.select(made.table, None)]
    chosen = hint.pattern(labels[0])
    assert [one for one in labels if fnmatchcase(one, chosen)] == [labels[0]]


def test_what_a_catalogue_table_is_called(tmp_path: Path) -> None:
    made = plan.choose(plan.Request("tscode-table1", "smoke", tmp_path, rows="FCOS*"))
    assert hint.run(made) == "detbench run tscode-table1 --rows 'FCOS*' --profile smoke"
    assert hint.report(replace(made, asked=None)) == (
        "detbench report tscode-table1 --profile smoke"
    )


@pytest.mark.parametrize(
    ("status", "switch"), [("done", "--fresh"), ("failed", "--retry-failed"), ("", "makes it")]
)
def test_again_is_what_makes_it(
    asked: plan.Request, tmp_path: Path, status: str, switch: str
) -> None:
    made, store = plan.choose(asked), Store(tmp_path / "results")
    row = made.rows[1]
    for task in row.train:
        if status == "done":
            store.add([Measurement(task.digest, "train-eval", "AP", 0.3, "fraction", seed=0)])
        elif status:
            none = Measurement(task.digest, "train-eval", "cell", None, "fraction", seed=0)
            store.add([replace(none, status="failed", reason="it broke")])
    assert switch in hint.again(made, row.row.label, row.train, store)


@pytest.mark.usefixtures("modules_forked")
def test_followed_after_weights_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ``predict`` says to do trains again, and ``predict`` then draws."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(TABLE)
    settings = [word for one in SETTINGS for word in ("--set", one)]
    common = ("--profile", "smoke", *settings)
    assert exit_code("run", "mine.toml", "--rows", "FCOS", *common) == 0
    (weights,) = (tmp_path / "results" / "work").rglob("weights.pt")
    weights.unlink()
    capsys.readouterr()
    look = ("predict", "0", "--row", "mine.toml:FCOS", *common, "--out", "pictures")
    assert exit_code(*look) == 2
    said = capsys.readouterr().err
    command = said.split("alone: ")[1].split(" trains it again")[0]
    assert exit_code(*shlex.split(command)[1:]) == 0
    assert weights.is_file()
    assert exit_code(*look) == 0
