"""A tiny detector and loader that have everything a resume can get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detbench.recipe.experiment import Training
from detbench.structures import Batch, Targets
from detbench.training import loop, seeding
from detbench.training.host import Host

CPU = torch.device("cpu")
SGD = {"kind": "sgd", "lr": 0.05, "bias_lr": 2.0, "decay_norms": False, "decay_biases": False}
STEPS = {"kind": "steps", "drops": (6, 9), "warmup_iterations": 4, "warmup_ratio": 0.1}


class Tiny(nn.Module):
    """Convolutions, a live and a frozen norm, dropout, a buffer that training accumulates."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.backbone[0].weight.requires_grad_(False)
        self.drop = nn.Dropout(0.3)
        self.norm = nn.GroupNorm(2, 4)
        self.out = nn.Conv2d(4, 2, 1)
        self.register_buffer("seen", torch.zeros(2))
        self.nan_at = -1

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.norm(self.drop(self.backbone(images))))

    def losses(self, images: Tensor, targets: Targets, epoch: float) -> dict[str, Tensor]:
        found = self(images).float().mean(dim=(2, 3))
        self.seen += found.detach().mean(dim=0)
        cls = (found[:, 0] - targets.boxes[:, 0, 0]).square().mean()
        loc = (found[:, 1] * (1 + 0.1 * torch.rand(()))).abs().mean() + 0.01 * self.seen[0].abs()
        return {"cls": cls, "loc": loc}


class Loader:
    """Batch k is a function of k; remembers what was asked for."""

    iterations_per_epoch = 5

    def __init__(self, poison: int | None = None) -> None:
        self.poison = poison
        self.served: list[int] = []
        self.closed = 0

    def batches(self, start: int) -> Iterator[Batch]:
        index = start
        try:
            while True:
                self.served.append(index)
                yield batch(index, float("nan") if index == self.poison else 1.0)
                index += 1
        finally:
            self.closed += 1


def batch(index: int, scale: float = 1.0) -> Batch:
    generator = torch.Generator().manual_seed(index)
    images = torch.randn(2, 3, 8, 8, generator=generator) * scale
    boxes = [torch.rand(1, 4, generator=generator) for _ in range(2)]
    labels = [torch.zeros(1, dtype=torch.int64)] * 2
    sizes = torch.full((2, 2), 8)
    return Batch(images, sizes, Targets.pad(boxes, labels), [1, 2], [(1.0, 1.0)] * 2, [(8, 8)] * 2)


def training(**changes: Any) -> Training:
    settings: dict[str, Any] = {"iterations": 12, "optimizer": SGD, "schedule": STEPS, "clip": 1.0}
    return Training.model_validate(settings | changes)


def fit(
    work: Path,
    settings: Training,
    report: Any = lambda _: None,
    loader: Loader | None = None,
    scorer: Any = None,
    identity: tuple[str, str] = ("tiny", ""),
) -> Tiny:
    """A run of the stand-in, as ``train`` makes it; its identity and that of its kin."""
    seeding.seed_everything(3)
    detector = Tiny()
    own = loop.Own(work, identity[0], 3, identity[1])
    host, hooks = Host(work, CPU, report), loop.Hooks(scorer=scorer)
    loop.fit(detector, loader or Loader(), settings, own, host, hooks)
    return detector
