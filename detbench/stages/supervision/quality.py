"""The third output: how good a box is, apart from what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from detbench.ops.boxes import centerness, side_distances
from detbench.stages.supervision.localisation import LocInputs


@dataclass(frozen=True)
class Centerness:
    """Binary cross-entropy on the centre-ness of a positive's place (FCOS, eq. 3).

    Attributes:
        task: whose tower predicts it.
        weight: of the loss.
    """

    task: Literal["cls", "loc"] = "loc"
    weight: float = 1.0

    def __call__(self, logits: Tensor, inputs: LocInputs) -> Tensor:
        """(B, N) logits to a mean over positives."""
        target = centerness(side_distances(inputs.candidates.points, inputs.boxes))
        entropy = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
        total = (entropy * inputs.assignment.positive).sum()
        return self.weight * total / inputs.assignment.normaliser
