"""Box codes: what the localisation branch predicts, and how it becomes a box.

A code is an object with ``dims`` (numbers per candidate) and ``decode(code, boxes, strides)``:
predictions (..., N, dims) against candidates (N, 4) of ``strides`` (N,) give xyxy (..., N, 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detbench.ops.constant import constant

LARGEST_LOG_RATIO = abs(math.log(16 / 1000))


@dataclass(frozen=True)
class Delta:
    """(dx, dy, dw, dh) against a box, each divided by ``stds`` (R-CNN, appendix C)."""

    stds: tuple[float, float, float, float]

    @property
    def dims(self) -> int:
        return 4

    def decode(self, code: Tensor, boxes: Tensor, strides: Tensor | None = None) -> Tensor:
        """(..., N, 4) codes and (..., N, 4) reference boxes to xyxy; growth is limited to 62.5."""
        shift, growth = (code * constant(self.stds, code.device, code.dtype)).split(2, dim=-1)
        size = boxes[..., 2:] - boxes[..., :2]
        center = (boxes[..., :2] + boxes[..., 2:]) / 2 + shift * size
        half = size * growth.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp() / 2
        return torch.cat((center - half, center + half), dim=-1)

    def encode(self, targets: Tensor, boxes: Tensor, strides: Tensor | None = None) -> Tensor:
        """Inverse of ``decode``; both boxes must have positive sides."""
        size = boxes[..., 2:] - boxes[..., :2]
        goal = targets[..., 2:] - targets[..., :2]
        center = (boxes[..., :2] + boxes[..., 2:]) / 2
        shift = ((targets[..., :2] + targets[..., 2:]) / 2 - center) / size
        stds = constant(self.stds, targets.device, targets.dtype)
        return torch.cat((shift, (goal / size).log()), dim=-1) / stds


@dataclass(frozen=True)
class Distance:
    """Distances to the four sides (FCOS, eq. 1): in strides, as they are (``none``) or not negative
    (``relu``), or logarithms of pixels (``exp``)."""

    activation: str

    @property
    def dims(self) -> int:
        return 4

    def decode(self, code: Tensor, boxes: Tensor, strides: Tensor) -> Tensor:
        if self.activation == "exp":
            return _from_distances(code.exp(), boxes)
        distances = code if self.activation == "none" else code.clamp(min=0)
        return _from_distances(distances * strides[..., None], boxes)


@dataclass(frozen=True)
class Distribution:
    """Each distance as the mean of a softmax over 0..bins strides (GFL, eq. 3)."""

    bins: int

    @property
    def dims(self) -> int:
        return 4 * (self.bins + 1)

    def decode(self, code: Tensor, boxes: Tensor, strides: Tensor) -> Tensor:
        shaped = code.reshape(*code.shape[:-1], 4, self.bins + 1)
        values = torch.arange(self.bins + 1, device=code.device, dtype=code.dtype)
        distances = shaped.softmax(dim=-1) @ values
        return _from_distances(distances * strides[..., None], boxes)

    def loss(self, code: Tensor, distances: Tensor) -> Tensor:
        """Distribution focal loss, mean over the four sides (GFL, eq. 6).

        Args:
            code: (..., dims) logits.
            distances: (..., 4) target distances in strides.

        Returns:
            (...), not negative.
        """
        logits = code.reshape(*distances.shape, self.bins + 1).log_softmax(dim=-1)
        target = distances.clamp(min=0, max=self.bins - 0.1)
        lower = target.floor()
        index = lower.long()[..., None]
        below = -logits.gather(-1, index)[..., 0] * (lower + 1 - target)
        above = -logits.gather(-1, index + 1)[..., 0] * (target - lower)
        return (below + above).mean(dim=-1)


def _from_distances(distances: Tensor, boxes: Tensor) -> Tensor:
    points = (boxes[..., :2] + boxes[..., 2:]) / 2
    return torch.cat((points - distances[..., :2], points + distances[..., 2:]), dim=-1)


BoxCode = Delta | Distance | Distribution


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """Element-wise smooth L1; ``beta`` 0 is plain L1."""
    return F.smooth_l1_loss(prediction, target, beta=beta, reduction="none")
