"""Plain RoIAlign."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.stages.sampling.regions import Pooled, RoiPyramid


class Align(nn.Module):
    """RoIAlign on proposals, optionally enlarged; boxes stay the proposals.

    Args:
        size: side of the pooled map.
        scale: enlargement about the centre (1.3 in Double-Head's code).
        samples, aligned: see ``ops.roi_pooling.align``.
    """

    shifts = False

    def __init__(
        self, size: int = 7, scale: float = 1.0, samples: int = 0, aligned: bool = True
    ) -> None:
        super().__init__()
        self.size = size
        self.scale = scale
        self.samples = samples
        self.aligned = aligned

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        read = pyramid.align(rois, self.size, self.scale, self.samples, self.aligned)
        return Pooled(read, rois[:, 1:])
