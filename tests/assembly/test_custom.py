"""A user's own modules, in every place of a recipe: trained, evaluated, counted; and mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from detbench.assembly import build_detector
from detbench.errors import RecipeError
from detbench.evaluation.run import score
from detbench.measure import flops
from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.training import loop

HERE = Path(__file__).parent
SMALL = (
    "data.train=8",
    "data.val=3",
    "data.size=64",
    "training.iterations=5",
    "training.batch=2",
    "training.input.short=64",
    "training.input.long=64",
    "training.optimizer.lr=1e-3",
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(HERE)])


def own(name: str, arguments: str = "{}", more: str = "") -> str:
    return f'{{ kind = "custom", target = "own_parts:{name}", arguments = {arguments}{more} }}'


def cell(*changes: str) -> Cell:
    found = resolve.cell("fcos-r50", "smoke", 0, (*SMALL, *changes)).cell
    assert found is not None
    return found


PLACES = {
    "backbone": f"backbone={own('Backbone', '{ width = 12 }')}",
    "neck": f"neck={own('Neck', more=', channels = 16, levels = 5')}",
    "features": f"features={{ cls = {own('Features')}, loc = {{ kind = 'level' }} }}",
    "head": f"heads={{ both = {own('Head', '{ width = 12 }')} }}",
    "assignment": f"assignment={{ both = {own('Nearest', '{ radius = 1.5 }')} }}",
    "cls loss": f"supervision.cls={own('CrossEntropy')}",
    "loc loss": f"supervision.loc={own('Distance')}",
}


@pytest.mark.parametrize("place", PLACES)
def test_own_modules_train_evaluate_and_are_counted(tmp_path: Path, place: str) -> None:
    made = cell(PLACES[place])
    told = []
    detector = loop.train(made, tmp_path, tmp_path, CPU, told.append)
    assert told[-1].iteration == 5
    assert score(detector, made, tmp_path, CPU, lambda _: None).images == 3
    with torch.device("meta"):
        counted = flops.count(build_detector(made.detector, 80), (64, 64), "mmdet")
    assert counted.gflops > 0


def test_all_of_them_at_once() -> None:
    detector = build_detector(cell(*PLACES.values()).detector, 3)
    names = {type(module).__name__ for module in detector.modules()}
    assert {"Backbone", "Neck", "Features", "Head"} <= names
    assert type(detector.assigners.cls).__name__ == "Nearest"


def test_a_version_of_the_code_makes_another_cell() -> None:
    first = cell(PLACES["head"])
    second = cell(f"heads={{ both = {own('Head', '{ width = 12 }', ', version = 2')} }}")
    assert digest(first) != digest(second)
    assert build_detector(second.detector, 3) is not None


@pytest.mark.parametrize(
    ("target", "arguments", "said"),
    [
        ("nowhere.to:Be", "{}", "No module named 'nowhere'; run in its folder, or put that on"),
        ("own_parts:Haed", "{}", "no 'Haed' in own_parts, did you mean 'Head'?"),
        ("broken_parts:Head", "{}", "No module named 'not_installed'"),
        ("own_parts:Head", "{ depth = 2 }", "unexpected keyword argument 'depth'; it is called"),
        ("own_parts:Head", "{ inputs = 2 }", "arguments: inputs is given by the stage; drop it"),
        ("own_parts:Features", "{}", "argument: 'channels'; it is called with inputs"),
        ("own_parts:WithoutChannels", "{}", "no attribute 'channels', which this stage reads"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, arguments: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_parts.py").write_text("import not_installed\n")
    changed = (
        f'heads={{ both = {{ kind = "custom", target = "{target}", arguments = {arguments} }} }}'
    )
    with pytest.raises(RecipeError) as caught:
        build_detector(cell(changed).detector, 3)
    [line] = caught.value.mistakes
    assert line.startswith(f"target '{target}': ")
    assert said in line
    assert target == "nowhere.to:Be" or "PYTHONPATH" not in line


def test_a_bug_of_ones_own_keeps_its_traceback() -> None:
    with pytest.raises(TypeError, match="has no len"):
        build_detector(cell(f"heads={{ both = {own('Faulty')} }}").detector, 3)


def test_a_module_of_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lying_here.py").write_text("from own_parts import Head\n")
    changed = 'heads={ both = { kind = "custom", target = "lying_here:Head" } }'
    assert build_detector(cell(changed).detector, 3) is not None
