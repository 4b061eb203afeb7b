"""Classification losses of dense detectors, on sigmoid scores.

Both are a loss of every (candidate, class) pair as background, corrected at each positive's class:
no (B, N, C) target is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from detbench.stages.assignment.assignment import IGNORE, Assignment


@dataclass(frozen=True)
class Focal:
    """Focal loss (RetinaNet, eq. 5).

    Attributes:
        alpha: weight of the positive class; 1 - alpha of the negative.
        gamma: exponent of the modulating factor.
        weight: of the loss.
    """

    alpha: float = 0.25
    gamma: float = 2.0
    weight: float = 1.0

    needs_quality = False

    def __call__(
        self, logits: Tensor, labels: Tensor, assignment: Assignment, quality: Tensor | None
    ) -> Tensor:
        """Sum over candidates and classes, divided by the assignment's normaliser.

        Args:
            logits: (B, N, C); labels: (B, N), read where the candidate is positive.
            quality: unused.
        """
        logits = logits.float()
        considered = assignment.matched != IGNORE
        background = (1 - self.alpha) * _background(logits, self.gamma)
        loss = (background.sum(dim=-1) * considered).sum()
        at = logits.gather(-1, labels[..., None])[..., 0]
        foreground = self.alpha * (-at).sigmoid().pow(self.gamma) * F.softplus(-at)
        correction = foreground - (1 - self.alpha) * _background(at, self.gamma)
        loss = loss + (correction * assignment.positive).sum()
        return self.weight * loss / assignment.normaliser


@dataclass(frozen=True)
class QualityFocal:
    """Quality focal loss (GFL, eq. 4): a positive's target is its predicted box's IoU.

    Attributes:
        beta: exponent of the modulating factor.
        weight: of the loss.
    """

    beta: float = 2.0
    weight: float = 1.0

    needs_quality = True

    def __call__(
        self, logits: Tensor, labels: Tensor, assignment: Assignment, quality: Tensor | None
    ) -> Tensor:
        """As ``Focal``; ``quality`` is (B, N), detached, in [0, 1], read at positives."""
        assert quality is not None
        logits = logits.float()
        considered = assignment.matched != IGNORE
        loss = (_background(logits, self.beta).sum(dim=-1) * considered).sum()
        at = logits.gather(-1, labels[..., None])[..., 0]
        entropy = F.binary_cross_entropy_with_logits(at, quality, reduction="none")
        foreground = (quality - at.sigmoid()).abs().pow(self.beta) * entropy
        correction = foreground - _background(at, self.beta)
        loss = loss + (correction * assignment.positive).sum()
        return self.weight * loss / assignment.normaliser


def _background(logits: Tensor, exponent: float) -> Tensor:
    """Cross-entropy against 0, modulated by the score."""
    return logits.sigmoid().pow(exponent) * F.softplus(logits)
