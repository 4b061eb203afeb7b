"""Task-aware sampling: proposals deformed or translated by a small network (TSD, section 2.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.roi_pooling import deformable
from detbench.stages.sampling.regions import Pooled, RoiPyramid


class Embedding(nn.Module):
    """First layer of the shift networks, shared by the tasks: pooled features to a vector.

    Args:
        inputs: values of a pooled feature, C s s.
        hidden: of the result.
    """

    def __init__(self, inputs: int, hidden: int = 256) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, hidden)
        nn.init.kaiming_uniform_(self.layer.weight, a=1)
        nn.init.zeros_(self.layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(K, C, s, s) to (K, hidden)."""
        return F.relu(self.layer(features.flatten(1)))


def _shift_network(hidden: int, outputs: int) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    for layer in (network[0], network[2]):
        assert isinstance(layer, nn.Linear)
        nn.init.kaiming_uniform_(layer.weight, a=1)
        nn.init.zeros_(layer.bias)
    return network


def _sides(rois: Tensor) -> Tensor:
    return rois[:, 3:5] - rois[:, 1:3]


class Pointwise(nn.Module):
    """Every bin of the region moves by its own learnt shift (TSD, eq. 5 and 6).

    Args:
        size: bins a side.
        gamma: share of the proposal's sides by which an output of 1 shifts.
        hidden: width of the embedding.
        rounding: see ``ops.roi_pooling.deformable``.
    """

    shifts = True

    def __init__(
        self, size: int = 7, gamma: float = 0.1, hidden: int = 256, rounding: bool = False
    ) -> None:
        super().__init__()
        self.size = size
        self.gamma = gamma
        self.rounding = rounding
        self.network = _shift_network(hidden, 2 * size * size)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        """Outputs are all x shifts, then all y shifts, as in TSD's code."""
        assert embedding is not None
        shares = self.network(embedding).float().reshape(-1, 2, self.size, self.size)
        shifts = self.gamma * shares.permute(0, 2, 3, 1) * _sides(rois)[:, None, None]
        features = deformable(
            pyramid.levels,
            pyramid.strides,
            rois,
            shifts,
            self.size,
            self.rounding,
            finest=pyramid.finest,
        )
        return Pooled(features, rois[:, 1:])


class Translated(nn.Module):
    """The whole region moves by one learnt shift (TSD, eq. 3 and 4); so does its box.

    Args: as ``Pointwise``.
    """

    shifts = True

    def __init__(
        self, size: int = 7, gamma: float = 0.1, hidden: int = 256, rounding: bool = False
    ) -> None:
        super().__init__()
        self.size = size
        self.gamma = gamma
        self.rounding = rounding
        self.network = _shift_network(hidden, 2)

    def forward(self, pyramid: RoiPyramid, rois: Tensor, embedding: Tensor | None) -> Pooled:
        assert embedding is not None
        shift = self.gamma * self.network(embedding).float() * _sides(rois)
        features = deformable(
            pyramid.levels,
            pyramid.strides,
            rois,
            shift[:, None, None],
            self.size,
            self.rounding,
            finest=pyramid.finest,
        )
        return Pooled(features, rois[:, 1:] + torch.cat((shift, shift), dim=1))
