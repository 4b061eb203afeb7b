"""Classification losses of dense detectors, on sigmoid scores.

Each is the loss of all (candidate, class) pairs as background, corrected at the class of each
positive, so that no (B, N, C) target is made.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops import focal
from detbench.stages.assignment.assignment import Assigned, Normaliser
from detbench.stages.outputs import Outputs


class Focal(nn.Module):
    """Focal loss (RetinaNet, eq. 5): a sum over candidates and classes, normalised.

    Args:
        alpha: weight of the positive class; 1 - alpha of the negative.
        gamma: exponent of the modulating factor.
        weight: of the loss.
        on: the ``class`` alone, or the ``score`` that ranks (DeFCN).
        normaliser: what it is divided by; None takes the assigner's.
    """

    def __init__(
        self,
        alpha: float,
        gamma: float,
        weight: float,
        on: Literal["class", "score"],
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__()
        self.alpha, self.gamma, self.weight, self.on = alpha, gamma, weight, on
        self.normaliser = normaliser

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        probable = self.on == "score"
        values = outputs.scores if probable else outputs.logits.float()
        background = (1 - self.alpha) * focal.background(values, self.gamma, probable)
        loss = (background.sum(dim=-1) * assigned.weights).sum()
        at = values.gather(-1, assigned.labels[..., None])[..., 0]
        foreground = self.alpha * focal.foreground(at, self.gamma, probable)
        correction = foreground - (1 - self.alpha) * focal.background(at, self.gamma, probable)
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
        loss = (focal.background(logits, self.beta).sum(dim=-1) * assigned.weights).sum()
        at = logits.gather(-1, assigned.labels[..., None])[..., 0]
        entropy = F.binary_cross_entropy_with_logits(at, target, reduction="none")
        foreground = (target - at.sigmoid()).abs().pow(self.beta) * entropy
        correction = foreground - focal.background(at, self.beta)
        loss = loss + (correction * assigned.positive_weights).sum()
        return {"cls": self.weight * loss / assigned.normaliser(self.normaliser)}
