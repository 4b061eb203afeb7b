"""Masks laid over a picture: translucent, each with an outline that has a dark edge. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detbench.data.segmentations import Placed

SHARE = 0.45
"""Of a mask's colour in a pixel; the rest is the image's."""
LINE = 2
"""Pixels of the picture that an outline is wide."""

Bits = NDArray[np.bool_]


def shaded(
    picture: Image.Image, masks: Sequence[tuple[Placed, tuple[int, int, int]]], scale: float
) -> Image.Image:
    """A picture with masks.

    Args:
        masks: each with its colour, most important first: it is laid on top. May be empty, and so
            may be each one.
        scale: by how much the picture is larger than the image that the masks are of.
    """
    pixels = np.array(picture)
    for placed, colour in reversed(masks):
        inside, left, top = _on_picture(placed, scale, picture.size)
        region = pixels[top : top + inside.shape[0], left : left + inside.shape[1]]
        tint = (1 - SHARE) * region[inside] + SHARE * np.array(colour)
        region[inside] = tint.round().astype(np.uint8)
        core = inside
        for _ in range(LINE):
            core = ~_grown(~core)
        region[inside & ~core] = colour
        region[_grown(inside) & ~inside] = 0
    return Image.fromarray(pixels)


def _on_picture(placed: Placed, scale: float, size: tuple[int, int]) -> tuple[Bits, int, int]:
    """The mask in pixels of the picture, with a margin of one where there is room; its place."""
    height, width = placed.mask.shape
    axes = []
    for start, length, side in ((placed.top, height, size[1]), (placed.left, width, size[0])):
        first = max(0, int(start * scale) - 1)
        last = min(side, int(np.ceil((start + length) * scale)) + 1)
        axes.append((first, np.floor((np.arange(first, last) + 0.5) / scale).astype(int) - start))
    (top, rows), (left, columns) = axes
    found = np.zeros((len(rows), len(columns)), np.bool_)
    there = np.ix_((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    rows, columns = (at[(at >= 0) & (at < n)] for at, n in ((rows, height), (columns, width)))
    found[there] = placed.mask[np.ix_(rows, columns)]
    return found, left, top


def _grown(bits: Bits) -> Bits:
    """And the four neighbours of each; beyond the edges there is nothing."""
    found = bits.copy()
    found[1:] |= bits[:-1]
    found[:-1] |= bits[1:]
    found[:, 1:] |= bits[:, :-1]
    found[:, :-1] |= bits[:, 1:]
    return found
