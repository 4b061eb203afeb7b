"""The third output: how well a box is placed, whatever its class."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.boxes import centerness, side_distances
from detbench.stages.assignment.assignment import Assigned, Normaliser
from detbench.stages.outputs import Outputs


class Centerness(nn.Module):
    """Binary cross-entropy on the centre-ness of a positive's point (FCOS, eq. 3).

    Args:
        weight: of the loss.
        normaliser: what the sum over positives is divided by.
    """

    def __init__(self, weight: float, normaliser: Normaliser | None = None) -> None:
        super().__init__()
        self.weight, self.normaliser = weight, normaliser

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        target = centerness(side_distances(outputs.candidates.points, assigned.boxes))
        return {"quality": self.weight * _loss(outputs, target, assigned, self.normaliser)}


class Iou(nn.Module):
    """Binary cross-entropy on the IoU of a positive's predicted box with its object.

    The target is of the present prediction and has no gradient (ATSS with IoU, DDOD's baseline).

    Args:
        weight: of the loss.
        normaliser: what the sum over positives is divided by.
    """

    def __init__(self, weight: float, normaliser: Normaliser | None = None) -> None:
        super().__init__()
        self.weight, self.normaliser = weight, normaliser

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        return {"quality": self.weight * _loss(outputs, assigned.iou, assigned, self.normaliser)}


def _loss(
    outputs: Outputs, target: Tensor, assigned: Assigned, normaliser: Normaliser | None
) -> Tensor:
    """Cross-entropy of positives' third output with (B, N) targets, a scalar."""
    logits = outputs.extras["quality"].float()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (entropy * assigned.positive_weights).sum() / assigned.normaliser(normaliser)
