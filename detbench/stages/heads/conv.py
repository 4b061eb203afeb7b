"""Convolutional head of RoI detectors (Double-Head, section 4.1 and Figure 5)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from detbench.stages.initial import convolution

ConvInit = Literal["fan-out", "fan-out-first", "default"]


class Conv(nn.Module):
    """Residual blocks on the region, then the average over its cells.

    The first block widens to ``channels``; the others are bottlenecks of a quarter of them. With
    ``non_local`` a non-local block stands before every bottleneck.

    Args:
        inputs: channels of the pooled features.
        blocks: residual blocks.
        non_local, channels: see above. Norms are live, as in the paper.
        init: how convolutions start: He's ``fan-out`` in every block, in the first alone
            (``fan-out-first``, MMDetection), or PyTorch's ``default`` (the authors' code).
            Non-local blocks start as the identity in each.
    """

    def __init__(
        self,
        inputs: int,
        blocks: int,
        non_local: bool,
        channels: int,
        init: ConvInit = "fan-out",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [Widening(inputs, channels, init != "default")]
        for _ in range(blocks - 1):
            if non_local:
                layers.append(NonLocal(channels))
            layers.append(Bottleneck(channels, init == "fan-out"))
        self.layers = nn.Sequential(*layers)
        self.channels = channels
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, features: Tensor) -> Tensor:
        """(K, C, s, s) to (K, channels)."""
        return self.pool(self.layers(features)).flatten(1)


def _unit(inputs: int, outputs: int, kernel: int, relu: bool, fan_out: bool) -> nn.Sequential:
    conv = convolution(inputs, outputs, kernel, fan_out)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(outputs)]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Widening(nn.Module):
    """Figure 5 (a): 3x3 and 1x1 convolutions beside a 1x1 shortcut."""

    def __init__(self, inputs: int, channels: int, fan_out: bool = True) -> None:
        super().__init__()
        self.conv1 = _unit(inputs, inputs, 3, relu=True, fan_out=fan_out)
        self.conv2 = _unit(inputs, channels, 1, relu=False, fan_out=fan_out)
        self.shortcut = _unit(inputs, channels, 1, relu=False, fan_out=fan_out)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """Figure 5 (b): 1x1, 3x3, 1x1 at a quarter of the width, beside the input."""

    def __init__(self, channels: int, fan_out: bool = True) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.conv1 = _unit(channels, inner, 1, relu=True, fan_out=fan_out)
        self.conv2 = _unit(inner, inner, 3, relu=True, fan_out=fan_out)
        self.conv3 = _unit(inner, channels, 1, relu=False, fan_out=fan_out)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv3(self.conv2(self.conv1(x))) + x)


class NonLocal(nn.Module):
    """Figure 5 (c), as in the authors' code: dot products over the cells, divided by their count.

    The inner width is half of the channels, in four groups. The last convolution starts at zero,
    the others as PyTorch has them: the block starts as the identity. A ReLU follows the sum.
    """

    def __init__(self, channels: int, groups: int = 4) -> None:
        super().__init__()
        self.inner = max(groups, channels // 2)
        self.groups = groups
        self.query = nn.Conv2d(channels, self.inner, 1)
        self.key = nn.Conv2d(channels, self.inner, 1)
        self.value = nn.Conv2d(channels, self.inner, 1)
        self.out = nn.Conv2d(self.inner, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        cells = height * width

        def split(layer: nn.Module) -> Tensor:
            return layer(x).reshape(count * self.groups, self.inner // self.groups, cells)

        similarity = torch.bmm(split(self.query).transpose(1, 2), split(self.key)) / cells
        gathered = torch.bmm(split(self.value), similarity.transpose(1, 2))
        gathered = gathered.reshape(count, self.inner, height, width)
        return self.relu(self.norm(self.out(gathered)) + x)
