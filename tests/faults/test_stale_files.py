"""A cell is the content of its weights file and of its own modules, whatever path they lie at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import exit_code
from forked import FORKS

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.errors import RecipeError, WeightsError
from detbench.recipe import load, source
from detbench.recipe.base import Custom
from detbench.recipe.digest import digest, training
from detbench.recipe.experiment import Cell
from detbench.runner import plan
from detbench.runner.job import CostCell
from detbench.training import loop
from detbench.training.host import Host

sys.path.insert(0, str(Path(__file__).parents[1]))

TINY = (
    *("data.size=48", "data.train=4", "data.val=2", "training.input.short=48"),
    *("training.input.long=48", "training.iterations=2", "training.batch=2"),
)
HEAD = """
from torch import nn

from .parts import made


class Head(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.channels = inputs
        self.layer = made(inputs)

    def forward(self, maps):
        return self.layer(maps)
"""
PARTS = """
from torch import nn


def made(inputs):
    import lying_beside

    return lying_beside.wrap(nn.Conv2d(inputs, inputs, 1))
"""
BESIDE = "import numpy\n\nwrap = lambda layer: layer\n# a"
FILES = {
    "own/__init__.py": "",
    "own/deep/__init__.py": "",
    "own/deep/head.py": HEAD,
    "own/deep/parts.py": PARTS,
    "lying_beside.py": BESIDE,
}
TARGET = "own.deep.head:Head"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a package of one's own and a file of weights."""
    here = tmp_path / "here"
    write(here)
    (here / "start.pt").write_bytes(b"some weights")
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("own", "own.deep", "own.deep.head", "own.deep.parts", "lying_beside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    # Building puts the current folder there.
    monkeypatch.setattr(sys, "path", list(sys.path))
    return here


def write(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def change(path: Path) -> None:
    """Other content in as many bytes, with the time of before."""
    stat, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"")
    if not content:
        path.write_text("# changed")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def planned(*settings: str, root: Path | None = None) -> plan.PlannedRow:
    [row] = plan.make(
        load.table("tscode-table1"),
        load.profile("smoke"),
        rows="FCOS",
        overrides=(*TINY, *settings),
        source=plan.DataSource(root=root),
    ).rows
    return row


def both(*settings: str) -> tuple[str, str]:
    [task] = planned(*settings).train
    assert isinstance(task.cell, Cell)
    assert (digest(task.cell), training(task.cell)) == (task.digest, task.work)
    return task.digest, task.work


# --- weights ---------------------------------------------------------------------------------


def test_other_weights_are_another_cell(folder: Path) -> None:
    before = both("training.weights=start.pt")
    assert both("training.weights=start.pt") == before
    change(folder / "start.pt")
    after = both("training.weights=start.pt")
    assert after[0] != before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("how", ["copied", "linked", "absolute", "home", "a backbone's own"])
def test_the_same_weights_elsewhere_are_the_same_cell(
    folder: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, there = both("training.weights=start.pt"), tmp_path / "there.pth"
    settings = [f"training.weights={there}"]
    if how == "copied":
        shutil.copy(folder / "start.pt", there)
    elif how == "linked":
        there.symlink_to(folder / "start.pt")
    elif how == "absolute":
        settings = [f"training.weights={folder / 'start.pt'}"]
    elif how == "home":
        monkeypatch.setenv("HOME", str(folder))
        settings = ["training.weights=~/start.pt"]
    else:
        settings = ["training.weights=default", "backbone.weights=./start.pt"]
    assert both(*settings) == before


def test_the_path_that_was_asked_for_is_kept_and_said(folder: Path) -> None:
    row = planned("training.weights=./start.pt")
    [task] = row.train
    assert isinstance(task.cell, Cell)
    assert task.cell.training.weights == "./start.pt"
    assert "training.weights" in row.differs
    assert not any("content" in name for name in row.differs)
    stored = Cell.of_plain(task.cell.model_dump(mode="json"))
    (folder / "start.pt").unlink()
    assert digest(stored) == task.digest


def test_weights_that_are_missing_are_one_line_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("tscode-table1", "--rows", "FCOS", "--set", "training.weights=gone.pt")
    assert exit_code("run", *words, "--profile", "smoke") == 2
    [line] = [one for one in capsys.readouterr().err.splitlines() if "gone.pt" in one]
    assert "is no file here" in line


@pytest.mark.parametrize("weights", ["none", "default", "embedded"])
def test_only_a_file_has_content(weights: str) -> None:
    with pytest.raises(RecipeError, match="'weights_content' is of a file"):
        both(f"training.weights={weights}", "training.weights_content=abc")


def test_a_content_that_is_asked_for_must_be_there(folder: Path) -> None:
    [task] = planned("training.weights=start.pt").train
    assert isinstance(task.cell, Cell)
    asked = f"training.weights_content={task.cell.training.weights_content}"
    assert both("training.weights=start.pt", asked) == (task.digest, task.work)
    change(folder / "start.pt")
    with pytest.raises(WeightsError, match=r"start\.pt: not the weights that are asked"):
        both("training.weights=start.pt", asked)


def test_a_training_does_not_start_or_go_on_with_other_weights(
    folder: Path, tmp_path: Path
) -> None:
    from detbench.training import weights

    [task] = planned("training.weights=none").train
    assert isinstance(task.cell, Cell)
    weights.save(folder / "start.pt", build_detector(task.cell.detector, 12))
    settings = ("training.weights=start.pt", "training.checkpoint_every=0.0001")

    def cell() -> Cell:
        [one] = planned(*settings).train
        assert isinstance(one.cell, Cell)
        return one.cell

    class Cut(Exception):
        pass

    def cut(at: object) -> None:
        raise Cut

    def train(one: Cell, work: Path, report: object = lambda _: None) -> None:
        loop.train(one, work, Host(folder, torch.device("cpu"), report))  # type: ignore[arg-type]

    before, work = cell(), tmp_path / "work"
    with pytest.raises(Cut):
        train(before, work, cut)
    assert (work / loop.CHECKPOINT).exists()
    state = torch.load(folder / "start.pt", weights_only=True)
    torch.save({**state, "note": "other"}, folder / "start.pt")
    with pytest.raises(WeightsError, match="not the weights that are asked for") as caught:
        train(before, tmp_path / "anew")
    assert "\n" not in str(caught.value)
    assert "changed since this was planned: the same command plans again" in str(caught.value)
    with pytest.raises(WeightsError) as caught:
        train(cell(), work)
    assert "\n" not in str(caught.value)
    train(before, work)  # what is in the checkpoint started from the weights of before


# --- own modules ------------------------------------------------------------------------------


def own(more: str = "", target: str = TARGET) -> str:
    return f'heads={{ both = {{ kind = "custom", target = "{target}"{more} }} }}'


@pytest.mark.parametrize("name", FILES)
def test_other_source_is_another_cell(folder: Path, name: str) -> None:
    """Of the module, what it imports beside it and in functions, and the packages it is in."""
    row, before = planned(own()), both(own())
    assert both(own()) == before
    change(folder / name)
    after = both(own())
    assert after[0] != before[0]
    assert after[1] != before[1]
    cost = planned(own()).cost
    assert cost is not None
    assert row.cost is not None
    assert isinstance(cost.cell, CostCell)
    assert cost.digest != row.cost.digest
    (folder / name).write_text(FILES[name])
    assert both(own()) == before


def test_the_same_source_elsewhere_is_the_same_cell(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = both(own())
    folder.rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    assert both(own()) == before
    (tmp_path / "there" / "own" / "deep" / "parts.py").rename(tmp_path / "linked.py")
    (tmp_path / "there" / "own" / "deep" / "parts.py").symlink_to(tmp_path / "linked.py")
    assert both(own()) == before
    # And on Python's path, not in the current folder.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "there")
    assert both(own()) == before


def test_what_it_does_not_import_and_what_is_installed_do_not_count(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = folder / ".venv" / "lib" / "site-packages"
    (packages / "installed").mkdir(parents=True)
    (packages / "installed" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(packages)
    (folder / "own" / "deep" / "parts.py").write_text("import installed\n" + PARTS)
    before = both(own())
    (packages / "installed" / "__init__.py").write_text("changed = 1")
    (folder / "own" / "other.py").write_text("changed = 1")
    (folder / "unrelated.py").write_text("changed = 1")
    assert both(own()) == before
    assert source.of_target("installed:Head") is None


TABLE = f"""
id = "mine"
title = "Mine"
paper = "own"
columns = ["AP", "gflops"]

[[rows]]
label = "mine"
detector = "fcos-r50"
heads = {{ both = {{ kind = "custom", target = "{TARGET}" }} }}
fidelity = "text-only"
"""


def test_a_row_of_ones_own_does_not_depart_from_itself(folder: Path) -> None:
    (folder / "mine.toml").write_text(TABLE)
    [row] = plan.make(load.table("mine.toml"), load.profile("paper")).rows
    assert row.differs == ("training.weights",)


def test_a_stored_cell_is_known_by_its_source(folder: Path) -> None:
    from detbench.results.schema import Measurement
    from detbench.results.store import Store
    from detbench.runner import stored

    (folder / "mine.toml").write_text(TABLE)
    [row] = plan.make(load.table("mine.toml"), load.profile("paper")).rows
    [task] = row.train
    origin = {"recipe": task.cell.model_dump(mode="json")}
    measured = Measurement(task.digest, "train-eval", "AP", 0.5, "fraction", provenance=origin)
    Store(folder / "results").add([measured])
    [one] = stored.cells(folder / "results", ["mine.toml"])
    assert [name.row for name in one.names] == ["mine"]
    change(folder / "lying_beside.py")
    [one] = stored.cells(folder / "results", ["mine.toml"])
    assert one.names == ()


def test_a_version_stands_for_the_source(folder: Path) -> None:
    before = both(own(", version = 1"))
    change(folder / "own" / "deep" / "head.py")
    assert both(own(", version = 1")) == before
    assert both(own(", version = 2")) != before
    assert both(own()) != before
    # Also of what an older detbench stored.
    [task] = planned(own(", version = 1")).train
    assert "source" not in task.cell.model_dump(exclude_none=True)["detector"]["heads"]["both"]


@pytest.mark.usefixtures("modules_forked")
def test_nothing_of_it_is_run_and_torch_is_not_imported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = "raise SystemExit('it was run')\n"
    for name, text in FILES.items():
        (folder / name).write_text(ran + text)
    words = ("tscode-table1", "--rows", "FCOS", "--profile", "smoke", "--set", own())
    assert exit_code("report", *words) == 0
    # ``check`` builds with it, in a process of its own.
    assert exit_code("check", *words) == 2
    assert "ends Python (SystemExit: it was run)" in capsys.readouterr().out
    assert "own" not in sys.modules
    code = f"import sys; from detbench.recipe import source; print(source.of_target({TARGET!r}))"
    code += "; print('torch' in sys.modules, 'own' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "False False"
    assert done.stdout.splitlines()[0] == source.of_target(TARGET)


@pytest.mark.parametrize(
    "target",
    ["nowhere:Head", "own.nowhere:Head", "own.deep.head.more:Head", "json:gone", "torch.nn:Gone"],
)
def test_a_module_that_is_missing_or_not_ones_own_is_as_ever(target: str) -> None:
    [task] = planned(own(target=target)).train
    assert isinstance(task.cell, Cell)
    assert source.of_target(target) is None
    head = task.cell.model_dump(exclude_none=True)["detector"]["heads"]["both"]
    assert head == {"kind": "custom", "target": target, "arguments": {}}
    with pytest.raises(RecipeError, match=rf"^target '{target}': ") as caught:
        build_detector(task.cell.detector, 3)
    assert len(caught.value.mistakes) == 1


def test_a_mistake_in_the_source_is_said_when_it_is_imported(folder: Path) -> None:
    (folder / "own" / "deep" / "head.py").write_text("class Head(:\n")
    [task] = planned(own()).train
    assert isinstance(task.cell, Cell)
    with pytest.raises(RecipeError, match=r"^target .*head\.py:1: invalid syntax: mend it there"):
        build_detector(task.cell.detector, 3)


def number() -> object:
    """What one's own module gives in this process."""
    sys.dont_write_bytecode = False
    return make(Custom(kind="custom", target="twice:Number"))


def test_what_runs_is_the_source_and_no_bytecode_of_before(folder: Path) -> None:
    """Two sources of one size and one time, as archives and copies leave them."""
    for text in ("def Number(): return 1", "def Number(): return 2"):
        (folder / "twice.py").write_text(text)
        os.utime(folder / "twice.py", (1_700_000_000, 1_700_000_000))
        with FORKS.Pool(1) as processes:
            assert processes.apply(number) == int(text[-1])


def test_source_that_changed_after_planning_is_an_error(folder: Path) -> None:
    [task] = planned(own()).train
    assert isinstance(task.cell, Cell)
    build_detector(task.cell.detector, 3)
    change(folder / "lying_beside.py")
    with pytest.raises(RecipeError, match="not the source that is asked for") as caught:
        build_detector(task.cell.detector, 3)
    [line] = caught.value.mistakes
    assert "\n" not in line
    assert TARGET in line
    assert "changed since this was planned: the same command plans again" in line
    # Of a recipe that asks for a source, another is no change.
    [pinned] = planned(own()).train
    assert isinstance(pinned.cell, Cell)
    asked = pinned.cell.detector.heads.of("cls").source
    change(folder / "lying_beside.py")
    with pytest.raises(RecipeError, match="again without its 'source'"):
        planned(own(f', source = "{asked}"'))


@pytest.mark.usefixtures("modules_forked")
def test_a_run_is_done_for_its_source_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tscode-table1", "--rows", "FCOS", "--profile", "smoke"]
    words += [word for one in (*TINY, own()) for word in ("--set", one)]

    def status() -> list[str]:
        capsys.readouterr()
        assert exit_code("check", *words, "--format", "json") == 0
        return [one["status"] for one in json.loads(capsys.readouterr().out)["cells"]]

    assert exit_code("run", *words) == 0
    assert status() == ["done", "done"]
    change(folder / "lying_beside.py")
    assert status() == ["missing", "missing"]
    (folder / "lying_beside.py").write_text(BESIDE)
    assert status() == ["done", "done"]


@pytest.mark.parametrize(
    ("target", "texts", "said"),
    [
        ("nowhere:Head", {}, "No module named 'nowhere'; run in its folder, or put that on PYTHON"),
        ("own.nowhere:Head", {}, "No module named 'own.nowhere'; run in its folder, or put "),
        (TARGET, {"own/deep/head.py": "x = 1\nclass Head(:\n"}, "head.py:2: invalid syntax: mend"),
        (
            TARGET,
            {"own/deep/parts.py": "def made(:\n"},
            "parts.py:1: invalid syntax: mend it there",
        ),
        (TARGET, {"own/__init__.py": "'\n"}, "__init__.py:1: unterminated string literal"),
        ("own.deep.head:Haed", {}, "no 'Haed' in own.deep.head, did you mean 'Head'?"),
    ],
)
def test_check_says_what_of_a_module_cannot_be_imported(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    target: str,
    texts: dict[str, str],
    said: str,
) -> None:
    """And so is it said, but for what does not parse beside it, where it is imported."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    words = ("check", "tscode-table1", "--rows", "FCOS", "--profile", "smoke", "--format", "json")
    assert exit_code(*words, "--set", own(target=target)) == 2
    checks = json.loads(capsys.readouterr().out)["checks"]
    [module] = [one for one in checks if one["name"] == "module"]
    assert module["status"] == "mend"
    assert module["message"].startswith(f"target '{target}': ")
    assert said in module["message"]
    assert "\n" not in module["message"]
    assert "own" not in sys.modules
    [task] = planned(own(target=target)).train
    assert isinstance(task.cell, Cell)
    with pytest.raises(RecipeError) as caught:
        build_detector(task.cell.detector, 3)
    assert caught.value.mistakes == [module["message"]]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (TARGET, HEAD),
        ("numpy:gone", ""),  # what installed packages have is seen when they are imported
        ("torch.nothing:Gone", ""),
        ("own.deep.head:Made", "from .parts import *"),
        ("own.deep.head:Made", "for name in ('Ma',): globals()[name + 'de'] = 1"),
        ("own.deep.head:Made", "def __getattr__(name): return 1"),
        ("own.deep.head:Made", "from own.deep import parts as Made"),
    ],
)
def test_the_source_passes_what_may_be_there(folder: Path, target: str, text: str) -> None:
    """Whether it is, building tells."""
    (folder / "own" / "deep" / "head.py").write_text(text)
    assert source.problem(target) == ""
