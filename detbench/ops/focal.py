"""The two terms of the focal loss (RetinaNet, eq. 5) without alpha, element by element.

``logits`` and ``probabilities`` (...) to (...), not negative.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-12
MOST = 1 - 1.2e-7
"""Bounds on probabilities: the latter is the largest float32 under 1, whose logarithm is finite."""


def background(logits: Tensor, gamma: float) -> Tensor:
    """Cross-entropy against 0, modulated by the score."""
    return logits.sigmoid().pow(gamma) * F.softplus(logits)


def foreground(logits: Tensor, gamma: float) -> Tensor:
    """Cross-entropy against 1, modulated by what is missing."""
    return (-logits).sigmoid().pow(gamma) * F.softplus(-logits)


def as_positive(logits: Tensor, alpha: float, gamma: float) -> Tensor:
    """What a pair costs more as a positive than as background, alpha included; may be negative."""
    return alpha * foreground(logits, gamma) - (1 - alpha) * background(logits, gamma)


def background_of(probabilities: Tensor, gamma: float) -> Tensor:
    """``background`` of probabilities in [0, 1], as a product of several has no logit."""
    bounded = probabilities.clamp(LEAST, MOST)
    return -bounded.pow(gamma) * (-bounded).log1p()


def foreground_of(probabilities: Tensor, gamma: float) -> Tensor:
    """``foreground`` of probabilities in [0, 1]."""
    bounded = probabilities.clamp(LEAST, MOST)
    return -(1 - bounded).pow(gamma) * bounded.log()
