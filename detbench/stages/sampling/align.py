"""Plain RoIAlign."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.stages.sampling.regions import Pooled, RoiPyramid


class Align(nn.Module):
    """RoIAlign on proposals, optionally enlarged; boxes stay the proposals.

    Args:
        size: side of the pooled map.
        scale: enlargement about the centre (1.3 in Double-Head's code).
        samples, aligned, last_pixel: see ``ops.roi_pooling.align``.
    """

    shifts = False

    def __init__(
        self,
        size: int,
        scale: float,
        samples: int = 0,
        aligned: bool = True,
        last_pixel: bool = False,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale = scale
        self.samples = samples
        self.aligned = aligned
        self.last_pixel = last_pixel

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        how = (self.size, self.scale, self.samples, self.aligned, self.last_pixel)
        read = pyramid.align(rois, *how)
        return Pooled(read, rois[:, 1:])
