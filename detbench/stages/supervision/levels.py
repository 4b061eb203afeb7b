"""How much each level of the pyramid counts: a factor on all losses of its candidates.

An option is a module: positives of each level in a batch, (L,), int64 -> factors, (L,).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detbench import sharding


class Linear(nn.Module):
    """Fixed factors, equally spaced from the finest level to the coarsest (DDOD, Table 2).

    Args:
        levels: how many.
        first, last: factors of the finest and of the coarsest.
    """

    factors: Tensor

    def __init__(self, levels: int, first: float, last: float) -> None:
        super().__init__()
        self.register_buffer("factors", torch.linspace(first, last, levels), persistent=False)

    def forward(self, positives: Tensor) -> Tensor:
        return self.factors


class Counted(nn.Module):
    """What a factor is computed from: the positives of each level.

    Args:
        levels: how many.
        totals: of all batches so far, this one included, or else of this one alone.
        synchronise: of all processes; the released code counts each process's own (DDOD).
    """

    positives_seen: Tensor

    def __init__(self, levels: int, totals: bool, synchronise: bool) -> None:
        super().__init__()
        self.totals, self.synchronise = totals, synchronise
        if totals:
            self.register_buffer("positives_seen", torch.zeros(levels, dtype=torch.int64))

    def counted(self, positives: Tensor) -> Tensor:
        """(L,), float32; kept where totals are asked for."""
        if self.synchronise:
            positives = sharding.total(positives).to(positives.dtype)
        if not self.totals:
            return positives.float()
        seen = self.positives_seen + positives
        if self.training:
            self.positives_seen.copy_(seen)
        return seen.float()


class Interpolated(Counted):
    """From 1 for the level with most positives to 2 for that with fewest (DDOD, eqs. 3 and 4).

    All levels count twice where they have equally many, as before the first positive.
    """

    def forward(self, positives: Tensor) -> Tensor:
        counts = self.counted(positives)
        least = counts.min()
        return 2 - (counts - least) / (counts.max() - least + 1e-10)


class Sum(Counted):
    """2 less a level's share of all positives (DDOD, section 5.4.3).

    The text has factors "proportionate to the number of positive samples" and no equation; this
    is the reading that, as its other two, strengthens levels with few.
    """

    def forward(self, positives: Tensor) -> Tensor:
        counts = self.counted(positives)
        every = counts.sum()
        return 2 - counts / torch.where(every > 0, every, 1.0)
