"""What RoI sampling reads and gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from detbench.ops.roi_pooling import FINEST, align

Settings = tuple[int, float, int, bool, bool]


@dataclass(frozen=True)
class RoiPyramid:
    """The maps that regions are pooled from.

    Attributes:
        levels: (B, C, H_l, W_l), fine to coarse.
        strides: of each.
        finest: side in pixels from which RoIs are on the finest level; of twice of it on the next.
    """

    levels: list[Tensor]
    strides: list[int]
    finest: float = FINEST
    _pooled: dict[tuple[int, *Settings], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def align(
        self,
        rois: Tensor,
        size: int,
        scale: float = 1.0,
        samples: int = 0,
        aligned: bool = True,
        last_pixel: bool = False,
    ) -> Tensor:
        """``ops.roi_pooling.align``; what a branch has pooled the others are given.

        TSD's shift networks and its sibling read the same features. They are kept with the
        ``rois`` they are of, whose identity could otherwise be another tensor's later.
        """
        settings: Settings = (size, scale, samples, aligned, last_pixel)
        key = (id(rois), *settings)
        if key not in self._pooled:
            pooled = align(self.levels, self.strides, rois, *settings, finest=self.finest)
            self._pooled[key] = rois, pooled
        return self._pooled[key][1]


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
