"""The third output: how well a box is placed, whatever its class."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.boxes import centerness, side_distances
from detbench.stages.assignment.assignment import Assigned, Normaliser
from detbench.stages.outputs import Outputs


class Quality(nn.Module):
    """Binary cross-entropy of positives' third output with what each should be.

    Args:
        weight: of the loss.
        normaliser: what the sum over positives is divided by.
    """

    def __init__(self, weight: float, normaliser: Normaliser | None = None) -> None:
        super().__init__()
        self.weight, self.normaliser = weight, normaliser

    def wanted(self, outputs: Outputs, assigned: Assigned) -> Tensor:
        """(B, N), in [0, 1]; arbitrary where there is no positive."""
        raise NotImplementedError

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        logits = outputs.extras["quality"].float()
        target = self.wanted(outputs, assigned)
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        total = (entropy * assigned.positive_weights).sum()
        return {"quality": self.weight * total / assigned.normaliser(self.normaliser)}


class Centerness(Quality):
    """On the centre-ness of a positive's point (FCOS, eq. 3)."""

    def wanted(self, outputs: Outputs, assigned: Assigned) -> Tensor:
        return centerness(side_distances(outputs.candidates.points, assigned.boxes))


class Iou(Quality):
    """On the IoU of a positive's predicted box with its object: of the present prediction, without
    gradient (ATSS with IoU, DDOD's baseline).
    """

    def wanted(self, outputs: Outputs, assigned: Assigned) -> Tensor:
        return assigned.iou
