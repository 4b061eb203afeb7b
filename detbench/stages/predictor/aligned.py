"""The task-aligned predictor (TOOD, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from detbench.ops.displaced import displaced
from detbench.pertask import PerTask
from detbench.stages.convolution import groups_of, prior_bias
from detbench.stages.predictor.convolutions import Convolutions
from detbench.stages.predictor.predictions import Predictions, PredictorShape


class Decomposition(nn.Module):
    """Features of one task from all layers: each weighted by attention, reduced to one's width.

    Layer attention (TOOD, eqs. 2 and 3) multiplies the reduction's weights instead of the features,
    which is the same for less memory; so the reduction counts no operations by module hooks.

    Args:
        inputs: channels of all layers.
        layers: how many.
    """

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.layers, self.channels = layers, inputs // layers
        hidden = max(1, self.channels // 8)
        self.attention = nn.Sequential(
            _conv(inputs, hidden, 1, std=0.001),
            nn.ReLU(inplace=True),
            _conv(hidden, layers, 1, std=0.001),
            nn.Sigmoid(),
        )
        self.reduce = nn.Conv2d(inputs, self.channels, 1, bias=False)
        nn.init.normal_(self.reduce.weight, std=0.01)
        self.norm = nn.GroupNorm(groups_of(self.channels), self.channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, inputs / layers, H, W)."""
        batch, inputs, height, width = features.shape
        attention = self.attention(features.mean(dim=(2, 3), keepdim=True))
        attention = attention.reshape(batch, 1, self.layers, 1)
        weight = self.reduce.weight.reshape(1, self.channels, self.layers, -1) * attention
        flat = features.reshape(batch, inputs, height * width)
        reduced = weight.reshape(batch, self.channels, inputs).to(flat.dtype) @ flat
        normed: Tensor = self.norm(reduced.reshape(batch, self.channels, height, width))
        return self.relu(normed)


class Aligned(Convolutions):
    """Convolutions on each task's decomposed features, then both aligned by all of them.

    The extra output ``alignment`` says where the tasks agree, and with the class makes the score
    (TOOD, eq. 5, by the geometric mean). Each side of a box is read where a learnt displacement
    says (eq. 6), in absolute places; a box that this inverts keeps its own sides. As in the
    released code, a box's distances to its sides are exp of the convolution times the level's
    factor, in strides, and what is predicted are those of the aligned box, which may be negative.

    Args:
        shape, extras, scaled, prior: as of ``Convolutions``.
        layers: of each task's tower, equally wide, side by side in its output.
        offset: of the place in its cell.
    """

    def __init__(
        self,
        shape: PredictorShape,
        extras: Mapping[str, str],
        scaled: bool,
        prior: float,
        layers: PerTask[int],
        offset: float,
    ) -> None:
        widths = shape.channels.zip(layers, lambda channels, count: channels // count)
        super().__init__(replace(shape, channels=widths), extras, scaled, 0.0, prior)
        self.center = offset
        self.decompose = nn.ModuleDict()
        heads = {}
        for task, count in (("cls", 1), ("loc", 8)):
            inputs, width = getattr(shape.channels, task), getattr(widths, task)
            self.decompose[task] = Decomposition(inputs, getattr(layers, task))
            hidden = max(1, width // 4)
            outputs = count * shape.per_cell * getattr(shape.coarseness, task) ** 2
            std, bias = (0.01, prior_bias(prior)) if task == "cls" else (0.001, 0.0)
            heads[task] = nn.Sequential(
                _conv(inputs, hidden, 1, std),
                nn.ReLU(inplace=True),
                _conv(hidden, outputs, 3, std, bias),
            )
        self.alignment, self.offset = heads["cls"], heads["loc"]

    def forward(self, towers: PerTask[list[Tensor]], sizes: list[tuple[int, int]]) -> Predictions:
        features = PerTask(
            [self.decompose["cls"](x) for x in towers.cls],
            [self.decompose["loc"](x) for x in towers.loc],
        )
        raw = self.unscaled(features, sizes)
        alignment = self._on_grid(self.alignment, towers.cls, self.coarseness.cls, sizes)
        offsets = self._on_grid(self.offset, towers.loc, self.coarseness.loc, sizes)
        loc = [
            self._aligned(code, offset, level)
            for level, (code, offset) in enumerate(zip(raw.loc, offsets, strict=True))
        ]
        return Predictions(raw.cls, loc, raw.extras | {"alignment": alignment})

    def _aligned(self, code: Tensor, offsets: Tensor, level: int) -> Tensor:
        """(B, 4 A, H, W) logarithms of distances to those of the aligned boxes, in strides."""
        distances = code.exp() if self.scales is None else code.exp() * self.scales[level]
        distances = distances.float()
        batch, _, height, width = code.shape
        x = torch.arange(width, device=code.device) + self.center
        y = torch.arange(height, device=code.device) + self.center
        places = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)))
        signs = distances.new_ones(2, 1, 1)
        middle, signs = places.repeat(2, 1, 1), torch.cat((-signs, signs))
        shape = (batch, self.per_cell, 4, height, width)
        sides = (middle + signs * distances.reshape(shape)).reshape(code.shape)
        moved = displaced(sides, offsets.float()).reshape(shape)
        sides = sides.reshape(shape)
        inverted = (moved[:, :, :2] > moved[:, :, 2:]).any(dim=2, keepdim=True)
        sides = torch.where(inverted, sides, moved)
        return (signs * (sides - middle)).reshape(code.shape)

    def parts(self) -> dict[str, list[nn.Module]]:
        parts = super().parts()
        parts["cls"] += [self.decompose["cls"], self.alignment]
        parts["loc"] += [self.decompose["loc"], self.offset]
        return parts


def _conv(inputs: int, outputs: int, kernel: int, std: float, bias: float = 0.0) -> nn.Conv2d:
    """A convolution that keeps the size of its map, weights N(0, std^2)."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.normal_(conv.weight, std=std)
    nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]
    return conv
