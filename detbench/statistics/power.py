"""What a comparison can show before it is made, and what one could have shown.

A difference of two methods, each trained with n seeds and scored on I images, has

    V(n, I) = images^2 / I + 2 seeds^2 / n

``images``: the standard deviation over images of what the difference owes to the choice of images,
which no seed makes smaller; ``seeds``: over the trainings of one method. Its test is Student's t
with Welch and Satterthwaite's degrees of freedom, so a gain is found with the probability that
noncentral t gives (Cohen 1988). 80 % is the custom.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from detbench.statistics import small
from detbench.statistics.estimate import Estimate

POWER = 0.8
MOST = 1000
"""Seeds that nobody trains: more are none."""


@dataclass(frozen=True)
class Spread:
    """What makes a difference vary, in points or fractions alike.

    Attributes:
        seeds: standard deviation over the trainings of one method.
        images: of a single image's part in the difference: its standard error on I images, of
            many seeds, is ``images`` / sqrt(I).
    """

    seeds: float
    images: float

    def fixed(self, images: int) -> float:
        """Part of the variance that no seed makes smaller."""
        few = images / (images - 1) if 1 < images < small.WIDENED else 1.0
        return self.images**2 / images * few

    def variance(self, seeds: int, images: int) -> float:
        return self.fixed(images) + 2 * self.seeds**2 / seeds

    def freedom(self, seeds: int, images: int) -> float:
        """Of Student's t; 0 with one seed, of which nothing follows."""
        if seeds < 2:
            return 0.0
        spread = 2 * (self.seeds**2 / seeds) ** 2 / (seeds - 1)
        if images < small.WIDENED:
            spread += self.fixed(images) ** 2 / (images - 1)
        return self.variance(seeds, images) ** 2 / spread if spread else math.inf


def of_estimates(found: Sequence[Estimate], seeds: int) -> Spread | None:
    """The typical spread of differences that were measured: medians of their variances.

    Args:
        found: differences of two sides of ``seeds`` seeds each; those with a ``reason`` are passed
            over.

    Returns:
        None where no difference covers seeds, or each of them is of one seed.
    """
    known = [one for one in found if one.seeds and not one.reason]
    if not known or seeds < 2:
        return None
    rest = statistics.median(max(0.0, one.variance - one.fixed) for one in known)
    images = statistics.median(one.fixed * one.images for one in known)
    return Spread(math.sqrt(rest * seeds / 2), math.sqrt(images))


def chance(gain: float, spread: Spread, seeds: int, images: int, alpha: float = 0.05) -> float:
    """How often a true gain is found, as the better one, with n seeds a side on I images.

    Returns:
        In [0, 1]; 0 with one seed.
    """
    from scipy.special import nctdtr, stdtrit

    if seeds < 2:
        return 0.0
    freedom = min(spread.freedom(seeds, images), 1e6)
    error = math.sqrt(spread.variance(seeds, images))
    if error == 0:
        return 1.0
    bound = float(stdtrit(freedom, 1 - alpha / 2))
    return 1 - float(nctdtr(freedom, gain / error, bound))


def smallest(
    spread: Spread, seeds: int, images: int, power: float = POWER, alpha: float = 0.05
) -> float | None:
    """The smallest true difference that is found with ``power``; none with one seed."""
    from scipy.special import nctdtrinc, stdtrit

    if seeds < 2:
        return None
    freedom = min(spread.freedom(seeds, images), 1e6)
    bound = float(stdtrit(freedom, 1 - alpha / 2))
    return float(nctdtrinc(freedom, 1 - power, bound)) * math.sqrt(spread.variance(seeds, images))


def seeds_for(
    gain: float, spread: Spread, images: int, power: float = POWER, alpha: float = 0.05
) -> int | None:
    """The fewest seeds a side, from 2, that find a gain with ``power``.

    Returns:
        None where no number of seeds suffices: more images do, see ``images_for``.
    """
    low, high = 1, 2
    while chance(gain, spread, high, images, alpha) < power:
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = chance(gain, spread, middle, images, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def images_for(
    gain: float, spread: Spread, seeds: int, power: float = POWER, alpha: float = 0.05
) -> int | None:
    """The fewest images, from 10, on which n seeds a side find a gain with ``power``.

    Returns:
        None where no number of images suffices: more seeds do.
    """
    low, high = small.FEW - 1, small.FEW
    while chance(gain, spread, seeds, high, alpha) < power:
        low, high = high, 2 * high
        if high > 10**9:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = chance(gain, spread, seeds, middle, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high
