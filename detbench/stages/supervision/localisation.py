"""Localisation losses of dense detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from detbench.ops.boxes import centerness, side_distances
from detbench.ops.candidates import Candidates
from detbench.ops.coding import BoxCode, Delta, Distribution, smooth_l1
from detbench.sharing import normaliser
from detbench.stages.assignment.assignment import Assignment


@dataclass(frozen=True)
class LocInputs:
    """What a localisation loss may read.

    Attributes:
        code: how predictions become boxes.
        prediction: (B, N, dims), raw.
        decoded: (B, N, 4), xyxy.
        boxes: (B, N, 4), each positive's object; arbitrary elsewhere.
        scores: (B, N), detached highest class score.
        candidates: of the batch.
        assignment: of the loc task.
    """

    code: BoxCode
    prediction: Tensor
    decoded: Tensor
    boxes: Tensor
    scores: Tensor
    candidates: Candidates
    assignment: Assignment


@dataclass(frozen=True)
class L1:
    """(Smooth) L1 on the box code, summed over coordinates, divided by the normaliser.

    Attributes:
        beta: 0 is L1 (RetinaNet in MMDetection), more is smooth L1.
        weight: of the loss.
    """

    beta: float = 0.0
    weight: float = 1.0

    def __call__(self, inputs: LocInputs) -> dict[str, Tensor]:
        if not isinstance(inputs.code, Delta):
            raise ValueError("the L1 loss needs the box code 'delta'")
        positive = inputs.assignment.positive
        anchors = inputs.candidates.boxes.expand_as(inputs.boxes)
        boxes = torch.where(positive[..., None], inputs.boxes, anchors)
        target = inputs.code.encode(boxes, anchors)
        loss = smooth_l1(inputs.prediction.float(), target, self.beta).sum(dim=-1)
        return {"loc": self.weight * (loss * positive).sum() / inputs.assignment.normaliser}


@dataclass(frozen=True)
class Giou:
    """Generalised IoU loss on decoded boxes, a weighted mean over positives.

    Attributes:
        weighting: each positive counts by its target's centre-ness (FCOS), by its detached class
            score (GFL, eq. 6), or as 1.
        weight: of the loss.
        distribution_weight: of the distribution focal loss, with the same weighting.
        least: the sum of weights is taken to be at least this.
    """

    weighting: Literal["centerness", "score", "none"] = "none"
    weight: float = 1.0
    distribution_weight: float = 0.0
    least: float = 1.0

    def __call__(self, inputs: LocInputs) -> dict[str, Tensor]:
        positive = inputs.assignment.positive
        anywhere = torch.tensor([0.0, 0.0, 1.0, 1.0], device=inputs.boxes.device)
        boxes = torch.where(positive[..., None], inputs.boxes, anywhere)
        decoded = torch.where(positive[..., None], inputs.decoded.float(), anywhere)
        weights = self._weights(inputs) * positive
        if self.weighting == "none":
            total = inputs.assignment.normaliser
        else:
            total = normaliser(weights.sum(), self.least)
        loss = (generalized_box_iou_loss(decoded, boxes, reduction="none") * weights).sum() / total
        losses = {"loc": self.weight * loss}
        if self.distribution_weight:
            if not isinstance(inputs.code, Distribution):
                raise ValueError("distribution_weight needs the box code 'distribution'")
            distances = side_distances(inputs.candidates.points, boxes)
            distances = distances / inputs.candidates.strides[:, None]
            focal = inputs.code.loss(inputs.prediction.float(), distances)
            losses["distribution"] = self.distribution_weight * (focal * weights).sum() / total
        return losses

    def _weights(self, inputs: LocInputs) -> Tensor:
        if self.weighting == "centerness":
            return centerness(side_distances(inputs.candidates.points, inputs.boxes))
        if self.weighting == "score":
            return inputs.scores
        return torch.ones_like(inputs.scores)
