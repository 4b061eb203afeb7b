"""Classification losses of dense detectors, on class probabilities or on scores.

Each is the loss of all (candidate, class) pairs as background, corrected at the class of each
positive, so that no (B, N, C) target is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops import focal
from detbench.stages.assignment.assignment import Assigned, Normaliser
from detbench.stages.outputs import Outputs

On = Literal["class", "score"]
Term = Callable[[Tensor, float], Tensor]


class Focal(nn.Module):
    """Focal loss (RetinaNet, eq. 5): a sum over candidates and classes, normalised.

    Args:
        alpha: weight of the positive class; 1 - alpha of the negative.
        gamma: exponent of the modulating factor.
        weight: of the loss.
        normaliser: what it is divided by; None takes the assigner's.
        on: the ``class`` alone, or the ``score`` that ranks (DeFCN).
    """

    def __init__(
        self,
        alpha: float,
        gamma: float,
        weight: float,
        on: On,
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__()
        self.alpha, self.gamma, self.weight, self.normaliser = alpha, gamma, weight, normaliser
        self.on = on

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        values, background, foreground = _terms(outputs, self.on)
        negative = (1 - self.alpha) * background(values, self.gamma)
        loss = (negative.sum(dim=-1) * assigned.weights).sum()
        at = values.gather(-1, assigned.labels[..., None])[..., 0]
        positive = self.alpha * foreground(at, self.gamma)
        correction = positive - (1 - self.alpha) * background(at, self.gamma)
        loss = loss + (correction * assigned.positive_weights).sum()
        return {"cls": self.weight * loss / assigned.normaliser(self.normaliser)}


class QualityFocal(nn.Module):
    """Quality focal loss (GFL, eq. 4), summed and normalised as ``Focal``.

    A positive's target is its assignment's, or else its predicted box's IoU with the object.

    Args:
        beta: exponent of the modulating factor.
        weight: of the loss.
        normaliser: what it is divided by.
        on: as of ``Focal``.
    """

    def __init__(
        self,
        beta: float,
        weight: float,
        on: On,
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__()
        self.beta, self.weight, self.normaliser, self.on = beta, weight, normaliser, on

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        values, background, _ = _terms(outputs, self.on)
        target = assigned.assignment.target
        target = assigned.iou if target is None else target
        loss = (background(values, self.beta).sum(dim=-1) * assigned.weights).sum()
        at = values.gather(-1, assigned.labels[..., None])[..., 0]
        probability = at.sigmoid() if self.on == "class" else at
        foreground = (target - probability).abs().pow(self.beta) * self._entropy(at, target)
        correction = foreground - background(at, self.beta)
        loss = loss + (correction * assigned.positive_weights).sum()
        return {"cls": self.weight * loss / assigned.normaliser(self.normaliser)}

    def _entropy(self, values: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of logits or scores against targets in [0, 1]."""
        if self.on == "class":
            return F.binary_cross_entropy_with_logits(values, target, reduction="none")
        certain = focal.foreground_of(values, 0.0), focal.background_of(values, 0.0)
        return target * certain[0] + (1 - target) * certain[1]


class TaskAligned(nn.Module):
    """Focal loss while assignments have no soft targets, quality focal loss once they do (TOOD,
    eq. 6, and section 4.1 on the first epochs).

    Args:
        alpha: of the focal loss, see there.
        gamma: exponent of both modulating factors.
        weight, normaliser, on: as of ``Focal``.
    """

    def __init__(
        self,
        alpha: float,
        gamma: float,
        weight: float,
        on: On,
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__()
        self.hard = Focal(alpha, gamma, weight, on, normaliser)
        self.soft = QualityFocal(gamma, weight, on, normaliser)

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        loss = self.hard if assigned.assignment.target is None else self.soft
        found: dict[str, Tensor] = loss(outputs, assigned)
        return found


def _terms(outputs: Outputs, on: On) -> tuple[Tensor, Term, Term]:
    """Logits or scores of all pairs, (B, N, C), what they cost as background, as positive."""
    if on == "class":
        return outputs.logits.float(), focal.background, focal.foreground
    return outputs.scores, focal.background_of, focal.foreground_of
