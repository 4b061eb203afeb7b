"""Modules of a user's own, as ``detbench.recipe.base.Custom`` says they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.pertask import PerTask
from detbench.stages.assignment import BACKGROUND, Assigned, Assignment
from detbench.stages.features import Pyramid
from detbench.stages.outputs import Outputs
from detbench.stages.predictor import Predictions
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


class Predictor(nn.Module):
    """Both outputs from the sum of both towers, and a third one of the boxes'."""

    def __init__(
        self,
        channels: PerTask[int],
        coarseness: PerTask[int],
        classes: int,
        dims: int,
        per_cell: int,
        levels: int,
    ) -> None:
        super().__init__()
        self.mix = nn.Conv2d(sum(channels), 8, 1)
        self.cls = nn.Conv2d(8, per_cell * classes, 1)
        self.loc = nn.Conv2d(8, per_cell * dims, 1)
        self.quality = nn.Conv2d(per_cell * dims, per_cell, 1)

    def forward(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        mixed = [self.mix(torch.cat(both, dim=1)).relu() for both in zip(*towers, strict=True)]
        loc = [self.loc(x) for x in mixed]
        quality = [self.quality(x) for x in loc]
        return Predictions([self.cls(x) for x in mixed], loc, {"quality": quality})


class Mean(nn.Module):
    """The arithmetic mean of class and third output."""

    select = "score"

    def forward(self, classes: Tensor, extras: Mapping[str, Tensor]) -> Tensor:
        return (classes + extras["quality"]) / 2


class Nearest(nn.Module):
    """Candidates within ``radius`` strides of an object's centre."""

    def __init__(self, radius: float = 1.0) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        scores, candidates = outputs.scores, outputs.candidates
        assert outputs.boxes.shape == (*scores.shape[:2], 4)
        assert not scores.requires_grad
        assert not outputs.boxes.requires_grad
        matched = targets.labels.new_full(scores.shape[:2], BACKGROUND)
        if targets.boxes.shape[1]:
            centers = (targets.boxes[..., :2] + targets.boxes[..., 2:]) / 2
            apart = torch.cdist(candidates.points.expand(len(matched), -1, 2), centers)
            apart = apart.masked_fill(~targets.valid[:, None], torch.inf)
            nearest, index = apart.min(dim=2)
            matched = torch.where(nearest < self.radius * candidates.strides, index, matched)
        return Assignment(matched)


class CrossEntropy(nn.Module):
    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        target = F.one_hot(assigned.labels, outputs.logits.shape[-1])
        target = target * assigned.positive[..., None]
        loss = F.binary_cross_entropy_with_logits(outputs.logits, target.float(), reduction="sum")
        return {"cls": loss / assigned.normaliser("batch")}


class Distance(nn.Module):
    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        apart = (outputs.boxes - assigned.boxes).abs().sum(dim=-1) / outputs.candidates.strides
        return {"loc": (apart * assigned.positive).sum() / assigned.normaliser("batch")}


class Even(nn.Module):
    """All levels count as one; what it learns it has from nothing."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(levels))

    def forward(self, positives: Tensor) -> Tensor:
        return self.factors


class Counting(Nearest):
    """``Nearest``, and how many batches it has seen: state that training accumulates."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        self.seen += float(self.training)
        return super().forward(outputs, targets, epoch)


class Learnt(CrossEntropy):
    """``CrossEntropy`` with a weight of its own (Kendall et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        loss = super().forward(outputs, assigned)["cls"]
        return {"cls": loss * (-self.log_variance).exp() + self.log_variance}


class LearntPrior(Nearest):
    """AutoAssign's centre prior of every (object, place) pair, of a width that is learnt; and what
    it saw so far of the boxes, and of the epochs.
    """

    normaliser = "images"

    def __init__(self) -> None:
        super().__init__(radius=2.0)
        self.log_width = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean_side", torch.zeros(()))
        self.register_buffer("epoch", torch.zeros(()))

    def forward(self, outputs: Outputs, targets: Targets, epoch: float) -> Assignment:
        found = super().forward(outputs, targets, epoch)
        if self.training:
            sides = (outputs.boxes[..., 2:] - outputs.boxes[..., :2]).mean()
            self.mean_side.lerp_(sides, 0.1)
            self.epoch.fill_(epoch)
        centers = (targets.boxes[..., None, :2] + targets.boxes[..., None, 2:]) / 2
        apart = (outputs.candidates.points - centers) / outputs.candidates.strides[:, None]
        pairs = (-apart.square().sum(dim=-1) / self.log_width.exp()).exp()
        pairs = pairs * targets.valid[..., None]
        if not pairs.shape[1]:
            return found
        weight = torch.where(found.positive, pairs.amax(dim=1), 1.0)
        return Assignment(found.matched, weight, pairs=pairs)


class Joint(nn.Module):
    """One criterion of both tasks, in which each object is explained by its weighted places."""

    def forward(self, outputs: Outputs, assigned: PerTask[Assigned]) -> dict[str, Tensor]:
        assert assigned.shared
        given, pairs = assigned.cls, assigned.cls.assignment.pairs
        background = F.softplus(outputs.logits).sum(dim=-1)[~given.positive].mean()
        if pairs is None or not pairs.shape[1]:
            return {"joint": background}
        labels = given.targets.labels[..., None].expand(-1, -1, outputs.logits.shape[1])
        scores = outputs.logits.sigmoid().transpose(1, 2).gather(1, labels)
        share = pairs / pairs.sum(dim=2, keepdim=True).clamp(min=1e-6)
        explained = (share * scores).sum(dim=2).clamp(min=1e-6).log() * given.targets.valid
        apart = (outputs.boxes - given.boxes).abs().sum(dim=-1) / outputs.candidates.strides
        apart = (apart * given.positive).sum() / given.normaliser("batch")
        return {"joint": background - explained.sum() / given.normaliser("batch") + apart}


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
