"""``score``: by what a dense detector ranks its boxes, from class and extra outputs.

An option is a module: ``(classes, extras) -> score``, class probabilities (..., C) or (K,) and the
extra outputs' probabilities by name, broadcastable to them. Its ``select`` is what the threshold
and the best of each level are taken by: probabilities of the ``class`` alone, or the ``score``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

Select = Literal["class", "score"]


class Product(nn.Module):
    """The product of all (FCOS, section 3.3), or the class probability without extra outputs."""

    def __init__(self, select: Select) -> None:
        super().__init__()
        self.select = select

    def forward(self, classes: Tensor, extras: Mapping[str, Tensor]) -> Tensor:
        return _product(classes, extras)


class Geometric(nn.Module):
    """The geometric mean of all (PAA, section 3.4; TOOD, eq. 2 with its alignment).

    A product that underflows is taken to be the smallest number, where a root has a gradient.
    """

    def __init__(self, select: Select) -> None:
        super().__init__()
        self.select = select

    def forward(self, classes: Tensor, extras: Mapping[str, Tensor]) -> Tensor:
        product = _product(classes, extras)
        return product.clamp(min=torch.finfo(product.dtype).tiny).pow(1 / (1 + len(extras)))


def _product(classes: Tensor, extras: Mapping[str, Tensor]) -> Tensor:
    for extra in extras.values():
        classes = classes * extra
    return classes
