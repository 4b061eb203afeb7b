"""Plain RoIAlign."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.stages.sampling.regions import Pooled, RoiPyramid


class Align(nn.Module):
    """RoIAlign on proposals, optionally enlarged; boxes stay the proposals.

    Args:
        size: side of the pooled map.
        scale: enlargement about the centre (1.3 in Double-Head's code).
    """

    shifts = False

    def __init__(self, size: int = 7, scale: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.scale = scale

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        return Pooled(pyramid.align(rois, self.size, self.scale), rois[:, 1:])
