"""Detail-preserving encoding: fine maps for localisation (TSCODE, section 3.3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from detbench.stages.convolution import ConvStyle, ConvUnit
from detbench.stages.features.pyramid import Pyramid


class Dpe(nn.Module):
    """G_l = P_l + up(P_{l+1}) + down(up(P_l) + P_{l-1}) (TSCODE, eq. 5), or some of its terms.

    ``down`` is one 3x3 stride-2 convolution with the host's norm and ReLU, shared by all levels.
    Under the first level stands the raw backbone map (C2 under P3); where its width differs from
    the pyramid's, as in light networks, a 1x1 convolution matches it. Above the last level there is
    nothing to add. Up-sampling is nearest, to the size of the target, so odd sizes work.

    Args:
        channels: of the pyramid.
        below_channels: of the backbone map under the first level.
        levels: terms of the sum, as offsets from l: -1 is the strided convolution's, 0 the level,
            1 and 2 the coarser levels (TSCODE, Table 3).
        style: of the strided convolution.
    """

    coarseness = 1

    def __init__(
        self, channels: int, below_channels: int, levels: tuple[int, ...], style: ConvStyle
    ) -> None:
        super().__init__()
        if not levels:
            raise ValueError("detail-preserving encoding needs at least one level")
        self.levels = tuple(sorted(set(levels)))
        self.channels = channels
        self.down: nn.Module | None = None
        self.match: nn.Module | None = None
        if -1 in self.levels:
            self.down = ConvUnit(channels, channels, style, stride=2)
            if below_channels != channels:
                self.match = nn.Conv2d(below_channels, channels, 1)

    def forward(self, pyramid: Pyramid) -> list[Tensor]:
        """Per level (B, channels, H_l, W_l)."""
        below = pyramid.below if self.match is None else self.match(pyramid.below)
        finer = [below, *pyramid.levels[:-1]]
        return [self._encode(pyramid.levels, finer[level], level) for level in range(len(finer))]

    def _encode(self, levels: list[Tensor], finer: Tensor, level: int) -> Tensor:
        size = levels[level].shape[-2:]
        terms = []
        for offset in self.levels:
            if offset == -1:
                assert self.down is not None
                lifted = F.interpolate(levels[level], size=finer.shape[-2:])
                terms.append(self.down(lifted + finer))
            elif offset == 0:
                terms.append(levels[level])
            elif level + offset < len(levels):
                terms.append(F.interpolate(levels[level + offset], size=size))
        if not terms:  # only coarser levels were asked for, and this is the last
            terms.append(levels[level])
        return sum(terms[1:], start=terms[0])
