"""Mask head of RoI detectors (He et al. 2017, Figure 4)."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.stages.classes import ClassRows


class MaskFcn(nn.Module):
    """3x3 convolutions, a deconvolution to twice the side, and a mask of each class.

    All start with He's normal by fan-out and no bias, as in MMDetection.

    Args:
        inputs: channels of the pooled features.
        classes: that have a mask each; ``class_agnostic`` makes one for all.
        depth, channels: of the convolutions.
    """

    def __init__(
        self, inputs: int, classes: int, class_agnostic: bool, depth: int, channels: int
    ) -> None:
        super().__init__()
        widths = [inputs, *[channels] * depth]
        self.convs = nn.ModuleList(nn.Conv2d(a, channels, 3, padding=1) for a in widths[:-1])
        self.up = nn.ConvTranspose2d(widths[-1], channels, 2, stride=2)
        self.logits = nn.Conv2d(channels, 1 if class_agnostic else classes, 1)
        self.relu = nn.ReLU(inplace=True)
        self.class_agnostic = class_agnostic
        for layer in (*self.convs, self.up, self.logits):
            weight, bias = layer.parameters()
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(bias)

    def per_class(self) -> dict[str, ClassRows]:
        """Rows of the classes, unless one mask is for all."""
        kinds = () if self.class_agnostic else ("weight", "bias")
        return {f"logits.{kind}": ClassRows() for kind in kinds}

    def forward(self, features: Tensor) -> Tensor:
        """(K, C, s, s) to logits (K, classes or 1, 2 s, 2 s); K may be 0."""
        for conv in self.convs:
            features = self.relu(conv(features))
        return self.logits(self.relu(self.up(features)))
