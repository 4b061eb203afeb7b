"""Plain RoIAlign."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.ops.roi_pooling import Bins
from detbench.stages.sampling.regions import Pooled, RoiPyramid


class Align(nn.Module):
    """RoIAlign on proposals, optionally enlarged; boxes stay the proposals.

    Args:
        bins: what is read of a proposal; its ``scale`` is 1.3 in Double-Head's code.
    """

    shifts = False

    def __init__(self, bins: Bins) -> None:
        super().__init__()
        self.size = bins.size
        self.bins = bins

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        return Pooled(pyramid.align(rois, self.bins), rois[:, 1:])
