"""The backbone's last stage as an RoI head (Faster R-CNN on C4; He et al. 2016, appendix A)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from detbench.backbones.resnet import (
    ResNet,
    fix_statistics,
    freeze_norms,
    residual_stage,
    stride_in_first_conv,
)


class Res5(nn.Module):
    """C5's residual blocks on each pooled region, then the average.

    Args:
        backbone: up to C4. Statistics are kept here where it keeps them, and everything where four
            of its stages are frozen.
    """

    from_backbone: ClassVar[dict[str, str]] = {"layer4": "layer4"}

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        self.settings = backbone.settings
        self.layer4 = residual_stage(self.settings, self.settings.channels(2), 3)
        if self.settings.style == "caffe":
            stride_in_first_conv(self.layer4)
        self.channels = self.settings.channels(3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.frozen = self.settings.frozen_stages >= 4
        if self.frozen:
            self.requires_grad_(False)
        if self.settings.norm == "frozen":
            freeze_norms(self)

    def train(self, mode: bool = True) -> Res5:
        """Switch to training; what the backbone keeps in evaluation mode stays so here."""
        super().train(mode)
        if self.frozen or self.settings.norm != "batch":
            fix_statistics(self)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """(K, C4, 14, 14) to (K, channels)."""
        return self.pool(self.layer4(features)).flatten(1)
