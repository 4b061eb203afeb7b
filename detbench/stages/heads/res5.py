"""The backbone's last stage as an RoI head (Faster R-CNN on C4; He et al. 2016, appendix A)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from detbench.backbones.resnet import (
    BLOCKS,
    fix_statistics,
    freeze_norms,
    residual_stage,
    stride_in_first_conv,
)


class Res5(nn.Module):
    """C5's residual blocks on each pooled region, then the average.

    Args:
        inputs: channels of C4.
        network: settings of the backbone, as ``ResNet`` takes them. Its statistics are kept where
            the backbone keeps them, and all of it where four of its stages are frozen.
    """

    from_backbone: ClassVar[dict[str, str]] = {"layer4": "layer4"}

    def __init__(self, inputs: int, network: Mapping[str, Any]) -> None:
        super().__init__()
        depth, norm = network["depth"], network["norm"]
        planes = max(8, round(512 * network["width"]))
        shape = {name: network[name] for name in ("groups", "base_width", "width")}
        counts = network.get("blocks")
        self.layer4 = residual_stage(depth, inputs, planes, 3, counts=counts, **shape)
        if network["style"] == "caffe":
            stride_in_first_conv(self.layer4)
        self.norm = norm
        self.channels = planes * BLOCKS[depth][0].expansion
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.frozen = network["frozen_stages"] >= 4
        if self.frozen:
            self.requires_grad_(False)
        if norm == "frozen":
            freeze_norms(self)

    def train(self, mode: bool = True) -> Res5:
        """Switch to training; what the backbone keeps in evaluation mode stays so here."""
        super().train(mode)
        if self.frozen or self.norm != "batch":
            fix_statistics(self)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """(K, C4, 14, 14) to (K, channels)."""
        return self.pool(self.layer4(features)).flatten(1)
