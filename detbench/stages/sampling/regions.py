"""Input and output of RoI sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from detbench.ops.roi_pooling import FINEST, Bins, ShiftedBins, align, deformable


class RoiPyramid:
    """The maps that regions are pooled from.

    Args:
        levels: (B, C, H_l, W_l), fine to coarse.
        strides: of each.
        finest: from this side in pixels RoIs are on the finest level, from twice that on the next.
    """

    def __init__(self, levels: list[Tensor], strides: list[int], finest: float = FINEST) -> None:
        self.levels = levels
        self.strides = strides
        self.finest = finest
        self._rois: Tensor | None = None
        self._pooled: dict[Bins, Tensor] = {}

    def align(self, rois: Tensor, bins: Bins | int) -> Tensor:
        """``ops.roi_pooling.align``, once for the same ``rois`` as in the call before.

        TSD's shift networks and its sibling read the same features.

        Args:
            bins: a number is the ``size`` of bins that are as usual.
        """
        if isinstance(bins, int):
            bins = Bins(bins, scale=1.0)
        if rois is not self._rois:
            self._rois, self._pooled = rois, {}
        if bins not in self._pooled:
            self._pooled[bins] = align(self.levels, self.strides, rois, bins, self.finest)
        return self._pooled[bins]

    def deformable(self, rois: Tensor, shares: Tensor, bins: ShiftedBins) -> Tensor:
        """``ops.roi_pooling.deformable``."""
        return deformable(self.levels, self.strides, rois, shares, bins, self.finest)


class Regions(NamedTuple):
    """Proposals and the maps that they are pooled from.

    Attributes:
        pyramid: the maps.
        rois: (K, 5), image index and xyxy.
    """

    pyramid: RoiPyramid
    rois: Tensor


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
