"""The least that ``detbench.recipe.base.Custom`` asks of modules for detectors with proposals."""

from __future__ import annotations

import torch
from own_parts import Backbone
from torch import Tensor, nn

from detbench.ops.boxes import pairwise_iou
from detbench.stages.assignment import BACKGROUND, IGNORE
from detbench.stages.assignment.proposals import Rois
from detbench.stages.sampling import Pooled, RoiPyramid
from detbench.structures import Targets


class ToC4(Backbone):
    """For a neck of kind ``c4``."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = self.channels[:3]
        self.stages = self.stages[:3]


class Features(nn.Module):
    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        assert len(channels) == 4
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, maps: list[Tensor], levels: list[Tensor]) -> list[Tensor]:
        return [level * self.gain for level in levels]


class Centre(nn.Module):
    """The map's value at a region's centre, spread over it by learnt weights."""

    def __init__(self, channels: int, size: int = 3) -> None:
        super().__init__()
        self.size = size
        self.weights = nn.Parameter(torch.ones(channels, size, size))

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        assert embedding is None
        level, stride = pyramid.levels[0], pyramid.strides[0]
        middle = (rois[:, 1:3] + rois[:, 3:5]) / 2 / stride
        x = middle[:, 0].long().clamp(0, level.shape[-1] - 1)
        y = middle[:, 1].long().clamp(0, level.shape[-2] - 1)
        return Pooled(
            level[rois[:, 0].long(), :, y, x][:, :, None, None] * self.weights, rois[:, 1:]
        )


class Drifting(nn.Module):
    """Regions moved by what the shared layer of shift networks says."""

    shifts = True

    def __init__(self, channels: int, size: int = 5, hidden: int = 24) -> None:
        super().__init__()
        self.size = size
        self.hidden = hidden
        self.move = nn.Linear(hidden, 2)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        assert embedding is not None
        sides = rois[:, 3:5] - rois[:, 1:3]
        shift = 0.1 * self.move(embedding).tanh() * sides
        boxes = rois[:, 1:] + torch.cat((shift, shift), dim=1)
        moved = torch.cat((rois[:, :1], boxes.detach()), dim=1)
        return Pooled(pyramid.align(moved, self.size), boxes)


class Overlapping:
    """Every proposal teaches: the object it overlaps most, above a threshold."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def at(self, positive: float) -> Overlapping:
        return Overlapping(positive)

    def sample(self, boxes: Tensor, valid: Tensor, targets: Targets) -> Rois:
        matched = torch.full_like(valid, BACKGROUND, dtype=torch.int64)
        if targets.boxes.shape[1] and boxes.shape[1]:
            iou = pairwise_iou(targets.boxes, boxes).masked_fill(~targets.valid[..., None], -1.0)
            best, index = iou.max(dim=1)
            matched = torch.where(best >= self.threshold, index, matched)
        matched = matched.masked_fill(~valid, IGNORE)
        count = valid.sum().clamp(min=1)
        return Rois(boxes, valid, matched, torch.zeros_like(valid), count)


class Proposals:
    nms = 0.8
    train_count = 20
    test_count = 30

    def __init__(self, threshold: float = 0.3) -> None:
        self.sampler = Overlapping(threshold)


class Head(nn.Module):
    def __init__(self, inputs: int, size: int, width: int = 16) -> None:
        super().__init__()
        self.channels = width
        self.layer = nn.Linear(inputs * size * size, width)

    def forward(self, regions: Tensor) -> Tensor:
        return self.layer(regions.flatten(1)).relu()
