"""Localisation losses of dense detectors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from detbench.ops.boxes import centerness, ciou_loss, diou_loss, giou_loss, side_distances
from detbench.ops.coding import Delta, Distribution, smooth_l1
from detbench.ops.constant import constant
from detbench.sharding import normaliser as shared
from detbench.stages.assignment.assignment import Assigned, Normaliser
from detbench.stages.outputs import Outputs


class L1(nn.Module):
    """(Smooth) L1 on the box code, summed over coordinates and positives, normalised.

    Args:
        beta: 0 is L1 (RetinaNet in MMDetection), more is smooth L1.
        weight: of the loss.
        normaliser: what it is divided by.
    """

    def __init__(self, beta: float, weight: float, normaliser: Normaliser | None = None) -> None:
        super().__init__()
        self.beta, self.weight, self.normaliser = beta, weight, normaliser

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        if not isinstance(outputs.box_code, Delta):
            raise ValueError("the L1 loss needs the box code 'delta'")
        anchors = outputs.candidates.boxes.expand_as(assigned.boxes)
        boxes = torch.where(assigned.positive[..., None], assigned.boxes, anchors)
        target = outputs.box_code.encode(boxes, anchors)
        loss = smooth_l1(outputs.code.float(), target, self.beta).sum(dim=-1)
        total = (loss * assigned.positive_weights).sum()
        return {"loc": self.weight * total / assigned.normaliser(self.normaliser)}


class Overlap(nn.Module):
    """A loss on how decoded boxes overlap their objects, a weighted mean over positives.

    Args:
        weighting: each positive counts by its target's centre-ness (FCOS), by its detached class
            score (GFL, eq. 6), by its predicted box's IoU (PAA), by its soft target, or centre-ness
            while there is none (TOOD), or as 1.
        weight: of the loss.
        distribution_weight: of the distribution focal loss, with the same weighting.
        least: lower bound on the sum of weights as a divisor.
        normaliser: what the sum over positives is divided by; None is the sum of their weights if
            there is a weighting, else the assigner's.
        on: whether the class score is its probability or the score that ranks.
    """

    def __init__(
        self,
        weighting: Literal["centerness", "score", "iou", "target", "none"],
        weight: float,
        distribution_weight: float,
        least: float,
        on: Literal["class", "score"],
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__()
        self.weighting, self.least, self.on = weighting, least, on
        self.normaliser = normaliser or (None if weighting == "none" else "weights")
        self.weight, self.distribution_weight = weight, distribution_weight

    def measure(self, boxes: Tensor, objects: Tensor) -> Tensor:
        """The loss of corresponding boxes, (..., 4) xyxy each, to (...)."""
        raise NotImplementedError

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        positive = assigned.positive[..., None]
        anywhere = constant([0.0, 0.0, 1.0, 1.0], assigned.boxes.device)
        boxes = torch.where(positive, assigned.boxes, anywhere)
        decoded = torch.where(positive, outputs.boxes.float(), anywhere)
        shares = self._shares(outputs, assigned)
        weights = assigned.levelled(shares)
        kind = self.normaliser or assigned.usual
        weighed = kind == "weights"
        total = shared(shares.sum(), self.least) if weighed else assigned.normaliser(kind)
        loss = (self.measure(decoded, boxes) * weights).sum() / total
        losses = {"loc": self.weight * loss}
        if self.distribution_weight:
            if not isinstance(outputs.box_code, Distribution):
                raise ValueError("distribution_weight needs the box code 'distribution'")
            distances = side_distances(outputs.candidates.points, boxes)
            distances = distances / outputs.candidates.strides[:, None]
            focal = outputs.box_code.loss(outputs.code.float(), distances)
            losses["distribution"] = self.distribution_weight * (focal * weights).sum() / total
        return losses

    def _shares(self, outputs: Outputs, assigned: Assigned) -> Tensor:
        """(B, N), what each positive counts; 0 elsewhere."""
        shares, target = assigned.positive_shares, assigned.assignment.target
        if self.weighting == "score":
            read = outputs.detached
            scores = read.probabilities if self.on == "class" else read.scores
            return scores.amax(dim=-1) * shares
        if self.weighting == "iou":
            return assigned.iou * shares
        if self.weighting == "target" and target is not None:
            return target * shares
        if self.weighting != "none":
            return centerness(side_distances(outputs.candidates.points, assigned.boxes)) * shares
        return shares.float()


class Giou(Overlap):
    """Generalised IoU loss (Rezatofighi et al. 2019)."""

    def measure(self, boxes: Tensor, objects: Tensor) -> Tensor:
        return giou_loss(boxes, objects)


class Diou(Overlap):
    """Distance IoU loss (Zheng et al. 2020)."""

    def measure(self, boxes: Tensor, objects: Tensor) -> Tensor:
        return diou_loss(boxes, objects)


class Ciou(Overlap):
    """Complete IoU loss (Zheng et al. 2020)."""

    def measure(self, boxes: Tensor, objects: Tensor) -> Tensor:
        return ciou_loss(boxes, objects)
