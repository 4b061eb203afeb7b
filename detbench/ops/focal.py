"""The two terms of the focal loss (RetinaNet, eq. 5) without alpha, element by element."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-12
MOST = 1 - 1.2e-7
"""Bounds on probabilities: the latter is the largest float32 under 1, whose logarithm is finite."""


def background(values: Tensor, gamma: float, probable: bool = False) -> Tensor:
    """Cross-entropy against 0, modulated by the score.

    Args:
        values: (...), logits; or ``probable`` ones in [0, 1], as a product of several has no logit.

    Returns:
        (...), not negative.
    """
    if not probable:
        return values.sigmoid().pow(gamma) * F.softplus(values)
    bounded = values.clamp(LEAST, MOST)
    return -bounded.pow(gamma) * (-bounded).log1p()


def foreground(values: Tensor, gamma: float, probable: bool = False) -> Tensor:
    """Cross-entropy against 1, modulated by what is missing; see ``background``."""
    if not probable:
        return (-values).sigmoid().pow(gamma) * F.softplus(-values)
    bounded = values.clamp(LEAST, MOST)
    return -(1 - bounded).pow(gamma) * bounded.log()
