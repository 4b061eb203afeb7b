"""Classification losses of dense detectors, on sigmoid scores.

Each is the loss of all (candidate, class) pairs as background, corrected at the class of each
positive, so that no (B, N, C) target is made.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detbench.stages.assignment.assignment import Assigned, Normaliser
from detbench.stages.outputs import Outputs


class Focal(nn.Module):
    """Focal loss (RetinaNet, eq. 5): a sum over candidates and classes, normalised.

    Args:
        alpha: weight of the positive class; 1 - alpha of the negative.
        gamma: exponent of the modulating factor.
        weight: of the loss.
        normaliser: what it is divided by; None takes the assigner's.
    """

    def __init__(
        self,
        alpha: float,
        gamma: float,
        weight: float,
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__()
        self.alpha, self.gamma, self.weight, self.normaliser = alpha, gamma, weight, normaliser

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        logits = outputs.logits.float()
        background = (1 - self.alpha) * _background(logits, self.gamma)
        loss = (background.sum(dim=-1) * assigned.weights).sum()
        at = logits.gather(-1, assigned.labels[..., None])[..., 0]
        foreground = self.alpha * (-at).sigmoid().pow(self.gamma) * F.softplus(-at)
        correction = foreground - (1 - self.alpha) * _background(at, self.gamma)
        loss = loss + (correction * assigned.positive_weights).sum()
        return {"cls": self.weight * loss / assigned.normaliser(self.normaliser)}


class QualityFocal(nn.Module):
    """Quality focal loss (GFL, eq. 4), summed and normalised as ``Focal``.

    A positive's target is its assignment's, or else its predicted box's IoU with the object.

    Args:
        beta: exponent of the modulating factor.
        weight: of the loss.
        normaliser: what it is divided by.
    """

    def __init__(self, beta: float, weight: float, normaliser: Normaliser | None = None) -> None:
        super().__init__()
        self.beta, self.weight, self.normaliser = beta, weight, normaliser

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        logits, target = outputs.logits.float(), assigned.assignment.target
        target = assigned.iou if target is None else target
        loss = (_background(logits, self.beta).sum(dim=-1) * assigned.weights).sum()
        at = logits.gather(-1, assigned.labels[..., None])[..., 0]
        entropy = F.binary_cross_entropy_with_logits(at, target, reduction="none")
        foreground = (target - at.sigmoid()).abs().pow(self.beta) * entropy
        correction = foreground - _background(at, self.beta)
        loss = loss + (correction * assigned.positive_weights).sum()
        return {"cls": self.weight * loss / assigned.normaliser(self.normaliser)}


def _background(logits: Tensor, exponent: float) -> Tensor:
    """Cross-entropy against 0, modulated by the score."""
    return logits.sigmoid().pow(exponent) * F.softplus(logits)
