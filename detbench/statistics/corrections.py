"""Several differences looked at together: adjusted p, simultaneous intervals, false discoveries.

Of eleven rows against a baseline, all of them equal, one or more leaves 0 out of its interval in a
quarter to a third of tables. What follows keeps that at 5 %:

- **Holm** (1979) on the p of each, where intervals are Student's; intervals are Bonferroni's, cut
  at 0 where Holm's test finds the sign that Bonferroni's interval leaves open (Strassburger and
  Bretz 2008; Guilbaud 2008), so that the two never contradict.
- **max-T** over the shared replicates (Westfall and Young 1993), where images alone are covered:
  how often the largest of all rows' departures, each in its own standard errors, is as large. It
  knows that rows share baseline and images, which Holm does not.
- **Benjamini and Hochberg** (1995) for many classes: the share of false ones among those found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detbench.statistics.bootstrap import Difference
from detbench.statistics.estimate import LEVEL, Estimate

Floats = NDArray[np.float64]
Ends = tuple[float, float]


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p, in the order given: any is below 0.05 where all are null in 5 % of cases."""
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1)
    return _placed(np.minimum(np.maximum.accumulate(scaled), 1.0), order)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p (q), in the order given: of those below 0.05 at most 5 % are expected false."""
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, np.float64)[order] * len(p) / np.arange(1, len(p) + 1)
    return _placed(np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0), order)


def _placed(values: Floats, order: NDArray[np.int64]) -> list[float]:
    found = np.empty(len(values))
    found[order] = values
    return [float(one) for one in found]


@dataclass(frozen=True)
class Adjusted:
    """One of several differences.

    Attributes:
        p: adjusted.
        ends: of its simultaneous interval.
    """

    p: float
    ends: Ends


def max_t(values: Sequence[float], draws: Floats, level: float = LEVEL) -> list[Adjusted]:
    """Adjusted p and simultaneous intervals from replicates that all rows share.

    Args:
        values: of the rows, (m,), at least one.
        draws: of the rows, (m, R), of the same replicates; a row's own must vary.
    """
    centre = np.asarray(values, np.float64)
    errors = np.nanstd(draws, axis=1, ddof=1)
    largest = np.nanmax(np.abs(draws - centre[:, None]) / errors[:, None], axis=0)
    largest = np.sort(largest)[::-1]
    place = max(1, math.floor((1 - level) * (len(largest) + 1) + 1e-9))
    ratio = float(largest[place - 1])
    found = []
    for value, error in zip(centre.tolist(), errors.tolist(), strict=True):
        beyond = np.count_nonzero(largest >= abs(value) / error)
        p = (beyond + 1) / (len(largest) + 1)
        found.append(Adjusted(float(p), (value - ratio * error, value + ratio * error)))
    return found


def together(estimates: Sequence[Estimate], level: float = LEVEL) -> list[Adjusted]:
    """Adjusted p and simultaneous intervals of differences that are looked at together.

    Args:
        estimates: none with a ``reason``.
    """
    if not estimates:
        return []
    own = [one.interval(level) for one in estimates]
    p = [one.p() for one in estimates]
    varied = [i for i, one in enumerate(estimates) if one.variance > 0]
    if any(one.seeds for one in estimates) or len({len(one.draws) for one in estimates}) > 1:
        found = _by_holm(estimates, p, level)
    else:
        found = [Adjusted(one, ends) for one, ends in zip(p, own, strict=True)]
        draws = np.stack([one.draws for one in estimates])[varied]
        tested = max_t([estimates[i].value for i in varied], draws, level) if varied else []
        for place, one in zip(varied, tested, strict=True):
            found[place] = one
    # Never surer than of one row alone.
    return [
        Adjusted(max(one.p, alone), (min(one.ends[0], ends[0]), max(one.ends[1], ends[1])))
        for one, alone, ends in zip(found, p, own, strict=True)
    ]


def _by_holm(estimates: Sequence[Estimate], p: Sequence[float], level: float) -> list[Adjusted]:
    found = []
    for one, adjusted in zip(estimates, holm(p), strict=True):
        low, high = one.interval(1 - (1 - level) / len(estimates))
        if adjusted <= 1 - level:
            low, high = (max(low, 0.0), high) if one.value > 0 else (low, min(high, 0.0))
        found.append(Adjusted(adjusted, (low, high)))
    return found


def adjust(found: Mapping[str, Difference], level: float = LEVEL) -> dict[str, Difference]:
    """Differences that are looked at together, each with ``adjusted``, ``wide`` and ``family``.

    Those without an interval stay as they are and do not count.
    """
    told = {
        name: one.estimate
        for name, one in found.items()
        if one.estimate is not None and one.p is not None
    }
    made = dict(zip(told, together(list(told.values()), level), strict=True))
    return {
        name: replace(one, adjusted=made[name].p, wide=made[name].ends, family=len(told))
        if name in made
        else one
        for name, one in found.items()
    }


def not_worse(against: Sequence[float | None], level: float = LEVEL) -> list[bool]:
    """Which rows cannot be told from the best: a confidence set that holds the best in 95 %.

    After Hsu (1984), with Bonferroni's bound: a row is left out where the best row is better than
    it at 5 % over all other rows, one-sided.

    Args:
        against: two-sided p of each row against the best; none of the best itself, or where
            nothing can be told.
    """
    others = max(1, len(against) - 1)
    return [p is None or p / 2 * others > 1 - level for p in against]
