"""What few images cannot tell: rules for rare classes and small sets.

A bootstrap knows the spread of the images that it has. From one image it knows none, and from few
it understates it: by (I - 1) / I in the variance, and by what Student's t has over the normal
distribution in the quantiles. So below ``FEW`` images nothing is told, below ``WIDENED`` an
interval is widened by both (Hesterberg 2015, What teachers should know about the bootstrap), and
from there on neither matters. Images are those that hold an object that counts for the metric.
"""

from __future__ import annotations

FEW = 10
"""Images below which there is no interval."""
WIDENED = 50
"""Images below which an interval is widened."""
FEWEST = 200
"""Replicates below which the ends of an interval of 95 % are chance."""


def reason(images: int, what: str = "image") -> str:
    """Why there is no interval; empty where there may be one."""
    if images >= FEW:
        return ""
    named = f"one {what} holds" if images == 1 else f"{images} {what}s hold"
    return f"{named} such an object: fewer than {FEW} tell nothing of others"


def stretch(images: int, level: float = 0.95) -> float:
    """What an interval is widened by, t / z * sqrt(I / (I - 1)); 1 from ``WIDENED`` images on.

    Args:
        images: at least 2.
        level: of the interval.
    """
    from scipy.special import ndtri, stdtrit

    if images >= WIDENED:
        return 1.0
    upper = (1 + level) / 2
    ratio = float(stdtrit(images - 1, upper)) / float(ndtri(upper))
    return ratio * (images / (images - 1)) ** 0.5
