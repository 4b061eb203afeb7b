"""Random draws that are the same on every machine, in every process and library version.

numpy promises to keep the raw 64-bit stream of a bit generator and of ``SeedSequence`` (NEP 19);
it makes no such promise for the distributions built on it. So everything here is made from raw
integers with exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_BLOCK = 128
_UNIT = 2.0**-53


class Draws:
    """A stream of random draws that its key alone determines.

    Args:
        key: non-negative integers, for example (seed, epoch, index).
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))
        self._block: list[int] = []

    def _raw(self) -> int:
        if not self._block:
            self._block = self._bits.random_raw(_BLOCK).tolist()
            self._block.reverse()
        return self._block.pop()

    def unit(self) -> float:
        """A float in [0, 1)."""
        return (self._raw() >> 11) * _UNIT

    def between(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, count: int) -> int:
        """An integer in [0, count); ``count`` is far below 2^32."""
        return ((self._raw() >> 32) * count) >> 32

    def chance(self, probability: float) -> bool:
        """True with ``probability``."""
        return self.unit() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of ``options``, which is not empty."""
        return options[self.integer(len(options))]

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """``count`` integers in [0, 255], (count,)."""
        words = self._bits.random_raw((count + 7) // 8)
        return words.astype("<u8", copy=False).view(np.uint8)[:count]


def permutation(count: int, *key: int) -> NDArray[np.int64]:
    """A random order of 0..count-1, (count,), that ``key`` alone determines."""
    raw = np.random.PCG64(np.random.SeedSequence(key)).random_raw(count)
    return np.argsort(raw, kind="stable").astype(np.int64)


def integers(counts: NDArray[np.int64], *key: int) -> NDArray[np.int64]:
    """An integer in [0, count) for each of ``counts``, (n,), that ``key`` alone determines.

    Args:
        counts: at least 1 and far below 2^32.
    """
    raw = np.random.PCG64(np.random.SeedSequence(key)).random_raw(len(counts))
    return ((raw >> np.uint64(32)) * counts.astype(np.uint64) >> np.uint64(32)).astype(np.int64)
