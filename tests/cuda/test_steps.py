"""A training step on a GPU: how often it waits for the device, and in which precisions it works."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from made_masks import with_masks
from torch import Tensor

from detbench.assembly import build_detector
from detbench.recipe import load
from detbench.recipe.detector import Dense
from detbench.recipe.experiment import AdamW
from detbench.recipe.light import lighten
from detbench.structures import Targets
from detbench.training import optimiser
from detbench.training.precision import autocast, loss_scaler

CUDA = torch.device("cuda")
SIDE = 128
DENSE = [name for name in load.detectors() if isinstance(load.detector(name).detector, Dense)]
MATCHED = ("defcn-r50",)
"""Which places teach is found in memory, once for all images."""
TWO_STAGE = [name for name in load.detectors() if name not in DENSE]


def light(name: str) -> Any:
    profile = load.profile("smoke").light
    assert profile is not None
    torch.manual_seed(0)
    return build_detector(lighten(load.detector(name).detector, profile), 3).to(CUDA).train()


def scene() -> tuple[Tensor, Targets]:
    boxes = [torch.tensor([[8.0, 8.0, 80.0, 60.0], [40.0, 4.0, 120.0, 120.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    sizes = torch.tensor([[SIDE, SIDE]] * 2)
    targets = with_masks(Targets.pad(boxes, labels, sizes), SIDE, SIDE)
    return torch.randn(2, 3, SIDE, SIDE, device=CUDA), targets


class Trainer:
    """What the training loop does with a batch, without its first look."""

    def __init__(self, network: Any, precision: str = "fp32") -> None:
        self.network, self.precision = network, precision
        self.optimiser = optimiser.build(network, AdamW(kind="adamw", lr=1e-4))
        self.scaler = loss_scaler(CUDA, precision)

    def step(self, images: Tensor, targets: Targets) -> Tensor:
        with autocast(CUDA, self.precision):
            losses = self.network.losses(images, targets.to(CUDA))
            total = torch.stack([x.float() for x in losses.values()]).sum()
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 35.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        return total.detach()


def waits(name: str) -> Counter[str]:
    """Where one step of a warmed-up training waits for the device."""
    trainer, (images, targets) = Trainer(light(name)), scene()
    trainer.step(images, targets)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            trainer.step(images, targets)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(
        f"{Path(one.filename).parent.name}/{Path(one.filename).name}:{one.lineno}"
        for one in said
        if "synchronizing" in str(one.message)
    )


@pytest.mark.parametrize("name", DENSE)
def test_a_dense_step_does_not_wait(name: str) -> None:
    found = waits(name)
    if name in MATCHED:
        assert [place.split(":")[0] for place in found.elements()] == ["ops/matching.py"], found
    else:
        assert not found


@pytest.mark.parametrize("name", TWO_STAGE)
def test_a_two_stage_step_waits_for_its_proposals_alone(name: str) -> None:
    """How many survive NMS, and how many RoIs each level has, decide the shapes of what follows."""
    found = waits(name)
    assert found
    allowed = ("rpn.py", "suppression.py", "roi_pooling.py", "boxes.py")
    assert not [place for place in found if not place.split(":")[0].endswith(allowed)], found
    assert found.total() <= 60, found


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", load.detectors())
def test_half_precision_follows_float32(name: str, precision: str) -> None:
    images, targets = scene()
    torch.manual_seed(1)
    exact = Trainer(light(name)).step(images, targets)
    trainer = Trainer(light(name), precision)
    torch.manual_seed(1)
    assert torch.isclose(trainer.step(images, targets), exact, rtol=0.1)
    for _ in range(3):
        assert trainer.step(images, targets).isfinite()
