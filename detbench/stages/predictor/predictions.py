"""What a predictor makes, and what it must know of the detector around it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from detbench.pertask import PerTask


@dataclass(frozen=True)
class Predictions:
    """Raw outputs, one map per level on the pyramid's own grid.

    Attributes:
        cls: (B, A C, H_l, W_l) logits, A candidates per cell.
        loc: (B, A dims, H_l, W_l), in the box code.
        extras: (B, A, H_l, W_l) logits of each extra output, by name.
    """

    cls: list[Tensor]
    loc: list[Tensor]
    extras: dict[str, list[Tensor]]


@dataclass(frozen=True)
class PredictorShape:
    """What a predictor must know of the detector around it.

    Attributes:
        channels: of each task's tower.
        coarseness: of each task's features.
        classes, dims, per_cell: outputs of a candidate, and candidates of a cell.
        levels: of the pyramid.
    """

    channels: PerTask[int]
    coarseness: PerTask[int]
    classes: int
    dims: int
    per_cell: int
    levels: int
