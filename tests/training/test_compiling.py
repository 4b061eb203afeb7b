"""``training.compile``: which parts, what it needs, and that results stay as they are."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import nn

from detbench.assembly import build_detector
from detbench.errors import DeviceError
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.light import lighten
from detbench.structures import Targets
from detbench.training import compiling

CPU = torch.device("cpu")


def light(name: str) -> Any:
    profile = load.profile("smoke").light
    assert profile is not None
    torch.manual_seed(0)
    made = lighten(load.detector(name).detector, profile)
    every = made.inference.model_copy(update={"score_threshold": 0.0})
    return build_detector(made.model_copy(update={"inference": every}), 3)


def test_backbone_neck_and_towers() -> None:
    dense, roi = light("fcos-r50"), light("faster-rcnn-r50")
    tasks = dense.heads.tasks
    assert compiling.parts(dense) == [dense.backbone, dense.neck, tasks.cls, tasks.loc]
    assert compiling.parts(roi) == [roi.backbone, roi.neck]
    assert compiling.parts(nn.Linear(2, 2)) == []


def test_it_is_taken_back_and_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "check", lambda device: None)
    # Nothing is run, so that torch's compiler, which takes seconds to import, is not needed.
    marked = lambda self: setattr(self, "_compiled_call_impl", self.forward)  # noqa: E731
    monkeypatch.setattr(nn.Module, "compile", marked)
    network = light("fcos-r50")
    keys = list(network.state_dict())
    with compiling.compiled(network, True, CPU):
        assert all(x._compiled_call_impl is not None for x in compiling.parts(network))
        assert list(network.state_dict()) == keys
    assert all(x._compiled_call_impl is None for x in compiling.parts(network))
    with compiling.compiled(network, False, CPU):
        assert all(x._compiled_call_impl is None for x in compiling.parts(network))


def test_without_a_compiler_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with (
        pytest.raises(DeviceError, match=r"no C\+\+ compiler 'no-such-compiler' is found.*CXX"),
        compiling.compiled(light("fcos-r50"), True, CPU),
    ):
        pass
    with compiling.compiled(light("fcos-r50"), False, CPU):
        pass


def test_a_cell_without_it_is_the_cell_that_it_was() -> None:
    off, on, tested = (
        resolve.cell("fcos-r50", "smoke", 0, change).cell
        for change in ((), ("training.compile=true",), ("evaluation.compile=true",))
    )
    assert len({digest(one) for one in (off, on, tested)}) == 3
    explicit = resolve.cell("fcos-r50", "smoke", 0, ("training.compile=false",)).cell
    assert digest(explicit) == digest(off)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
@pytest.mark.filterwarnings("default")
def test_losses_gradients_and_detections_are_equal_up_to_rounding() -> None:
    """Two minutes of a core's time, of which the compiler takes nearly all."""
    network = light("fcos-r50").train()
    torch.manual_seed(1)
    images = torch.randn(2, 3, 64, 64)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 30.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)]
    targets = Targets.pad(boxes, labels, torch.tensor([[64, 64]] * 2))

    def step() -> tuple[dict[str, float], torch.Tensor]:
        network.zero_grad()
        losses = network.losses(images, targets)
        torch.stack(list(losses.values())).sum().backward()
        found = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        return {name: float(x.detach()) for name, x in losses.items()}, torch.cat(found)

    plain, gradient = step()
    with compiling.compiled(network, True, CPU):
        made, other = step()
    assert made == pytest.approx(plain, rel=1e-4)
    assert float((gradient - other).norm() / gradient.norm()) < 1e-3

    network.eval()
    sizes = torch.tensor([[64, 64]] * 2)
    with torch.inference_mode():
        expected = network.detect(images, sizes)
        with compiling.compiled(network, True, CPU):
            found = network.detect(images, sizes)
    assert sum(map(len, expected)) > 50
    for one, same in zip(expected, found, strict=True):
        assert torch.equal(one.labels, same.labels)
        assert same.scores == pytest.approx(one.scores, abs=1e-4)
        assert same.boxes == pytest.approx(one.boxes, abs=0.01)
