"""The tower of convolutions that dense detectors put between pyramid and prediction."""

from __future__ import annotations

from torch import Tensor, nn

from detbench.stages.convolution import ConvStyle, ConvUnit


class Tower(nn.Module):
    """``depth`` convolution units of ``channels`` channels (RetinaNet, section 4.1).

    Args:
        inputs: channels of the features; also the width of the result when ``depth`` is 0.
        depth, channels, style: of the units.
        deformable: 0-based positions that sample deformably (DDOD, Table 6).
    """

    def __init__(
        self,
        inputs: int,
        depth: int,
        channels: int,
        style: ConvStyle,
        deformable: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if any(position >= depth for position in deformable):
            raise ValueError(f"deformable positions {deformable} exceed the tower's depth {depth}")
        self.channels = channels if depth else inputs
        self.convs = nn.Sequential(
            *(
                ConvUnit(channels if n else inputs, channels, style, deformable=n in deformable)
                for n in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x)
