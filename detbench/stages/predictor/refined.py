"""Boxes that are read again at the feet of each place on their four sides (DW)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from detbench.ops.constant import constant
from detbench.ops.displaced import displaced
from detbench.pertask import PerTask
from detbench.stages.convolution import prediction
from detbench.stages.predictor.convolutions import Convolutions
from detbench.stages.predictor.predictions import Predictions, PredictorShape


class Refined(Convolutions):
    """``Convolutions`` whose boxes are refined (DW; Li et al. 2022, section 3.5).

    A further convolution of the localisation tower displaces each foot. There the map of that
    side's first prediction is read, and the distance to it is what is predicted.

    Args:
        shape, extras, scaled, bias, prior: see ``Convolutions``.
        offset: of the place in its cell.
    """

    def __init__(
        self,
        shape: PredictorShape,
        extras: Mapping[str, str],
        scaled: bool,
        bias: float,
        prior: float,
        offset: float,
    ) -> None:
        super().__init__(shape, extras, scaled, bias, prior)
        self.offset = offset
        self.feet = prediction(shape.channels.loc, 8 * shape.coarseness.loc**2)

    def forward(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        found = super().forward(towers, sizes)
        shifts = self._on_grid(self.feet, towers.loc, self.coarseness.loc, sizes)
        each = zip(found.loc, shifts, strict=True)
        loc = [refine(level, shift, self.offset) for level, shift in each]
        return Predictions(found.cls, loc, found.extras)

    def parts(self) -> dict[str, list[nn.Module]]:
        parts = super().parts()
        parts["loc"].append(self.feet)
        return parts


def refine(distances: Tensor, shifts: Tensor, offset: float) -> Tensor:
    """Distances to the sides as predicted at the sides' feet.

    Reading is bilinear, and a side is at 0 outside the map, as in the authors' code. Gradients
    reach the first distances by what is read and by where.

    Args:
        distances: (B, 4, H, W), left, top, right, bottom, in cells; negative ones are 0.
        shifts: (B, 8, H, W), (dy, dx) of the four feet, in cells.
        offset: of a place in its cell.

    Returns:
        (B, 4, H, W), float32, not negative.
    """
    distances, shifts = distances.float().clamp(min=0), shifts.float()
    height, width = distances.shape[-2:]
    rows = torch.arange(height, device=distances.device)[:, None].expand(height, width) + offset
    columns = torch.arange(width, device=distances.device).expand(height, width) + offset
    places = torch.stack((columns, rows, columns, rows))
    outward = constant((-1.0, -1.0, 1.0, 1.0), distances.device)[:, None, None]
    sides = places + outward * distances
    left, top, right, bottom = (outward * distances).unbind(1)
    none = torch.zeros_like(left)
    feet = torch.stack((none, left, top, none, none, right, bottom, none), dim=1)
    read = displaced(sides, feet + shifts)
    return (outward * (read - places)).clamp(min=0)
