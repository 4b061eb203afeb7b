"""Weights are looked at before anything runs, by a process that has torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from detbench.errors import WeightsError
from detbench.recipe import resolve
from detbench.training import lookup
from detbench.training.lookup import Answer, Start

NAME = "ResNet50_Weights.IMAGENET1K_V1"
CAFFE = "open-mmlab://detectron2/resnet50_caffe"
NAMES = [NAME, CAFFE, "resnet18", "resnet5O", "resnet50.a1_in1k", "open-mmlab://odd"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What is said of some names, with one file in an otherwise empty cache."""
    home = tmp_path_factory.mktemp("cache")
    (home / "hub" / "checkpoints").mkdir(parents=True)
    (home / "hub" / "checkpoints" / "resnet18-f37072fd.pth").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        patch.setenv("HF_HOME", str(home))
        return lookup.look_up([*NAMES, "resnet18"])


def test_a_process_of_its_own_tells_of_names(found: dict[str, Answer]) -> None:
    assert set(found) == set(NAMES)
    assert (found[CAFFE].origin, found[CAFFE].cached) == ("OpenMMLab", False)
    assert found[CAFFE].path.endswith("hub/checkpoints/resnet50_msra-5891d200.pth")
    assert (found[NAME].origin, found[NAME].cached) == ("torchvision", False)
    assert found[NAME].path.endswith("resnet50-0676ba61.pth")
    assert found["resnet18"].cached
    assert "did you mean 'resnet50'" in found["resnet5O"].problem
    assert (found["resnet50.a1_in1k"].origin, found["resnet50.a1_in1k"].cached) == ("timm", False)


@pytest.mark.usefixtures("modules_forked")
def test_networks_of_timms_that_cannot_be_made_are_said_before_anything_runs() -> None:
    """All in one process, and those that can be are not."""
    cells = []
    for settings in (
        'name = "vit_tiny_patch16_224"',
        'name = "vgg11", drop_path = 0.1',
        'name = "swin_tiny_patch4_window7_224", deformable = "v1"',
        'name = "convnext_atto", frozen_stages = 0',
        'name = "resnet51"',
    ):
        row = resolve.cell("fcos-r50", "paper", 0, [f'backbone={{ kind = "timm", {settings} }}'])
        assert row.cell is not None
        cells.append(row.cell)
    odd, strides, drops, deformable = lookup.unknown_networks(cells)
    assert "has maps at strides 16, and not 4, 8, 16 and 32" in strides
    assert "'vgg11' cannot leave out blocks" in drops
    assert "has no 3x3 convolution" in deformable
    assert "resnet51" in odd


def test_names_without_need_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup.subprocess, "run", lambda *_, **__: pytest.fail("started"))
    assert lookup.look_up([]) == {}
    assert lookup.problems([Start(""), Start("none.pth")])[Start("")] == ""
    cell = resolve.cell("fcos-r50", "smoke").cell
    assert cell is not None
    training = cell.training.model_copy(update={"weights": "none.pth"})
    cells = [cell, cell.model_copy(update={"training": training})]
    assert lookup.misfits(cells, Path("data")) == ["", ""]


def test_a_machine_without_torch_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup.sys, "executable", "/bin/false")
    with pytest.raises(WeightsError, match="cannot be looked up: no answer: see detbench doctor"):
        lookup.look_up([NAME])


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (Start(""), ""),
        (Start("", default=True), "backbone names no weights"),
        (Start(NAME, default=True), f"detbench weights fetch {NAME}"),
        (Start(NAME), ""),  # the user named it, so the run may fetch it
        (Start("resnet18", default=True), ""),
        (Start("resnet5O"), "did you mean 'resnet50'"),
        (Start("gone.pth"), "gone.pth is no file here"),
        (Start("folder/gone"), "is no file here"),
        (Start("https://a/b.pth"), "no address is fetched"),
        (Start("https://a/b.pth", default=True), "no address is fetched"),
        (Start(CAFFE, default=True), f"detbench weights fetch {CAFFE}"),
        (Start("open-mmlab://odd"), "unknown (known are open-mmlab://detectron2/resnet50_caffe"),
    ],
)
def test_problems(start: Start, said: str, found: dict[str, Answer]) -> None:
    problem = lookup.problem(start, found.get(start.name))
    assert said in problem
    assert bool(problem) == bool(said)


def test_a_file_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_text("")
    assert lookup.problem(Start(str(tmp_path / "a.pth"))) == ""


def test_cells_start_from_what_they_ask_for() -> None:
    def start(*overrides: str) -> Start:
        cell = resolve.cell("gfl-r50", "paper", 0, overrides).cell
        assert cell is not None
        return lookup.of_cell(cell)

    assert start() == Start("")
    assert start("training.weights=default") == Start(NAME, default=True)
    assert start("training.weights=resnet50") == Start("resnet50")
