"""The result of an assignment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detbench.sharing import normaliser
from detbench.structures import Targets

BACKGROUND = -1
IGNORE = -2


@dataclass(frozen=True)
class Assignment:
    """What each candidate of each image is taught.

    Attributes:
        matched: (B, N), int64: index of the object, or ``BACKGROUND``, or ``IGNORE``.
        normaliser: scalar tensor: the number of positives that losses are divided by, at least 1
            (over several processes see ``detbench.sharing.normaliser``).
    """

    matched: Tensor
    normaliser: Tensor

    @property
    def positive(self) -> Tensor:
        """(B, N), bool."""
        return self.matched >= 0

    def boxes(self, targets: Targets) -> Tensor:
        """(B, N, 4): each positive's object; the first object, or zeros, elsewhere."""
        if targets.boxes.shape[1] == 0:
            return targets.boxes.new_zeros(*self.matched.shape, 4)
        index = self.matched.clamp(min=0)[..., None].expand(-1, -1, 4)
        return targets.boxes.gather(1, index)

    def labels(self, targets: Targets) -> Tensor:
        """(B, N), int64: each positive's class; arbitrary elsewhere."""
        if targets.labels.shape[1] == 0:
            return torch.zeros_like(self.matched)
        return targets.labels.gather(1, self.matched.clamp(min=0))


def per_image(positive: Tensor) -> Tensor:
    """Positives of a batch, each image counted as one at least (MMDetection's anchor heads)."""
    return normaliser(positive.sum(dim=1).clamp(min=1).sum()).float()


def per_batch(positive: Tensor) -> Tensor:
    """Positives of a batch, at least one in all (FCOS)."""
    return normaliser(positive.sum()).float()
