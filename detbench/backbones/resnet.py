"""ResNet and ResNeXt on torchvision's blocks, returning C2 to C5.

Parameter names are torchvision's, so its checkpoints, timm's and MMDetection's load as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """Residual network (He et al. 2016, Table 1) without its classifier.

    Args:
        depth: a key of ``BLOCKS``.
        style: where a down-sampling bottleneck strides: ``pytorch`` in the 3x3, ``caffe`` in the
            first 1x1.
        groups, base_width: of the bottlenecks' 3x3 convolutions (ResNeXt).
        frozen_stages: 0 freezes nothing, 1 the stem and C2, 2 also C3, and so on.
        norm: ``frozen`` neither updates statistics nor trains the affine parameters, ``eval``
            trains them on fixed statistics, ``batch`` is live.
        width: multiplies every channel count.
    """

    def __init__(
        self,
        depth: int,
        style: Literal["pytorch", "caffe"] = "pytorch",
        groups: int = 1,
        base_width: int = 64,
        frozen_stages: int = 1,
        norm: Literal["frozen", "eval", "batch"] = "eval",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        block, counts = BLOCKS[depth]
        planes = [max(8, round(64 * 2**stage * width)) for stage in range(4)]
        self.norm = norm
        self.frozen_stages = frozen_stages
        self.conv1 = nn.Conv2d(3, planes[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(planes[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = planes[0]
        for stage, (plane, count) in enumerate(zip(planes, counts, strict=True)):
            stride = 1 if stage == 0 else 2
            make = _block_maker(block, plane, groups, base_width)
            layer = nn.Sequential(
                make(inputs, stride), *(make(plane * block.expansion, 1) for _ in range(count - 1))
            )
            setattr(self, f"layer{stage + 1}", layer)
            inputs = plane * block.expansion
        self.channels = [plane * block.expansion for plane in planes]
        if style == "caffe":
            _stride_in_first_conv(self)
        _initialise(self)
        self._freeze()

    @property
    def stages(self) -> list[nn.Sequential]:
        return [getattr(self, f"layer{stage}") for stage in range(1, 5)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to C2, C3, C4, C5 at strides 4, 8, 16, 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 1:
            return []
        return [self.conv1, self.bn1, *self.stages[: self.frozen_stages]]

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.requires_grad_(False)
        if self.norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet:
        """Switch to training; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        if self.norm != "batch":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def _block_maker(
    block: type[BasicBlock] | type[Bottleneck], planes: int, groups: int, base_width: int
) -> Callable[[int, int], nn.Module]:
    """A function (input channels, stride) -> residual block of ``planes`` planes."""
    outputs = planes * block.expansion

    def make(inputs: int, stride: int) -> nn.Module:
        shortcut = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        if block is BasicBlock:
            return block(inputs, planes, stride, shortcut)
        return block(inputs, planes, stride, shortcut, groups, base_width)

    return make


def _stride_in_first_conv(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
