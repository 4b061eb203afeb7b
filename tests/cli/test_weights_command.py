"""``detbench weights``, and weights that ``check`` and ``run`` find missing before they start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reference_weights as reference
import torch
from commands import Call

from detbench.assembly import build_detector
from detbench.recipe import embedded, resolve
from detbench.runner import health
from detbench.training import inventory, lookup, named, weights

NAME = "ResNet50_Weights.IMAGENET1K_V1"


@pytest.fixture
def call(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command line where torch.hub has a folder of its own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch" / "hub"))
    return call


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up in this process, which has torch already."""
    monkeypatch.setattr(lookup, "look_up", named._answers)


@pytest.mark.usefixtures("answers")
def test_list_says_what_is_here_and_what_to_do(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "resnet50-0676ba61.pth").write_text("")
    (folder / "odd.pth").write_text("")
    code, out, _ = call("weights", "list", "--format", "json")
    assert code == 0
    found = {one["name"]: one for one in json.loads(out)}
    assert found[NAME]["here"]
    assert found[NAME]["path"].endswith("resnet50-0676ba61.pth")
    assert "gfl-r50" in found[NAME]["detectors"]
    assert not found["ResNet101_Weights.IMAGENET1K_V1"]["here"]
    assert found["ResNet101_Weights.IMAGENET1K_V1"]["advice"].startswith("detbench weights fetch ")
    caffe = found["open-mmlab://detectron2/resnet50_caffe"]
    assert caffe["advice"] == "detbench weights fetch open-mmlab://detectron2/resnet50_caffe"
    assert caffe["origin"] == "OpenMMLab"
    assert found["odd.pth"]["here"]
    code, out, _ = call("weights", "list")
    assert code == 0
    assert f"and {len(found[NAME]['detectors']) - 2} more" in out


@pytest.mark.usefixtures("answers")
def test_embedded_weights_that_cannot_be_read_leave_the_others_listed(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "folder", lambda: tmp_path / "own")
    (tmp_path / "own" / "folder.safetensors").mkdir(parents=True)
    (tmp_path / "own" / "cut.safetensors").write_bytes(b"cut")
    header = b'{"__metadata__": {"detbench": "{}"}}'
    sound = len(header).to_bytes(8, "little") + header
    (tmp_path / "own" / "sound.safetensors").write_bytes(sound)
    code, out, _ = call("weights", "list", "--format", "json")
    assert code == 0
    found = {Path(one["path"]).stem: one for one in json.loads(out)}
    assert found["resnet50-0676ba61"]
    assert {name: found[name]["here"] for name in ("folder", "cut", "sound")} == {
        "folder": False,
        "cut": False,
        "sound": True,
    }
    assert (
        "folder.safetensors: cannot be read: Is a directory: mend it, or"
        in (found["folder"]["advice"])
    )
    assert "cut.safetensors: damaged" in found["cut"]["advice"]
    said = health._weights()
    assert said.status == "warning"
    assert "and 1 embedded ones; damaged or unreadable: embedded:cut-" in said.message
    assert "embedded:folder" in said.message
    assert "see torch" not in said.advice
    assert "there are embedded:cut-" in embedded.problem("embedded:gone-00000000")


def test_torch_hubs_folder_is_known_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, "/some/where")
        assert inventory.hub() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.delenv("TORCH_HOME")
    assert inventory.hub() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert inventory.hub() == Path(torch.hub.get_dir()) / "checkpoints"


def test_fetch(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    here = Path("cache/a.pth")

    def find(name: str) -> weights.Named:
        if name == "odd":
            raise weights.WeightsError("weights 'odd': no such")
        return weights.Named("timm", here, name in loaded, lambda: loaded.append(name) or {})  # type: ignore[func-returns-value]

    monkeypatch.setattr(weights, "find", find)
    code, out, err = call("weights", "fetch", "a")
    assert (code, out, loaded) == (0, "", ["a"])
    assert "a: downloading from timm's address\na: is here now: cache/a.pth" in err
    code, _, err = call("weights", "fetch", "a")
    assert err == "a: was here: cache/a.pth\n"
    code, _, err = call("weights", "fetch", "b", "odd")
    assert (code, err, loaded) == (2, "detbench: weights 'odd': no such\n", ["a", "a"])


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    """MMDetection's state dict of a RetinaNet."""
    return reference.state_dict(reference.cases()["retinanet-r50"])


Write = Callable[..., Path]


@pytest.fixture
def mmdet(given: dict[str, Any]) -> Write:
    """Write it to a path as MMDetection's checkpoint, with edits to its state."""

    def write(path: Path, edit: Callable[[dict[str, Any]], object] = lambda state: None) -> Path:
        state = dict(given)
        edit(state)
        torch.save({"meta": {}, "state_dict": state}, path)
        return path

    return write


def test_import_of_mmdetections_checkpoint(
    call: Call, tmp_path: Path, mmdet: Write, given: dict[str, Any]
) -> None:
    mmdet(tmp_path / "in.pth")
    words = ("weights", "import", "in.pth", "--detector", "retinanet-r50", "--output", "out.pt")
    code, out, err = call(*words)
    assert code == 0, err
    assert "in.pth (MMDetection) as retinanet-r50 with 80 classes" in out
    assert "Everything fits." in out
    cell = resolve.cell("retinanet-r50", "paper").cell
    assert cell is not None
    detector = build_detector(cell.detector, 80)
    assert weights.load_file(detector, tmp_path / "out.pt", whole=True).whole
    ours = detector.state_dict()["predictor.cls.weight"]
    assert torch.equal(ours, given["bbox_head.retina_cls.weight"])
    code, _, err = call(*words)
    assert (code, err) == (2, "detbench: --output out.pt: is there already: --force replaces it\n")


def test_import_tells_missing_from_unknown(call: Call, tmp_path: Path, mmdet: Write) -> None:
    def damage(state: dict[str, Any]) -> None:
        del state["bbox_head.cls_convs.0.conv.weight"]
        state["bbox_head.something.weight"] = torch.zeros(2)

    mmdet(tmp_path / "in.pth", damage)
    words = ("weights", "import", "in.pth", "--detector", "retinanet-r50", "--output", "out.pt")
    code, out, err = call(*words)
    assert code == 2
    assert "missing in the file: heads.cls.convs.0.conv.weight\n" in out
    assert "unknown to the network: bbox_head.something.weight\n" in out
    assert err == (
        "detbench: in.pth: does not fit retinanet-r50: --allow-partial takes what fits\n"
    )
    assert not Path("out.pt").exists()
    code, out, err = call(*words, "--allow-partial", "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert found["missing"] == ["heads.cls.convs.0.conv.weight"]
    assert found["parts"]["heads"]["missing"] == 1
    assert Path("out.pt").is_file()


def test_import_recognises_another_number_of_classes(
    call: Call, tmp_path: Path, mmdet: Write
) -> None:
    words = ("weights", "import", "in.pth", "--detector", "retinanet-r50", "--classes")
    mmdet(tmp_path / "in.pth")
    code, _, err = call(*words, "12")
    assert code == 2
    assert "it looks like one of 80 classes: --classes 80; --allow-partial takes" in err
    assert call(*words, "80")[0] == 0


def test_import_of_a_backbone_and_of_another_detector(call: Call, tmp_path: Path) -> None:
    from torchvision.models import resnet50

    torch.save(resnet50().state_dict(), tmp_path / "r50.pth")
    code, out, err = call("weights", "import", "r50.pth", "--detector", "gfl-r50")
    assert code == 2
    row = next(line for line in out.splitlines() if line.startswith("backbone"))
    assert row.split()[2:] == ["0", "0", "0"]
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pth")
    _, _, err = call("weights", "import", "x.pth", "--detector", "gfl-r50", "--allow-partial")
    assert (
        err
        == "detbench: x.pth: does not fit gfl-r50: nothing fits: are they for another detector?\n"
    )


def test_import_of_torchvisions_detector(call: Call, tmp_path: Path) -> None:
    from torchvision.models.detection import retinanet_resnet50_fpn

    from detbench.recipe import load
    from detbench.training import files

    theirs = retinanet_resnet50_fpn(weights=None, weights_backbone=None)
    torch.save(theirs.state_dict(), tmp_path / "in.pth")
    words = ("weights", "import", "in.pth", "--output", "out.pt", "--detector")
    code, out, err = call(*words, "retinanet-r50")
    assert code == 2
    assert "torchvision's network differs: its levels above P5 come from P5" in out
    assert err.startswith("detbench: in.pth: torchvision's network is another than this detector's")
    assert err.count("\n") == 1
    assert not Path("out.pt").exists()
    example = str(load.root() / load.EXAMPLES / "torchvision-retinanet-r50.toml")
    code, out, err = call(*words, example)
    assert code == 0, err
    assert "Everything fits." in out
    names = files.read(Path("out.pt")).classes
    assert names is not None
    assert (len(names), names[:2], names[-1]) == (80, ("person", "bicycle"), "toothbrush")


def test_import_keeps_mmdetections_class_names(call: Call, tmp_path: Path, mmdet: Write) -> None:
    from detbench.training import files

    mmdet(tmp_path / "in.pth")
    content = torch.load(tmp_path / "in.pth")
    names = [f"thing {number}" for number in range(80)]
    torch.save({**content, "meta": {"dataset_meta": {"CLASSES": names}}}, tmp_path / "in.pth")
    words = ("weights", "import", "in.pth", "--detector", "retinanet-r50", "--output", "out.pt")
    code, out, _ = call(*words, "--format", "json")
    assert code == 0
    assert json.loads(out)["class_names"] == names
    assert files.read(Path("out.pt")).classes == tuple(names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.pth", "--detector", "gfl-r50"], "none.pth: no such file"),
        (
            ["ümläut.txt", "--detector", "gfl-r50"],
            "ümläut.txt: truncated, or not a file",
        ),
        (["empty.pth", "--detector", "gfl-r50"], "empty.pth: truncated, or not a file of weights"),
        (["folder", "--detector", "gfl-r50"], "folder: cannot be read: Is a directory"),
        (["ümläut.txt", "--detector", "gfl-r5O"], "ümläut.txt: truncated"),
        (["a", "--detector", "x", "--output", "b.txt"], "--output b.txt: the name ends in .pt"),
        (["a", "--detector", "x", "--output", "no/b.pt"], "--output no/b.pt: name a file in a fol"),
    ],
)
def test_import_of_bad_input(call: Call, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "ümläut.txt").write_text("text")
    (tmp_path / "empty.pth").write_text("")
    (tmp_path / "folder").mkdir()
    code, out, err = call("weights", "import", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"detbench: {said}")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("row", "weights_", "said"),
    [
        ("GFL", "resnet5O", "no torchvision or timm weights of that name, did you mean 'resnet50'"),
        ("GFL", "gone.pth", "gone.pth is no file here"),
        ("GFL", "default", "this detector's backbone names no weights"),
    ],
)
def test_weights_are_looked_at_before_anything_runs(
    call: Call, tmp_path: Path, command: str, row: str, weights_: str, said: str
) -> None:
    words = ("tscode-table1", "--rows", row, "--profile", "smoke", "--results", "store")
    code, out, err = call(command, *words, "--set", f"training.weights={weights_}")
    assert code == 2
    if command == "check":
        assert f"TO MEND: weights: {said}" in out or said in out
    else:
        assert (out, err.count("\n")) == ("", 1)
        assert said in err
    assert not (tmp_path / "store" / "work").exists()


@pytest.mark.usefixtures("modules_forked")
def test_a_file_that_fits_some_rows_is_said_before_they_start(call: Call, tmp_path: Path) -> None:
    """By ``check`` and by ``run``, of exactly the rows that it does not fit; the others run."""
    tiny = ("data.size=48", "data.train=4", "data.val=2", "training.input.short=48")
    tiny = (*tiny, "training.input.long=48", "training.iterations=1", "training.batch=2")
    words = ["tscode-table1", "--rows", "FCOS,GFL", "--profile", "smoke", "--columns", "AP"]
    words += [word for one in (*tiny, "training.weights=own.pt") for word in ("--set", one)]
    cell = resolve.cell("fcos-r50", "smoke").cell
    assert cell is not None
    weights.save(tmp_path / "own.pt", build_detector(cell.detector, 12))

    checked = [word for word in words if word not in ("--columns", "AP")]
    code, out, _ = call("check", *checked, "--format", "json")
    assert code == 2
    said = [one["message"] for one in json.loads(out)["checks"] if one["status"] == "mend"]
    assert len(said) == 1
    assert said[0].startswith("GFL: own.pt: made for another detector or number of classes: keys ")
    assert "--allow-partial takes" not in said[0]
    assert "detbench weights import --allow-partial" in said[0]

    code, out, err = call("run", *words)
    assert code == 2
    assert err.splitlines().count(said[0]) == 1
    assert err.index(said[0]) < err.index("FCOS: done")
    assert "--allow-partial takes" not in err
    code, out, _ = call("check", *checked, "--rows", "FCOS", "--format", "json")
    assert code == 0
    assert {one["status"] for one in json.loads(out)["checks"]} <= {"ok", "warning"}


@pytest.mark.usefixtures("answers")
def test_check_says_of_a_default_how_to_get_it(call: Call) -> None:
    words = ("check", "tscode-table1", "--rows", "GFL", "--profile", "paper")
    code, out, _ = call(*words, "--set", "training.weights=default")
    assert code == 2
    assert f"detbench weights fetch {NAME}" in out
    _, out, _ = call(*words, "--set", f"training.weights={NAME}")
    assert f"ok: weights: {NAME}: torchvision's, the run downloads it" in out
