"""A weighted sum of trainings' metrics with its spread: a difference, an effect, an interaction.

**Images alone.** With one training a side the interval is that of the central replicates: the k-th
smallest and the k-th largest of R, k = floor((1 - level) / 2 * (R + 1)), and p is 2 (m + 1) /
(R + 1) where m is the smaller number of replicates on one side of 0. So the interval leaves 0 out
exactly where p is at most 1 - level. It is about those trainings, not about how they were made.

**Seeds.** With several seeds on a side,

    V = V_images + sum w^2 S / n - sum w^2 J / n

``w`` the weights of the sides (1 and -1 of a difference); ``V_images``: of the weighted means over
the replicates; ``S``: over the seeds, on all images; ``J``: over the replicates, of one seed's own
departure from the mean of its side, which is in both of the terms before (a two-way random-effects
layout, images by seeds; Owen 2007, The pigeonhole bootstrap). V is at least the larger of the first
term and the second. The interval is Student's t with Welch and Satterthwaite's degrees of freedom.
A side of one seed takes S and J of the sides that have several, or S of ``Rule.seed_sd``.

No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detbench.errors import DataError
from detbench.statistics import small

Floats = NDArray[np.float64]
LEVEL = 0.95
NO_IMAGES = 1 << 40
"""Number of images of a sum that varies over seeds alone: more than widen an interval."""


@dataclass(frozen=True)
class Rule:
    """How sure a finding must be, and what is taken for granted.

    Attributes:
        level: of the intervals.
        seed_sd: standard deviation over seeds, as a fraction, of every side that has one seed
            alone; none takes it from sides with several.
    """

    level: float = LEVEL
    seed_sd: float | None = None

    @property
    def alpha(self) -> float:
        """p up to which 0 is left out."""
        return 1 - self.level


RULE = Rule()


@dataclass(frozen=True)
class Part:
    """One metric of one side.

    Attributes:
        values: of each seed on all images, (seeds,).
        draws: of each seed in the replicates, (seeds, R); not a number where a replicate has no
            object that counts.
    """

    values: Floats
    draws: Floats

    @property
    def seeds(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of metrics.

    Attributes:
        value: a fraction.
        draws: of the replicates, (R,), widened where there are few images.
        variance, freedom: of Student's t; freedom is infinite where images alone are covered.
        images: that hold an object that counts.
        seeds: whether it covers the spread over seeds.
        borrowed: sides whose spread over seeds is that of others.
        given: the spread over seeds of some sides is ``Rule.seed_sd``.
        fixed: part of the variance that no further seed makes smaller.
        rule: of ``low``, ``high`` and ``real``.
    """

    value: float
    draws: Floats = field(repr=False, compare=False)
    variance: float
    freedom: float
    images: int
    seeds: bool
    borrowed: tuple[int, ...] = ()
    given: bool = False
    fixed: float = 0.0
    rule: Rule = RULE

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(self.variance)

    @property
    def reason(self) -> str:
        """Why there is neither interval nor p; empty where there are."""
        if said := small.reason(self.images):
            return said
        if self.value and not self.seeds and not np.nanstd(self.draws) > 1e-12:
            return "every replicate gives the same value: its spread is not known"
        return ""

    def interval(self, level: float | None = None) -> tuple[float, float]:
        """The central interval of a level, by default the rule's; not asked of ``reason``."""
        level = self.rule.level if level is None else level
        if not self.seeds:
            return central(self.draws, level)
        half = quantile(self.freedom, (1 + level) / 2) * self.error
        return self.value - half, self.value + half

    def p(self, null: float = 0.0) -> float:
        """Two-sided, of a true value of ``null``."""
        if not self.seeds:
            return share(self.draws - null)
        return two_sided(self.value - null, self.variance, self.freedom)


def combine(
    parts: Sequence[Part], weights: Sequence[float], images: int, rule: Rule = RULE
) -> Estimate:
    """The sum of the sides' means over seeds, each times its weight.

    Args:
        parts: the sides, with the same replicates.
        weights: one for each side.
        images: that hold an object that counts.

    Raises:
        DataError: the sides have other numbers of replicates.
    """
    if len({part.draws.shape[1] for part in parts}) != 1:
        raise DataError("the sides have other numbers of replicates: resample them alike")
    paired = list(zip(weights, parts, strict=True))
    value = float(sum(w * part.values.mean() for w, part in paired))
    draws = np.asarray(sum(w * part.draws.mean(axis=0) for w, part in paired), np.float64)
    seeds = rule.seed_sd is not None or any(part.seeds > 1 for part in parts)
    factor = small.stretch(images, rule.level) if images > 1 else 1.0
    if not seeds:
        spread = float(np.nanvar(draws, ddof=1)) if images > 1 else 0.0
        wide = value + factor * (draws - value)
        error = spread * factor**2
        return Estimate(value, wide, error, math.inf, images, False, fixed=error, rule=rule)
    terms = _terms(parts, np.asarray(weights, np.float64), rule)
    of_images = float(np.nanvar(draws, ddof=1)) if images > 1 else 0.0
    few = 1 < images < small.WIDENED
    of_images *= images / (images - 1) if few else 1.0
    variance = max(of_images + terms.between - terms.shared, of_images, terms.between)
    spread = terms.spread + (of_images**2 / (images - 1) if few else 0.0)
    return Estimate(
        *(value, draws, variance, variance**2 / spread if spread > 0 else math.inf, images, True),
        *(terms.borrowed, terms.given, max(0.0, of_images - terms.shared), rule),
    )


@dataclass(frozen=True)
class _Terms:
    """Of the module's formula: sum w^2 S / n, sum w^2 J / n, and sum (w^2 S / n)^2 / (n - 1)."""

    between: float
    shared: float
    spread: float
    borrowed: tuple[int, ...]
    given: bool


def _terms(parts: Sequence[Part], weights: Floats, rule: Rule) -> _Terms:
    counts = np.array([part.seeds for part in parts])
    several, alone = counts > 1, counts == 1
    free = np.maximum(counts - 1, 0)
    of_seeds = np.array([part.values.var(ddof=1) if part.seeds > 1 else 0.0 for part in parts])
    joint = np.array([_joint(part) if part.seeds > 1 else 0.0 for part in parts])
    shares = np.where(several, weights**2 / counts, 0.0)
    lacking = float((weights[alone] ** 2).sum())
    given = rule.seed_sd is not None and bool(alone.any())
    if lacking and several.any() and not given:
        # Of several lenders each gives as much as it knows.
        shares = shares + lacking * free / free.sum()
    taken = lacking * (rule.seed_sd or 0.0) ** 2 if given else 0.0
    own = shares * of_seeds
    return _Terms(
        float(own.sum()) + taken,
        float((shares * joint).sum()),
        float((own[several] ** 2 / free[several]).sum()),
        () if given else tuple(int(i) for i in np.flatnonzero(alone)),
        given,
    )


def _joint(part: Part) -> float:
    own = part.draws - part.draws.mean(axis=0)
    # Departures from a mean that they are part of: n - 1 of n are free.
    return float(np.nanvar(own, axis=1, ddof=1).sum()) / (part.seeds - 1)


def central(draws: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The k-th smallest and largest of the replicates, but for those without such an object."""
    known = np.sort(draws[~np.isnan(draws)])
    place = max(1, math.floor((1 - level) / 2 * (len(known) + 1) + 1e-9))
    return float(known[place - 1]), float(known[-place])


def share(draws: Floats) -> float:
    """Twice the smaller share of replicates at or beyond 0, never 0 and at most 1."""
    known = draws[~np.isnan(draws)]
    smaller = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    return float(min(1.0, 2 * (smaller + 1) / (len(known) + 1)))


def quantile(freedom: float, probability: float) -> float:
    """Of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(min(freedom, 1e9), probability))


def two_sided(value: float, variance: float, freedom: float) -> float:
    """p of a value of mean 0 by Student's t."""
    from scipy.special import stdtr

    if variance == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stdtr(min(freedom, 1e9), -abs(value) / math.sqrt(variance)))
