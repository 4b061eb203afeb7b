"""The maps that the features stage reads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Pyramid:
    """The maps of one batch.

    Attributes:
        levels: P_first .. P_last, (B, C, H_l, W_l), each about half the size of the one before.
        below: the backbone map one level finer than the first, (B, C', 2 H_first, 2 W_first);
            C2 for a pyramid from P3.
    """

    levels: list[Tensor]
    below: Tensor
