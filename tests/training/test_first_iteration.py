"""What the first iteration is looked at for, on real detectors; looking changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from alike import unlike
from standin import Loader, Tiny, fit, training
from torch import nn

from detbench.errors import CellFailed
from detbench.recipe import load, resolve
from detbench.training import checkpoint, first_iteration, loop
from detbench.training.host import Host

TINY = (
    "data.train=8",
    "data.val=4",
    "data.size=64",
    "training.iterations=1",
    "training.batch=4",
    "training.input.short=64",
    "training.input.long=64",
)


def look(tmp_path: Path, detector: str, *changes: str, profile: str = "smoke") -> dict[str, Any]:
    """What is kept of the first iteration of a detector's training."""
    data = resolve.parse_dataset("shapes")
    made = resolve.cell(detector, profile, 0, (*TINY, *changes), data).cell
    assert made is not None
    loop.train(made, tmp_path, Host(tmp_path, torch.device("cpu"), lambda _: None))
    return first_iteration.read(tmp_path / first_iteration.FILE)


@pytest.mark.parametrize(
    "detector",
    ["fcos-r50", "gfl-r50", "retinanet-r50", "cascade-rcnn-r50", "double-head-ext-r50", "tsd-r50"],
)
def test_a_sound_start_is_what_the_prior_gives(tmp_path: Path, detector: str) -> None:
    found = look(tmp_path, detector)
    assert found["notes"] == []
    assert found["prior"]
    for name, prior in found["prior"].items():
        # Weights of 0.01 leave a few per cent of a score, which quality focal loss cubes; a mistake
        # in a formula would be far more.
        few = 0.3 if detector == "gfl-r50" else 0.15
        assert found["losses"][name] == pytest.approx(prior, rel=few), name
    names = {name for name in found["losses"] if name.endswith("cls")} - {"constraint_cls"}
    assert set(found["prior"]) == names
    assert 0.1 < found["gradient_norm"] < 100


def test_every_detector_of_the_catalogue_starts_without_a_word(tmp_path: Path) -> None:
    """One with each light backbone, and one for each unlike rest."""
    lights = {}
    for name in load.detectors():
        made = resolve.cell(name, "smoke").cell
        assert made is not None
        lights[name] = made.detector
    exact = ("supervision", "heads", "assignment")
    rest = unlike(lights, exact, but=("backbone", "inference", "readout"))
    backbones = {one.backbone: name for name, one in lights.items()}
    backbones |= {one.backbone: name for name, one in rest.items()}
    seen = rest.keys() | backbones.values()
    assert len(seen) > len(backbones) > 10
    for name in sorted(seen):
        assert look(tmp_path / name, name)["notes"] == [], name


def test_exploded_features_are_said_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ResNet-50 from scratch, its norms on fixed statistics: the paper's C4 without weights."""
    found = look(tmp_path, "faster-rcnn-r50-c4", profile="paper")
    assert found["losses"]["cls"] > 10 * math.log(13) == 10 * found["prior"]["cls"]
    [rpn, cls] = found["notes"]
    assert rpn.startswith("the first loss 'rpn_cls' is ")
    assert cls.startswith("the first loss 'cls' is ")
    assert "times what scores that know nothing give (2.56)" in cls
    said = [one.getMessage() for one in caplog.records if one.name == first_iteration.logger.name]
    assert said == found["notes"]


def test_a_gradient_far_above_the_clip_is_said(tmp_path: Path) -> None:
    found = look(tmp_path, "fcos-r50", "training.clip=0.001")
    [note] = found["notes"]
    times = found["gradient_norm"] / 0.001
    assert note.startswith(
        f"the first gradient's norm is {found['gradient_norm']:.3g}, {times:.0f} "
    )
    assert "times training.clip (0.001)" in note


def test_the_norm_is_the_same_with_and_without_a_clip(tmp_path: Path) -> None:
    norms = [
        look(tmp_path / clip, "fcos-r50", f"training.clip={clip}")["gradient_norm"]
        for clip in ("none", "35", "0.5")
    ]
    assert norms == [pytest.approx(norms[0], rel=1e-5)] * 3


def test_a_part_without_a_loss_is_named(tmp_path: Path) -> None:
    changes = ("supervision.loc.weight=0", "supervision.quality=none")
    [note] = look(tmp_path, "fcos-r50", *changes)["notes"]
    assert note.startswith("no gradient reached loc in the first iteration")


def test_what_was_said_is_not_said_again_on_resume(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = training(clip=1e-6)
    monkey = [3]

    def report(at: Any) -> None:
        if monkey and at.iteration >= monkey[0]:
            monkey.clear()
            raise KeyboardInterrupt

    loop_every, loop.READ_EVERY_S = loop.READ_EVERY_S, 0.0
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, settings, report)
        said = len(caplog.records)
        fit(tmp_path, settings)
    finally:
        loop.READ_EVERY_S = loop_every
    assert said == len(caplog.records) == 1
    assert len(first_iteration.read(tmp_path / first_iteration.FILE)["notes"]) == 1


class Aloof(Tiny):
    """A loss that depends on nothing that trains."""

    def losses(self, images: torch.Tensor, targets: Any, epoch: float) -> dict[str, torch.Tensor]:
        return {"cls": images.mean().square()}


class Steep(Tiny):
    """A loss that is finite, and whose gradient is not: the root at 0."""

    def losses(self, images: torch.Tensor, targets: Any, epoch: float) -> dict[str, torch.Tensor]:
        return {"cls": (self(images) * 0).sum().square().sqrt()}


def _fit(tmp_path: Path, detector: nn.Module, **changes: Any) -> None:
    host = Host(tmp_path, torch.device("cpu"), print)
    loop.fit(detector, Loader(), training(**changes), loop.Own(tmp_path, "tiny", 3), host)


def test_a_row_that_certainly_learns_nothing_fails(tmp_path: Path) -> None:
    with pytest.raises(CellFailed, match="no gradient reaches any parameter"):
        _fit(tmp_path / "none", Aloof())
    for name, clip in (("clipped", 1.0), ("plain", None)):
        message = "the gradient was not finite in the first iteration, though the loss was"
        with pytest.raises(CellFailed, match=message):
            _fit(tmp_path / name, Steep(), clip=clip)
    frozen = Tiny().requires_grad_(False)
    with pytest.raises(CellFailed, match="all are frozen"):
        _fit(tmp_path / "frozen", frozen)


def test_fp16_may_skip_its_first_steps(tmp_path: Path) -> None:
    """Its scale starts so high that gradients overflow: that is no failure."""
    _fit(tmp_path, Tiny(), precision="fp16", clip=None)
    assert first_iteration.read(tmp_path / first_iteration.FILE)["notes"] == []


@pytest.mark.parametrize("detector", ["fcos-r50", "double-head-ext-r50"])
def test_looking_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: str
) -> None:
    longer = ("training.iterations=3",)
    look(tmp_path / "looked", detector, *longer)
    guarded = loop._step
    monkeypatch.setattr(loop, "_step", lambda *given: guarded(*given[:-1]))
    monkeypatch.setattr(first_iteration.FirstIteration, "judge", lambda *rest: None)
    look(tmp_path / "blind", detector, *longer)
    looked, blind = (
        checkpoint.load(tmp_path / name / loop.CHECKPOINT) for name in ("looked", "blind")
    )
    for name, value in looked["detector"].items():
        assert torch.equal(value, blind["detector"][name]), name
    assert not (tmp_path / "blind" / first_iteration.FILE).exists()
    assert torch.equal(looked["random"]["torch"], blind["random"]["torch"])


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / first_iteration.FILE
    assert first_iteration.read(path) == {}
    for content in (b"{", b"[1]", b"\xff"):
        path.write_bytes(content)
        assert first_iteration.read(path) == {}
    path.write_text(json.dumps({"notes": ["x"]}))
    assert first_iteration.read(path) == {"notes": ["x"]}
