"""A dense training step asks the device nothing, so that it never waits for it.

Without a GPU: on pretended CUDA tensors, which have shapes and no content, so that whatever would
have to read one fails, and a copy from memory that waits is seen. Backward needs a real one:
``tests/cuda/test_steps.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from alike import unlike
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from detbench.assembly import build_detector
from detbench.ops import matching
from detbench.recipe import load
from detbench.recipe.detector import Dense
from detbench.recipe.light import lighten
from detbench.structures import Targets

MATCHED = ("defcn-r50",)
"""Which places teach is found in memory, from all images together."""


def lights() -> dict[str, Dense]:
    """Light dense detectors of the catalogue."""
    light = load.profile("smoke").light
    assert light is not None
    named = {name: load.detector(name).detector for name in load.detectors()}
    found = {name: lighten(spec, light) for name, spec in named.items()}
    return {name: spec for name, spec in found.items() if isinstance(spec, Dense)}


LIGHTS = lights()
UNLIKE = unlike(LIGHTS, but=("backbone",))
DENSE = sorted(UNLIKE.keys() | unlike({name: one.backbone for name, one in LIGHTS.items()}).keys())
"""One for each unlike rest, and one with each unlike backbone."""


class Copies(TorchDispatchMode):
    """Notes what is copied between devices and waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.name().startswith("aten::_to_copy") and not kwargs.get("non_blocking"):
            target = torch.device(kwargs.get("device") or args[0].device)
            if target.type != args[0].device.type:
                self.waited.append(f"{tuple(args[0].shape)} from {args[0].device} to {target}")
        return func(*args, **kwargs)


def losses(name: str, wait: bool = False, epoch: float = 0.0) -> list[str]:
    """What the losses of a light detector wait for."""
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 30.0], [20.0, 4.0, 60.0, 60.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            detector: Any = build_detector(LIGHTS[name], 3)
            images = torch.zeros(2, 3, 128, 128)
        targets = Targets.pad(boxes, labels, torch.tensor([[128, 128]] * 2)).to("cuda")
        with Copies() as copies:
            found = detector.train().losses(images, targets, epoch)
            total = torch.stack(list(found.values())).sum()
            if wait:
                torch.zeros(2).to("cuda")
    assert total.device.type == "cuda"
    return copies.waited


@pytest.mark.parametrize(("name", "epoch"), [*((name, 0.0) for name in DENSE), ("tood-r50", 12.0)])
def test_losses_read_nothing_from_the_device(
    name: str, epoch: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solve(told: Tensor, total: int) -> Tensor:
        assert told.device.type == "cpu"
        return torch.zeros(told.shape[1:3], dtype=torch.int64)

    monkeypatch.setattr(matching, "solve", solve)
    waited = losses(name, epoch=epoch)
    if name in MATCHED:  # two images, two objects
        assert [one.partition(" from ")[2] for one in waited] == ["cuda:0 to cpu"]
    else:
        assert waited == []


def test_every_kind_of_part_is_looked_at() -> None:
    """Every option that a dense detector of the catalogue has, by its kind."""

    def kinds(names: Iterable[str]) -> set[str]:
        texts = (LIGHTS[name].model_dump_json() for name in names)
        return {found for text in texts for found in re.findall(r'"\w+":{"kind":"[\w-]+"', text)}

    assert set(DENSE) >= set(MATCHED)
    assert kinds(DENSE) == kinds(LIGHTS)
    assert len(kinds(DENSE)) > 30


def test_a_wait_is_seen() -> None:
    assert losses("fcos-r50", wait=True) == ["(2,) from cpu to cuda:0"]
    with (
        FakeTensorMode(),
        torch.device("cuda"),
        pytest.raises(DataDependentOutputException),
    ):
        float(torch.zeros(2).sum())
