"""Embedded weights: made, written, resumed, and what starts from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Call, exit_code

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.backbones.pretrained import cover
from detbench.detectors.fitting import COUNTERS
from detbench.errors import CellFailed, WeightsError
from detbench.progress import Progress, silent
from detbench.recipe import embedded, load, pretraining, resolve
from detbench.recipe.base import Custom
from detbench.recipe.experiment import Cell
from detbench.recipe.pretraining import Wanted
from detbench.recipe.table import Profile
from detbench.runner import pretrain
from detbench.training import checkpoint, files, inventory, lookup, loop, weights
from detbench.training.host import Host

TINY = """
id = "tiny"
title = "Tiny"

[light]
backbone = { blocks = [1, 1, 1, 1], width = 0.125 }
channels = 16
roi = 32
pool = 4
proposals = 32
candidates = 64

[data]
kind = "shapes"
size = 64
train = 8
val = 4
variant = "easy"

[training]
iterations = 1
batch = 2
weights = "embedded"
input = { short = [64], long = 64 }
optimizer = { kind = "adamw", lr = 1e-3 }
schedule = { kind = "one-cycle" }

[evaluation]
batch = 4

[pretraining]
detector = "fcos-r50"
data = { kind = "shapes", size = 64, train = 8, val = 4, variant = "easy", scenes = "by-seed" }

[pretraining.training]
iterations = 3
batch = 2
weights = "none"
input = { short = [64], long = 64 }
optimizer = { kind = "adamw", lr = 1e-3 }
schedule = { kind = "one-cycle" }
"""
CPU = torch.device("cpu")
TABLES = (
    "tscode-table1",
    "tsd-table1",
    "tsd-table4",
    "double-head-table1",
    "double-head-table4",
    "decoupled-rcnn-table8",
)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """The profile in ``tiny.toml`` of the current folder; ``weights`` in it is the files' own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedded, "folder", lambda: tmp_path / "weights")
    (tmp_path / "tiny.toml").write_text(TINY)
    return load.profile(str(tmp_path / "tiny.toml"))


def first(profile: Profile) -> Wanted:
    return pretraining.wanted(profile, ["double-head-table1"])[0]


def made(one: Wanted, profile: Profile, output: Path, report: Any = silent) -> bytes:
    return pretrain.make(one, profile, output, Host(Path("data"), CPU, report)).read_bytes()


def random_files(profile: Profile) -> None:
    """Weights for the backbones of ``TABLES``, of random numbers."""
    embedded.folder().mkdir()
    for number, one in enumerate(pretraining.wanted(profile, TABLES)):
        torch.manual_seed(number)
        state = make(one.cell.detector.backbone).state_dict()
        state = {
            name: torch.rand(x.shape) if x.is_floating_point() else x for name, x in state.items()
        }
        path = embedded.folder() / f"{one.id}{embedded.SUFFIX}"
        pretrain.write(path, state, one.provenance(profile, None))


def kinds(cell: Cell) -> set[str]:
    """What of a detector takes its backbone's weights in a way of its own."""
    detector = cell.detector
    assert not isinstance(detector.backbone, Custom)
    found = {detector.skeleton, f"neck {detector.neck.kind}"}
    found |= {f"features {detector.features.of(task).kind}" for task in ("cls", "loc")}
    if getattr(detector.backbone, "deformable", "none") != "none":
        found |= {"deformable", f"deformable {detector.backbone.deformable}"}
    if getattr(detector.backbone, "groups", 1) > 1:
        found.add("groups")
    return found


def test_every_kind_of_detector_starts_from_them(tiny: Profile) -> None:
    random_files(tiny)
    rows = [row for table in TABLES for row in resolve.cells(table, tiny) if row.cell]
    for version in ("v1", "v2"):
        deformed = [f"backbone.deformable={version}"]
        rows += [resolve.cell(name, tiny, 0, deformed) for name in ("atss-r50", "faster-rcnn-r50")]
        rows += resolve.cells("double-head-table4", tiny, overrides=deformed)
    seen: set[frozenset[str]] = set()
    for row in rows:
        kind = frozenset(kinds(row.cell)) if row.cell is not None else frozenset()
        if row.cell is None or kind in seen:
            continue
        seen.add(kind)
        name = row.cell.training.weights
        assert name.startswith("embedded:")
        given = weights.find(name).load()
        detector = build_detector(row.cell.detector, 3)
        weights.initialise(detector, name)
        own, names = detector.state_dict(), cover(detector).names
        assert set(names.values()) == set(given)
        for mine, there in names.items():
            assert torch.equal(own[mine], given[there]), (row.row.label, mine)
        offsets = [key for key in own if "conv_offset" in key]
        assert bool(offsets) == ("deformable" in kind)
        assert not any(own[key].any() for key in offsets)
    assert set().union(*seen) >= {
        *("dense", "roi", "neck fpn", "neck c4", "features own", "features level"),
        *("deformable v1", "deformable v2", "groups"),
    }


def test_large_files_keep_convolutions_in_half_precision(
    tiny: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = first(tiny)
    state = make(one.cell.detector.backbone).state_dict()
    path = tmp_path / "weights" / f"{one.id}{embedded.SUFFIX}"
    path.parent.mkdir()
    pretrain.write(path, state, {})
    whole = path.stat().st_size
    assert all(torch.equal(x, state[key]) for key, x in files.read(path).state.items())
    monkeypatch.setattr(pretrain, "LARGEST_BYTES", 0)
    pretrain.write(path, state, {})
    assert path.stat().st_size < 0.6 * whole
    loaded = weights.find(embedded.name(path)).load()
    for key, x in loaded.items():
        wanted = state[key].half().float() if x.ndim > 1 else state[key]
        assert x.dtype == wanted.dtype
        assert torch.equal(x, wanted)


def test_made_twice_they_are_the_same_bytes(tiny: Profile, tmp_path: Path) -> None:
    one = first(tiny)
    written = made(one, tiny, tmp_path / "a")
    assert made(one, tiny, tmp_path / "b") == written
    path = tmp_path / "a" / f"{one.id}.safetensors"
    assert list((tmp_path / "a").iterdir()) == [path]  # the work folder is gone
    told = embedded.provenance(path)
    assert told["digest"] == one.digest
    assert told["seed"] == 1000
    assert told["data"]["scenes"] == "by-seed"
    assert told["training"]["iterations"] == 3
    assert told["detector"]["backbone"]["blocks"] == [1, 1, 1, 1]
    assert 0 <= told["ap"] <= 1
    # What is written is what was trained.
    trained = loop.train(one.cell, tmp_path / "work", Host(tmp_path, torch.device("cpu"), silent))
    state = files.read(path).state
    assert all(torch.equal(x, state[key]) for key, x in trained.backbone.state_dict().items())


@pytest.mark.parametrize("phase", ["train", "eval"])
def test_one_that_was_stopped_goes_on(tiny: Profile, tmp_path: Path, phase: str) -> None:
    one, began = first(tiny), []

    def stop(at: Progress) -> None:
        if at.phase == phase:
            raise CellFailed("stopped")

    with pytest.raises(CellFailed, match="stopped"):
        made(one, tiny, tmp_path / "a", stop)
    (work,) = (tmp_path / "a").iterdir()
    done = checkpoint.load(work / "checkpoint.pt")["iteration"]
    assert done == (1 if phase == "train" else 3)

    def look(at: Progress) -> None:
        began.append(at.start)

    assert made(one, tiny, tmp_path / "a", look) == made(one, tiny, tmp_path / "b")
    assert began[0] == (done if phase == "train" else 0)
    assert not work.exists()


def test_a_training_starts_from_them(tiny: Profile, tmp_path: Path) -> None:
    """From the command's file to a cell's first iteration."""
    embedded.folder().mkdir()
    made(first(tiny), tiny, embedded.folder())
    cell = resolve.cell("double-head-baseline-r50", tiny).cell
    assert cell is not None
    assert cell.training.weights.startswith("embedded:")
    lookup.check([cell])
    optimizer = cell.training.optimizer.model_copy(update={"lr": 1e-30, "weight_decay": 0.0})
    training = cell.training.model_copy(update={"optimizer": optimizer})
    still = cell.model_copy(update={"training": training})
    trained = loop.train(still, tmp_path / "work", Host(tmp_path, torch.device("cpu"), silent))
    given = weights.find(cell.training.weights).load()
    own = trained.state_dict()
    for mine, there in cover(trained).names.items():
        if not mine.endswith((*COUNTERS, "running_mean", "running_var")):
            assert torch.allclose(own[mine], given[there]), mine


def test_a_file_that_is_gone_or_another_now_is_one_line(tiny: Profile, tmp_path: Path) -> None:
    random_files(tiny)
    cell = resolve.cell("double-head-baseline-r50", tiny).cell
    assert cell is not None
    path = embedded.path(cell.training.weights)
    lookup.check([cell])
    pretrain.write(path, {"x": torch.zeros(1)}, {})
    for look in (
        lambda: lookup.check([cell]),
        lambda: loop.train(cell, tmp_path / "work", Host(tmp_path, torch.device("cpu"), silent)),
    ):
        with pytest.raises(WeightsError, match="has another content, embedded:resnet14-caffe"):
            look()
    path.unlink()
    with pytest.raises(WeightsError, match="no such file"):
        lookup.check([cell])


def test_of_another_network_is_one_line(tiny: Profile) -> None:
    """A file by its path is not asked which backbone it is for, but must fit."""
    random_files(tiny)
    one = pretraining.wanted(tiny, ["decoupled-rcnn-table8"])[1]
    cell = resolve.cell("double-head-baseline-r50", tiny).cell
    assert cell is not None
    detector = build_detector(cell.detector, 3)
    with pytest.raises(WeightsError, match="made for another detector"):
        weights.initialise(detector, str(embedded.folder() / f"{one.id}.safetensors"))


# The command.


@pytest.fixture
def call(
    tiny: Profile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Run a command line in an empty folder, with torch hub's elsewhere."""
    monkeypatch.setattr(lookup, "look_up", lambda names: {})
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setenv("TORCH_HOME", "torch")

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code(*words)
        return code, *capsys.readouterr()

    return run


PRETRAIN = (
    "weights",
    "pretrain",
    "double-head-table1",
    "--profile",
    "tiny.toml",
    "--device",
    "cpu",
)


def test_the_command_makes_what_is_missing(
    call: Call, tiny: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = ("tsd-table3", "tscode-table1", "--format", "json")
    code, out, err = call(*PRETRAIN, *tables)
    assert code == 0, err
    found = json.loads(out)
    assert [one["state"] for one in found] == ["made"] * 3
    users = [list(one["users"]) for one in found]
    shared = ["tsd-table3", "tscode-table1"]
    assert users == [["double-head-table1"], shared, ["tscode-table1"]]
    path = Path(found[0]["path"])
    assert found[0]["bytes"] == path.stat().st_size
    assert found[0]["name"] == embedded.name(path)
    assert found[0]["ap"] == embedded.provenance(path)["ap"]
    monkeypatch.setattr(pretrain, "make", lambda *_: pytest.fail("is there"))
    code, out, _ = call(*PRETRAIN)
    assert code == 0
    assert "10 rows of double-head-table1" in out
    assert "was here" in out
    # A profile that says otherwise leaves the file alone, and says so.
    Path("tiny.toml").write_text(TINY.replace("iterations = 3", "iterations = 4"))
    load._profile.cache_clear()
    code, out, err = call(*PRETRAIN)
    assert code == 0
    assert "made otherwise" in out
    assert f"warning: {path}: not made as profile tiny says: delete it to have it made" in err


def test_the_command_makes_one_alone_elsewhere(call: Call, tiny: Profile) -> None:
    own = pretraining.wanted(tiny, ["tscode-table1"])[1].id
    words = (*PRETRAIN, "tscode-table1", "--only", own, "--output", "elsewhere")
    code, _, err = call(*words)
    assert code == 0, err
    assert [path.name for path in Path("elsewhere").iterdir()] == [f"{own}.safetensors"]
    assert not embedded.folder().exists()


def test_other_commands_know_them(call: Call, tiny: Profile) -> None:
    words = ("double-head-table1", "--profile", "tiny.toml", "--rows", "baseline*")
    first_row = load.table("double-head-table1").rows[0].label
    words = (*words[:-1], first_row)
    _, out, err = call("check", *words)
    assert (
        "training starts from scratch, as there are no embedded weights of the backb" in out + err
    )
    random_files(tiny)
    name = embedded.name(embedded.folder() / f"{first(tiny).id}.safetensors")
    _, out, err = call("check", *words)
    assert f"ok: weights: {name} is there" in out + err
    _, out, _ = call("weights", "list", "--format", "json")
    listed = {one["name"]: one for one in json.loads(out)}[name]
    assert listed["origin"] == "detbench"
    assert listed["here"]
    assert listed["detectors"] == ["backbones of tiny"]
    code, _, err = call("weights", "fetch", name)
    assert (code, err.startswith(f"{name}: was here: ")) == (0, True)


def test_doctor_counts_them_and_finds_damage(
    tiny: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detbench.runner import health

    monkeypatch.setattr(lookup, "look_up", lambda names: {})
    random_files(tiny)
    count = len(list(embedded.folder().iterdir()))
    look = health._weights()
    assert look.status == "ok"
    assert f", and {count} embedded ones" in look.message
    (embedded.folder() / f"{first(tiny).id}.safetensors").write_bytes(b"")
    look = health._weights()
    assert look.status == "warning"
    assert "not made by detbench weights pretrain: delete it and make it again" in look.advice
    assert sum(not one.here for one in inventory.take() if one.origin == "detbench") == 1


def damage(folder: Path, own: str) -> None:
    folder.mkdir()
    (folder / f"{own}.safetensors").write_bytes(b"damaged")


@pytest.mark.parametrize(
    ("words", "prepare", "said"),
    [
        (["--only", "resnet14-w0.125"], None, "unknown backbone 'resnet14-w0.125', did you mean"),
        (["--profile", "smokee"], None, "unknown profile 'smokee', did you mean 'smoke'?"),
        (["--profile", "small"], None, "profile small has no table 'pretraining', which says"),
        (["no-table"], None, "unknown table 'no-table'"),
        (["--set", "backbone.widht=1"], None, "unknown key 'widht', did you mean 'width'?"),
        (["--set", "training.iterations=1"], None, "does nothing here: weights depend on 'back"),
        (["--output", "tiny.toml"], None, "--output tiny.toml: this is a file: name a folder"),
        (["--output", "tiny.toml/a"], None, "cannot write tiny.toml/a"),
        (["--device", "cuda:99"], None, "cuda"),
        ([], damage, "damaged, or not made by detbench weights pretrain: delete it and make"),
    ],
)
def test_bad_input_is_one_line(
    call: Call,
    tiny: Profile,
    words: list[str],
    prepare: Callable[[Path, str], None] | None,
    said: str,
) -> None:
    if prepare is not None:
        prepare(embedded.folder(), first(tiny).id)
    code, out, err = call(*PRETRAIN, *words)
    lines = [line for line in err.splitlines() if line.startswith("detbench: ")]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert said in lines[0]
