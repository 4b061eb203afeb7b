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
BACKGROUND: dict[On, Term] = {"class": focal.background, "score": focal.background_of}
FOREGROUND: dict[On, Term] = {"class": focal.foreground, "score": focal.foreground_of}


class OfPairs(nn.Module):
    """A sum over the pairs of a candidate and a class, normalised.

    Args:
        weight: of the loss.
        on: the ``class`` alone, or the ``score`` that ranks (DeFCN).
        normaliser: what it is divided by; None takes the assigner's.
    """

    def __init__(self, weight: float, on: On, normaliser: Normaliser | None) -> None:
        super().__init__()
        self.weight, self.on, self.normaliser = weight, on, normaliser

    def background(self, values: Tensor) -> Tensor:
        """Of logits, or scores, (...) to (...): the loss of pairs that are background."""
        raise NotImplementedError

    def foreground(self, values: Tensor, assigned: Assigned) -> Tensor:
        """(B, N) logits, or scores, of each positive's class to its loss; arbitrary elsewhere."""
        raise NotImplementedError

    def forward(self, outputs: Outputs, assigned: Assigned) -> dict[str, Tensor]:
        values = outputs.logits.float() if self.on == "class" else outputs.scores
        loss = (self.background(values).sum(dim=-1) * assigned.weights).sum()
        at = values.gather(-1, assigned.labels[..., None])[..., 0]
        correction = self.foreground(at, assigned) - self.background(at)
        loss = loss + (correction * assigned.positive_weights).sum()
        return {"cls": self.weight * loss / assigned.normaliser(self.normaliser)}


class Focal(OfPairs):
    """Focal loss (RetinaNet, eq. 5).

    Args:
        alpha: weight of the positive class; 1 - alpha of the negative.
        gamma: exponent of the modulating factor.
        weight, on, normaliser: as of ``OfPairs``.
    """

    def __init__(
        self,
        alpha: float,
        gamma: float,
        weight: float,
        on: On,
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__(weight, on, normaliser)
        self.alpha, self.gamma = alpha, gamma

    def background(self, values: Tensor) -> Tensor:
        return (1 - self.alpha) * BACKGROUND[self.on](values, self.gamma)

    def foreground(self, values: Tensor, assigned: Assigned) -> Tensor:
        return self.alpha * FOREGROUND[self.on](values, self.gamma)


class QualityFocal(OfPairs):
    """Quality focal loss (GFL, eq. 4).

    A positive's target is its assignment's, or else its predicted box's IoU with the object.

    Args:
        beta: exponent of the modulating factor.
        weight, on, normaliser: as of ``OfPairs``.
    """

    def __init__(
        self,
        beta: float,
        weight: float,
        on: On,
        normaliser: Normaliser | None = None,
    ) -> None:
        super().__init__(weight, on, normaliser)
        self.beta = beta

    def background(self, values: Tensor) -> Tensor:
        return BACKGROUND[self.on](values, self.beta)

    def foreground(self, values: Tensor, assigned: Assigned) -> Tensor:
        target = assigned.assignment.target
        target = assigned.iou if target is None else target
        probability = values.sigmoid() if self.on == "class" else values
        return (target - probability).abs().pow(self.beta) * self._entropy(values, target)

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
