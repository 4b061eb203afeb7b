"""Modules of a user's own, as ``detbench.recipe.base.Custom`` says they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.candidates import Candidates
from detbench.stages.assignment import BACKGROUND, Assignment
from detbench.stages.features import Pyramid
from detbench.stages.supervision import LocInputs
from detbench.structures import Targets


class Backbone(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.channels = [width] * 4
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.stages = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(4))

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x.relu())
            maps.append(x)
        return maps


class Neck(nn.Module):
    def __init__(self, inputs: list[int], channels: int, levels: int) -> None:
        super().__init__()
        self.channels = channels
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in inputs)
        self.more = levels - len(inputs)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        found = [conv(x) for conv, x in zip(self.lateral, maps, strict=True)]
        for _ in range(self.more):
            found.append(F.max_pool2d(found[-1], 1, 2))
        return found


class Features(nn.Module):
    coarseness = 1

    def __init__(self, channels: int, below_channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, pyramid: Pyramid) -> list[Tensor]:
        return [self.mix(x) for x in pyramid.levels]


class Head(nn.Module):
    def __init__(self, inputs: int, width: int = 8) -> None:
        super().__init__()
        self.channels = width
        self.conv = nn.Conv2d(inputs, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv(x))


class Nearest:
    """Candidates within ``radius`` strides of an object's centre."""

    def __init__(self, radius: float = 1.0) -> None:
        self.radius = radius

    def assign(
        self,
        candidates: Candidates,
        targets: Targets,
        predictions: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Assignment:
        assert predictions is not None
        scores, boxes = predictions()
        assert boxes.shape == (*scores.shape[:2], 4)
        assert not scores.requires_grad
        matched = targets.labels.new_full(scores.shape[:2], BACKGROUND)
        if targets.boxes.shape[1]:
            centers = (targets.boxes[..., :2] + targets.boxes[..., 2:]) / 2
            apart = torch.cdist(candidates.points.expand(len(matched), -1, 2), centers)
            apart = apart.masked_fill(~targets.valid[:, None], torch.inf)
            nearest, index = apart.min(dim=2)
            matched = torch.where(nearest < self.radius * candidates.strides, index, matched)
        return Assignment(matched, (matched >= 0).sum().clamp(min=1).float())


class CrossEntropy:
    needs_quality = False

    def __call__(
        self, logits: Tensor, labels: Tensor, assignment: Assignment, quality: Tensor | None
    ) -> Tensor:
        assert quality is None
        target = F.one_hot(labels, logits.shape[-1]) * assignment.positive[..., None]
        loss = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="sum")
        return loss / assignment.normaliser


class Distance:
    def __call__(self, inputs: LocInputs) -> dict[str, Tensor]:
        apart = (inputs.decoded - inputs.boxes).abs().sum(dim=-1) / inputs.candidates.strides
        return {"loc": (apart * inputs.assignment.positive).sum() / inputs.assignment.normaliser}


class Counting(nn.Module):
    """``Nearest``, and how many batches it has seen: state that training accumulates."""

    def __init__(self) -> None:
        super().__init__()
        self.nearest = Nearest()
        self.register_buffer("seen", torch.zeros(()))

    def assign(
        self,
        candidates: Candidates,
        targets: Targets,
        predictions: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Assignment:
        self.seen += float(self.training)
        return self.nearest.assign(candidates, targets, predictions)


class Learnt(nn.Module):
    """``CrossEntropy`` with a weight of its own (Kendall et al. 2018)."""

    needs_quality = False

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(
        self, logits: Tensor, labels: Tensor, assignment: Assignment, quality: Tensor | None
    ) -> Tensor:
        loss = CrossEntropy()(logits, labels, assignment, quality)
        return loss * (-self.log_variance).exp() + self.log_variance


class WithoutChannels(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()


class Faulty(nn.Module):
    def __init__(self, inputs: Any) -> None:
        super().__init__()
        self.channels = len(inputs)  # a number has no length


class Dividing(Head):
    def forward(self, x: Tensor) -> Tensor:
        return x / (1 // 0)
