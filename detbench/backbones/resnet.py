"""ResNet and ResNeXt on torchvision's blocks, returning C2 to C5.

Parameter names are torchvision's, so its checkpoints, timm's and MMDetection's load as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from detbench.backbones.folding import normed, residual
from detbench.ops.deformable import deform_conv2d

BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


@dataclass(frozen=True)
class ResNetSettings:
    """What a network of the family is.

    Attributes:
        depth: a key of ``BLOCKS``, which says what blocks there are and how many.
        style: where a down-sampling bottleneck strides: ``pytorch`` in the 3x3, ``caffe`` in the
            first 1x1.
        groups, base_width: of the bottlenecks' 3x3 convolutions (ResNeXt): groups, and channels of
            each in C2.
        frozen_stages: 0 freezes nothing, 1 the stem and C2, 2 also C3, and so on.
        norm: ``frozen`` neither updates statistics nor trains the affine parameters, ``eval``
            trains them on fixed statistics, ``batch`` is live.
        width: multiplies every channel count; of grouped convolutions the number of groups.
        deformable: ``v1`` or ``v2`` convolutions for the 3x3 of C3 to C5 (Dai et al. 2017; Zhu et
            al. 2019), ``none`` for plain ones.
        blocks: of C2 to C5 in place of the depth's numbers.
    """

    depth: int
    style: Literal["pytorch", "caffe"]
    groups: int
    base_width: int
    frozen_stages: int
    norm: Literal["frozen", "eval", "batch"]
    width: float
    deformable: Literal["none", "v1", "v2"]
    blocks: Sequence[int] | None = None

    def planes(self, stage: int) -> int:
        """Channels of a stage's 3x3 convolutions; of stage 0 also the stem's."""
        return max(8, round(64 * 2**stage * self.width))

    def channels(self, stage: int) -> int:
        """Channels of a stage's map."""
        return self.planes(stage) * BLOCKS[self.depth][0].expansion


class ResNet(nn.Module):
    """Residual network (He et al. 2016, Table 1) without its classifier.

    Args:
        settings: see there.
        stages: how many of C2..C5 are made; 3 for detectors on C4.
    """

    def __init__(self, settings: ResNetSettings, stages: int = 4) -> None:
        super().__init__()
        self.settings = settings
        self.not_read = tuple(f"layer{stage}" for stage in range(stages + 1, 5))
        inputs = settings.planes(0)
        self.conv1 = nn.Conv2d(3, inputs, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.channels = [settings.channels(stage) for stage in range(stages)]
        for stage, channels in enumerate(self.channels):
            setattr(self, f"layer{stage + 1}", residual_stage(settings, inputs, stage))
            inputs = channels
        if settings.style == "caffe":
            stride_in_first_conv(self)
        _initialise(self)
        if settings.deformable != "none":
            for layer in self.stages[1:]:
                _deform(layer, modulated=settings.deformable == "v2")
        self._freeze()

    @property
    def stages(self) -> list[nn.Sequential]:
        layers = (getattr(self, f"layer{stage}", None) for stage in range(1, 5))
        return [layer for layer in layers if layer is not None]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to C2, C3, C4, C5 at strides 4, 8, 16, 32."""
        if self.settings.norm == "batch" or images.is_meta:  # costs are counted layer by layer
            x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
            return _run(x, self.stages)
        x = self.maxpool(self.relu(normed(self.conv1, self.bn1, images)))
        return _run(x, [partial(_folded, stage) for stage in self.stages])

    def _frozen_modules(self) -> list[nn.Module]:
        if self.settings.frozen_stages < 1:
            return []
        return [self.conv1, self.bn1, *self.stages[: self.settings.frozen_stages]]

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.requires_grad_(False)
        if self.settings.norm == "frozen":
            freeze_norms(self)

    def train(self, mode: bool = True) -> ResNet:
        """Switch to training; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        if self.settings.norm != "batch":
            fix_statistics(self)
        return self


def freeze_norms(network: nn.Module) -> None:
    """Train no affine parameter of batch norms."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)


def fix_statistics(network: nn.Module) -> None:
    """Put batch norms in evaluation mode, in place."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def kept_in_eval(network: nn.Module) -> tuple[str, ...]:
    """Names of the modules of a network in training mode that are in evaluation mode."""
    return tuple(name for name, module in network.named_modules() if not module.training)


def _run(x: Tensor, stages: Iterable[Callable[[Tensor], Tensor]]) -> list[Tensor]:
    maps = []
    for stage in stages:
        x = stage(x)
        maps.append(x)
    return maps


def _folded(stage: nn.Sequential, x: Tensor) -> Tensor:
    for block in stage:
        x = residual(block, x)
    return x


def residual_stage(settings: ResNetSettings, inputs: int, stage: int) -> nn.Sequential:
    """Residual blocks of one stage: 0 makes C2 at stride 1, 1 to 3 make C3 to C5 at stride 2.

    Args:
        inputs: channels of the map before it.
    """
    block, counts = BLOCKS[settings.depth]
    groups, base_width, width = settings.groups, settings.base_width, settings.width
    if groups > 1:  # narrower is fewer groups, each as wide as before
        groups, base_width = max(1, round(groups * width)), round(base_width / width)
    planes, outputs = settings.planes(stage), settings.channels(stage)
    blocks = []
    for index in range((settings.blocks or counts)[stage]):
        stride = 2 if stage > 0 and index == 0 else 1
        shortcut = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        if block is BasicBlock:
            blocks.append(block(inputs, planes, stride, shortcut))
        else:
            blocks.append(block(inputs, planes, stride, shortcut, groups, base_width))
        inputs = outputs
    return nn.Sequential(*blocks)


def stride_in_first_conv(network: nn.Module) -> None:
    """Move the stride of down-sampling bottlenecks from the 3x3 to the first 1x1, in place."""
    for module in network.modules():
        if isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride


class DeformableConv(nn.Module):
    """A 3x3 deformable convolution that predicts its own offsets, and its modulation if asked.

    Parameter names are MMDetection's: ``weight`` and ``conv_offset``. Offsets start at zero and
    modulation at one half.
    """

    own_start = ("conv_offset",)

    def __init__(self, conv: nn.Conv2d, modulated: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty_like(conv.weight))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.stride = conv.stride[0]
        self.modulated = modulated
        self.conv_offset = nn.Conv2d(
            conv.in_channels, 27 if modulated else 18, 3, self.stride, padding=1
        )
        nn.init.zeros_(self.conv_offset.weight)
        assert self.conv_offset.bias is not None
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        offset = self.conv_offset(x)
        mask = None
        if self.modulated:
            offset, mask = offset.split((18, 9), dim=1)
            mask = mask.sigmoid()
        return deform_conv2d(x, offset, self.weight, mask, stride=self.stride, padding=1)


def _deform(layer: nn.Module, modulated: bool) -> None:
    for block in layer.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            block.conv2 = DeformableConv(block.conv2, modulated)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
