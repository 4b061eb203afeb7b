"""What RoI sampling reads and gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RoiPyramid:
    """The maps that regions are pooled from.

    Attributes:
        levels: (B, C, H_l, W_l), fine to coarse.
        strides: of each.
    """

    levels: list[Tensor]
    strides: list[int]


@dataclass(frozen=True)
class Pooled:
    """Features of regions.

    Attributes:
        features: (K, C, s, s).
        boxes: (K, 4), xyxy: what predicted deltas are relative to; a shifted proposal where the
            option shifts it, with gradient.
    """

    features: Tensor
    boxes: Tensor
