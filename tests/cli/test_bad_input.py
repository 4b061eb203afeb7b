"""What is wrong with data, weights and folders, as the command line says it: one line, exit 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_coco import make_coco

from detbench.assembly import build_detector
from detbench.cli.main import main
from detbench.recipe import resolve
from detbench.training import weights

TINY = (
    "training.iterations=2",
    "training.batch=2",
    "training.input.short=64",
    "training.input.long=64",
    "data.size=64",
    "data.val=2",
)
Call = Callable[..., list[str]]
Content = dict[str, Any]


def settings(data: str) -> list[str]:
    chosen = [one for one in TINY if data == "shapes" or not one.startswith("data.")]
    changes = [part for one in chosen for part in ("--set", one)]
    return ["--profile", "smoke", "--dataset", data, *changes]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run a command line that must fail with exit code 2 and print no table; its messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DETBENCH_RESULTS", raising=False)

    def run(*words: str) -> list[str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, ""), err
        return [line for line in err.splitlines() if line.startswith("detbench: ")]

    return run


def change(split: str, edit: Callable[[Content], object]) -> Callable[[Path], object]:
    def apply(root: Path) -> None:
        path = root / "coco" / "annotations" / f"instances_{split}.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))

    return apply


def box(edges: list[float]) -> Callable[[Content], object]:
    return lambda content: content["annotations"][0].update(bbox=edges)


def cut(folder: str, pattern: str) -> Callable[[Path], object]:
    def apply(root: Path) -> None:
        for path in (root / "coco" / folder).glob(pattern):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return apply


def drop(folder: str) -> Callable[[Path], object]:
    return lambda root: min((root / "coco" / folder).iterdir()).unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut("annotations", "*train*"), "instances_train2017.json is truncated or no JSON"),
        (cut("annotations", "*val*"), "instances_val2017.json is truncated or no JSON"),
        (change("train2017", box([0, 0, 5000, 9])), "1 of 11 boxes reach more than 2 pixels"),
        (change("val2017", box([0, 0, 5000, 9])), "reach more than 2 pixels outside their image"),
        (change("train2017", box([9, 9, 0, 0])), "boxes have no area"),
        (
            change("val2017", lambda c: c["annotations"][0].update(category_id=91)),
            "has category_id 91, which is not among the 80 categories (ids 1 to 90)",
        ),
        (
            change("val2017", lambda c: c["categories"][4].update(name="thing of another kind")),
            "the train split has 80 classes and the val split 80, and they differ (thing 5, thing",
        ),
        (drop("train2017"), "1 of the 4 images that"),
        (drop("val2017"), "1 of the 4 images that"),
        (cut("train2017", "*.jpg"), "is damaged (image file is truncated"),
    ],
)
def test_damaged_data(
    call: Call, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(make_coco(tmp_path / "data", images=4))
    [line] = call("train", "fcos-r50", *settings("coco"), "--data-root", "data")
    assert said in line
    # Nothing was trained for nothing: a fault of the val split shows before the first iteration.
    assert not list(tmp_path.rglob("weights.pt"))
    assert not [path for path in tmp_path.rglob("curve.jsonl") if path.stat().st_size]


@pytest.mark.parametrize("command", ["train", "eval"])
def test_weights_of_another_detector(call: Call, tmp_path: Path, command: str) -> None:
    cell = resolve.cell("fcos-r50", "smoke", 0, TINY).cell
    assert cell is not None
    weights.save(tmp_path / "fcos.pt", build_detector(cell.detector, 3))
    [line] = call(command, "atss-r50", *settings("shapes"), "--weights", "fcos.pt")
    assert "fcos.pt: made for another detector or number of classes" in line
    state = {"bbox_head.gfl_cls.weight": torch.zeros(1)}
    torch.save({"meta": {}, "state_dict": state}, tmp_path / "gfl.pth")
    [line] = call(command, "atss-r50", *settings("shapes"), "--weights", "gfl.pth")
    assert "gfl.pth: made for another detector or number of classes" in line


@pytest.mark.parametrize("words", [["list"], ["report", "tscode-table1"], ["run", "tscode-table1"]])
def test_results_folder_that_is_a_file(call: Call, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "file").write_text("")
    if words != ["list"]:
        words = [*words, "--profile", "smoke"]
    [line] = call(*words, "--results", "file")
    assert line.startswith("detbench: file is a file, not a folder of results: choose a folder")


def test_a_recipe_that_is_a_folder(call: Call, tmp_path: Path) -> None:
    (tmp_path / "own.toml").mkdir()
    assert call("run", "own.toml") == ["detbench: own.toml: this is a folder: name a file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", [["show", "tscode-table1"], ["list", "--format", "json"]])
def test_output_to_a_full_disk(words: list[str]) -> None:
    code = "from detbench.cli.main import main; main()"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "detbench: the output cannot be written (No space left on device): "
        "send it to another place\n"
    )
