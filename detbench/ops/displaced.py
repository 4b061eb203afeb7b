"""Maps read at displaced places."""

from __future__ import annotations

from torch import Tensor

from detbench.ops.deformable import deform_conv2d


def displaced(maps: Tensor, offsets: Tensor) -> Tensor:
    """Each channel of a map read where its own displacement says, bilinearly, zero outside.

    Args:
        maps: (B, C, H, W).
        offsets: (B, 2 C, H, W), in cells: of each channel down, then right.

    Returns:
        (B, C, H, W); gradients reach both.
    """
    weight = maps.new_ones(maps.shape[1], 1, 1, 1)
    return deform_conv2d(maps.contiguous(), offsets.contiguous(), weight)
