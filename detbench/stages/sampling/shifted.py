"""Task-aware sampling: proposals deformed or translated by a small network (TSD, section 2.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.roi_pooling import Pooling, deformable
from detbench.stages.initial import LinearInit, linear
from detbench.stages.sampling.regions import Pooled, RoiPyramid


class Embedding(nn.Module):
    """First layer of the shift networks, shared by the tasks: pooled features to a vector.

    Args:
        inputs: values of a pooled feature, C s s.
        hidden: of the result.
        init: see ``stages.initial``.
    """

    def __init__(self, inputs: int, hidden: int = 256, init: LinearInit = "kaiming-normal") -> None:
        super().__init__()
        self.layer = linear(inputs, hidden, init)

    def forward(self, features: Tensor) -> Tensor:
        """(K, C, s, s) to (K, hidden)."""
        return F.relu(self.layer(features.flatten(1)))


def _shift_network(hidden: int, outputs: int, init: LinearInit) -> nn.Sequential:
    first, last = linear(hidden, hidden, init), linear(hidden, outputs, init)
    return nn.Sequential(first, nn.ReLU(), last)


class Pointwise(nn.Module):
    """Every bin of the region moves by its own learnt shift (TSD, eq. 5 and 6).

    Args:
        size: bins a side.
        gamma: share of the proposal's sides by which an output of 1 shifts.
        hidden: width of the embedding.
        pooling: see ``ops.roi_pooling.deformable``.
        init: of the shift network, see ``stages.initial``.
    """

    shifts = True

    def __init__(
        self,
        size: int = 7,
        gamma: float = 0.1,
        hidden: int = 256,
        pooling: Pooling = "aligned",
        init: LinearInit = "kaiming-normal",
    ) -> None:
        super().__init__()
        self.size = size
        self.gamma = gamma
        self.hidden = hidden
        self.pooling = pooling
        self.network = _shift_network(hidden, 2 * size * size, init)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        """Outputs are all x shifts, then all y shifts, as in TSD's code."""
        assert embedding is not None
        outputs = self.network(embedding).float().reshape(-1, 2, self.size, self.size)
        shares = self.gamma * outputs.permute(0, 2, 3, 1)
        levels, strides = pyramid.levels, pyramid.strides
        features = deformable(
            levels, strides, rois, shares, self.size, self.pooling, finest=pyramid.finest
        )
        return Pooled(features, rois[:, 1:])


class Translated(nn.Module):
    """The whole region moves by one learnt shift (TSD, eq. 3 and 4); so does its box.

    Args: as ``Pointwise``.
    """

    shifts = True

    def __init__(
        self,
        size: int = 7,
        gamma: float = 0.1,
        hidden: int = 256,
        pooling: Pooling = "aligned",
        init: LinearInit = "kaiming-normal",
    ) -> None:
        super().__init__()
        self.size = size
        self.gamma = gamma
        self.hidden = hidden
        self.pooling = pooling
        self.network = _shift_network(hidden, 2, init)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        assert embedding is not None
        share = self.gamma * self.network(embedding).float()
        levels, strides, size = pyramid.levels, pyramid.strides, self.size
        features = deformable(
            levels, strides, rois, share[:, None, None], size, self.pooling, finest=pyramid.finest
        )
        shift = share * (rois[:, 3:5] - rois[:, 1:3])
        return Pooled(features, rois[:, 1:] + torch.cat((shift, shift), dim=1))


def _pooled(
    sampling: Pointwise | Translated, pyramid: RoiPyramid, rois: Tensor, shares: Tensor
) -> Tensor:
    return deformable(
        pyramid.levels,
        pyramid.strides,
        rois,
        shares,
        sampling.size,
        sampling.pooling,
        finest=pyramid.finest,
    )
