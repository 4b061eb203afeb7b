"""Pixels around an object, small enough to be kept beside the numbers. No torch."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detbench.analysis.kind import Floats

MOST = 320
"""Pixels of a cut's longer side."""


def cut(image: NDArray[np.uint8], box: Floats, beyond: float) -> tuple[bytes, Floats]:
    """A box with what is around it, in grey.

    Args:
        image: (3, H, W), RGB.
        box: xyxy.
        beyond: sides of the box that are shown on each side of it, as far as the image goes;
            infinite shows the whole image.

    Returns:
        A PNG, and (4,): left, right, top and bottom of what it shows, in pixels of the image.
    """
    height, width = image.shape[-2:]
    sides = np.maximum(box[2:] - box[:2], 1.0)
    with np.errstate(invalid="ignore"):
        low = np.maximum(np.floor(box[:2] - beyond * sides), 0).astype(np.int64)
        high = np.minimum(np.ceil(box[2:] + beyond * sides), [width, height]).astype(np.int64)
    low = np.minimum(low, high - 1)
    shown = image[:, low[1] : high[1], low[0] : high[0]].transpose(1, 2, 0)
    made = Image.fromarray(np.ascontiguousarray(shown)).convert("L")
    made.thumbnail((MOST, MOST))
    out = io.BytesIO()
    made.save(out, "png", optimize=True)
    return out.getvalue(), np.array([low[0], high[0], low[1], high[1]], np.float64)


def opened(png: bytes) -> NDArray[np.uint8]:
    """(h, w): the pixels of a cut."""
    with Image.open(io.BytesIO(png)) as read:
        return np.asarray(read.convert("L"))
