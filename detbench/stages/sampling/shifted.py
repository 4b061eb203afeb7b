"""Task-aware sampling: proposals deformed or translated by a small network (TSD, section 2.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.roi_pooling import Bins, ShiftedBins
from detbench.stages.initial import LinearInit, linear
from detbench.stages.sampling.regions import Pooled, RoiPyramid


class Embedding(nn.Module):
    """First layer of the shift networks, shared by the tasks: a proposal's feature to a vector.

    Args:
        channels: of the maps.
        reads: what the plain feature is of a proposal.
        hidden: width of the vector.
        init: see ``stages.initial``.
    """

    def __init__(self, channels: int, reads: Bins, hidden: int, init: LinearInit) -> None:
        super().__init__()
        self.layer = linear(channels * reads.size**2, hidden, init)
        self.reads = reads

    def forward(self, pyramid: RoiPyramid, rois: Tensor) -> Tensor:
        """(K, hidden) of (K, 5) proposals."""
        return F.relu(self.layer(pyramid.align(rois, self.reads).flatten(1)))


def _shift_network(hidden: int, outputs: int, init: LinearInit) -> nn.Sequential:
    first, last = linear(hidden, hidden, init), linear(hidden, outputs, init)
    return nn.Sequential(first, nn.ReLU(), last)


class Pointwise(nn.Module):
    """Every bin of the region moves by its own learnt shift (TSD, eq. 5 and 6).

    Args:
        bins: what is read of a proposal.
        gamma: an output of 1 shifts by this share of the proposal's side.
        hidden: width of the embedding.
        init: of the shift network, see ``stages.initial``.
    """

    shifts = True

    def __init__(
        self, bins: ShiftedBins, gamma: float, hidden: int, init: LinearInit = "kaiming-normal"
    ) -> None:
        super().__init__()
        self.size = bins.size
        self.bins = bins
        self.gamma = gamma
        self.hidden = hidden
        self.network = _shift_network(hidden, 2 * bins.size**2, init)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor) -> Pooled:
        """Outputs are all x shifts, then all y shifts, as in TSD's code."""
        outputs = self.network(embedding).float().reshape(-1, 2, self.size, self.size)
        shares = self.gamma * outputs.permute(0, 2, 3, 1)
        features = pyramid.deformable(rois, shares, self.bins)
        return Pooled(features, rois[:, 1:])


class Translated(nn.Module):
    """The whole region moves by one learnt shift (TSD, eq. 3 and 4); so does its box.

    Args: as ``Pointwise``.
    """

    shifts = True

    def __init__(
        self, bins: ShiftedBins, gamma: float, hidden: int, init: LinearInit = "kaiming-normal"
    ) -> None:
        super().__init__()
        self.size = bins.size
        self.bins = bins
        self.gamma = gamma
        self.hidden = hidden
        self.network = _shift_network(hidden, 2, init)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor) -> Pooled:
        """The shift is along x, then y."""
        share = self.gamma * self.network(embedding).float()
        features = pyramid.deformable(rois, share[:, None, None], self.bins)
        shift = share * (rois[:, 3:5] - rois[:, 1:3])
        return Pooled(features, rois[:, 1:] + torch.cat((shift, shift), dim=1))
