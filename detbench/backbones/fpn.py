"""Feature pyramid network, with the papers' ways of making its extra levels, and PAFPN."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from detbench.ops.halving import HalvingConv2d


class Fpn(nn.Module):
    """Top-down pyramid (Lin et al. 2017), optionally with PANet's bottom-up path.

    Args:
        inputs: channels of the backbone maps from the pyramid's first level upwards.
        channels: of every output.
        levels: outputs in all; those above the backbone's last are the extra ones.
        extra: source of the extra levels: the backbone's last map (``input``), the last output
            (``output``), or sub-sampling of the last output without parameters (``pool``).
        relu_before_extra: ReLU on the input of every extra convolution but the first.
        paths: ``pafpn`` adds the bottom-up one (Liu et al. 2018, as MMDetection builds it).
    """

    def __init__(
        self,
        inputs: list[int],
        channels: int,
        levels: int,
        extra: Literal["input", "output", "pool"],
        relu_before_extra: bool,
        paths: Literal["top-down", "pafpn"],
    ) -> None:
        super().__init__()
        self.extra_source = extra
        self.relu_before_extra = relu_before_extra
        self.channels = channels
        self.extra_count = levels - len(inputs)
        if self.extra_count < 0:
            raise ValueError(f"{levels} levels are fewer than the {len(inputs)} backbone maps")
        self.lateral = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in inputs)
        self.output = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in inputs)
        self.extra = nn.ModuleList()
        if extra != "pool":
            first = inputs[-1] if extra == "input" else channels
            for index in range(self.extra_count):
                source = first if index == 0 else channels
                self.extra.append(HalvingConv2d(source, channels))
        steps = len(inputs) - 1 if paths == "pafpn" else 0
        self.down = nn.ModuleList(HalvingConv2d(channels, channels) for _ in range(steps))
        self.second = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(steps)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Backbone maps, fine to coarse, to ``levels`` maps, fine to coarse."""
        merged = [conv(x) for conv, x in zip(self.lateral, maps, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            size = merged[level].shape[-2:]
            merged[level] = merged[level] + F.interpolate(merged[level + 1], size=size)
        outputs = [conv(x) for conv, x in zip(self.output, merged, strict=True)]
        if self.down:
            outputs = self._bottom_up(outputs)
        return outputs + self._extra(maps[-1], outputs[-1])

    def _bottom_up(self, outputs: list[Tensor]) -> list[Tensor]:
        path = [outputs[0]]
        for conv, x in zip(self.down, outputs[1:], strict=True):
            path.append(x + conv(path[-1]))
        return [
            path[0],
            *(conv(x) for conv, x in zip(self.second, path[1:], strict=True)),
        ]

    def _extra(self, last_input: Tensor, last_output: Tensor) -> list[Tensor]:
        if self.extra_source == "pool":
            pooled = []
            for _ in range(self.extra_count):
                last_output = F.max_pool2d(last_output, 1, stride=2)
                pooled.append(last_output)
            return pooled
        x = last_input if self.extra_source == "input" else last_output
        made = []
        for index, conv in enumerate(self.extra):
            x = conv(F.relu(x) if self.relu_before_extra and index > 0 else x)
            made.append(x)
        return made
