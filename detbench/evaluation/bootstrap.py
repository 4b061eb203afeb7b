"""How far a metric, or a difference of two detectors, could be off: images and seeds resampled.

**Images.** A replicate draws as many images as there are, with replacement, the same for both
detectors (a paired bootstrap; Efron and Tibshirani 1993), and re-weights the matches. The interval
of a difference is that of the central 95 % of its replicates; p is twice the smaller share of
replicates on one side of 0, so that p is below 0.05 where the interval leaves 0 out.

Measured on made detectors of known difference it covers the truth in 93.9, 95.8 and 94.5 % of 800,
800 and 400 pairs on 80, 100 and 300 images with 1000 replicates, and in 92.9, 94.5 and 93.8 % with
200; expanded percentile, normal and basic intervals did not differ from it by more than chance.

The metric of a single detector is biased upwards in few images, as precision's ceiling is a
maximum, and by as much again in a replicate. Its interval is therefore shifted by what the
replicates' mean exceeds the metric. In a difference the bias cancels.

**Seeds.** With several seeds on a side the difference is that of the means, and its variance is

    V = V_images + S_a / n_a + S_b / n_b - (J_a / n_a + J_b / n_b)

``V_images``: of the difference of means over the replicates; ``S``: over the seeds, on all images;
``J``: over the replicates, of one seed's own departure from the mean of its side, which is in both
of the terms before (a two-way random-effects layout, images by seeds; Owen 2007, The pigeonhole
bootstrap). V is at least the larger of the first term and the sum of the next two. The interval is
Student's t with Welch and Satterthwaite's degrees of freedom, V^2 / sum((S / n)^2 / (n - 1)), as
only the terms of the seeds are estimated from few.

No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detbench.errors import DataError, RecipeError
from detbench.evaluation import accumulate
from detbench.evaluation.metric import parse
from detbench.progress import Tell

if TYPE_CHECKING:
    from detbench.evaluation.matching import Matches

Floats = NDArray[np.float64]
LEVEL = 0.95
REPLICATES = 1000
FEWEST = 20
"""Replicates below which no interval of 95 % can be told."""


@dataclass(frozen=True)
class Interval:
    """A metric of one detector.

    Attributes:
        value: mean over the seeds, as a fraction; none where no object has that size or class.
        low, high: of the 95 % interval; none where ``value`` is.
        sd: standard deviation over the seeds; none with one seed.
        seeds, replicates: how many.
        sources: what the interval covers: ``images`` or ``images and seeds``.
    """

    value: float | None
    low: float | None
    high: float | None
    sd: float | None
    seeds: int
    replicates: int
    sources: str


@dataclass(frozen=True)
class Difference:
    """A metric of detector b less that of detector a, on the same images.

    Attributes:
        value: b - a, means over the seeds, as a fraction; none where undefined.
        low, high: of the 95 % interval; none where ``value`` is.
        p: two-sided, of no difference; not below 1 / (replicates + 1) with one seed.
        a, b: the metric of each.
        seeds_a, seeds_b, replicates: how many.
        sources: what the interval covers: ``images``, ``images and seeds``, or, with one seed on
            one side, ``images and seeds of a`` (or ``b``).
        sd_a, sd_b: standard deviation over the seeds; none with one seed.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    a: float | None
    b: float | None
    seeds_a: int
    seeds_b: int
    replicates: int
    sources: str
    sd_a: float | None
    sd_b: float | None

    @property
    def real(self) -> bool:
        """Whether the interval leaves no difference out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def interval(
    matches: Sequence[Matches],
    metrics: Sequence[str] = ("AP",),
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Tell | None = None,
) -> dict[str, Interval]:
    """The 95 % interval of each metric of one detector.

    Args:
        matches: one for each seed, at least one, on the same images.
        metrics: names as in ``metric.parse``: ``AP``, ``APs``, ``AP50[person]``.
        replicates: at least 20.
        seed: of the resampling.
        progress: told how many of how many parts are done.

    Raises:
        DataError: the matches are of different images, classes or settings.
        RecipeError: an unknown metric or class, or too few replicates.
    """
    side = _sides((matches,), metrics, replicates, seed, progress)[0]
    count = len(matches)
    sources = "images and seeds" if count > 1 else "images"
    found = {}
    for row, name in enumerate(metrics):
        one = side.metric(row)
        if one is None:
            found[name] = Interval(None, None, None, None, count, replicates, sources)
            continue
        value = float(one.values.mean())
        if count == 1:
            low, high = _quantiles(one.draws[0] - one.draws[0].mean() + value)
            found[name] = Interval(value, low, high, None, 1, replicates, sources)
            continue
        half = _student(*_variance(one.draws.mean(axis=0), (one,)))[0]
        sd = float(one.values.std(ddof=1))
        found[name] = Interval(value, value - half, value + half, sd, count, replicates, sources)
    return found


def difference(
    a: Sequence[Matches],
    b: Sequence[Matches],
    metrics: Sequence[str] = ("AP",),
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Tell | None = None,
) -> dict[str, Difference]:
    """The difference b - a in each metric, with its 95 % interval and p.

    Args:
        a, b: each side's seeds, at least one, all on the same images.
        metrics, replicates, seed, progress: as in ``interval``.

    Raises:
        DataError: the matches are of different images, classes or settings.
        RecipeError: an unknown metric or class, or too few replicates.
    """
    sides = _sides((a, b), metrics, replicates, seed, progress)
    return {
        name: _difference(sides[0].metric(row), sides[1].metric(row), (len(a), len(b)), replicates)
        for row, name in enumerate(metrics)
    }


@dataclass(frozen=True)
class _One:
    """One metric of one side: on all images (seeds,), and of the replicates (seeds, R)."""

    values: Floats
    draws: Floats


@dataclass(frozen=True)
class _Side:
    """All metrics of one side: (seeds, metrics), and of the replicates (seeds, metrics, R)."""

    values: Floats
    draws: Floats

    def metric(self, row: int) -> _One | None:
        """One metric; none where it is not defined."""
        if np.isnan(self.values[:, row]).any():
            return None
        return _One(self.values[:, row], self.draws[:, row])


def _difference(
    a: _One | None, b: _One | None, seeds: tuple[int, int], replicates: int
) -> Difference:
    sources = _sources(*seeds)
    if a is None or b is None:
        nothing = (None,) * 6
        return Difference(*nothing, *seeds, replicates, sources, None, None)
    of_a, of_b = float(a.values.mean()), float(b.values.mean())
    value = of_b - of_a
    draws = b.draws.mean(axis=0) - a.draws.mean(axis=0)
    if max(seeds) == 1:
        low, high = _quantiles(draws)
        p = _share(draws)
    else:
        half, p_of = _student(*_variance(draws, (a, b)))
        low, high, p = value - half, value + half, p_of(value)
    spread = (one.values.std(ddof=1) if len(one.values) > 1 else None for one in (a, b))
    sds = (None if sd is None else float(sd) for sd in spread)
    return Difference(value, low, high, p, of_a, of_b, *seeds, replicates, sources, *sds)


def _sources(a: int, b: int) -> str:
    if max(a, b) == 1:
        return "images"
    if min(a, b) > 1:
        return "images and seeds"
    return f"images and seeds of {'a' if a > 1 else 'b'}"


def _quantiles(draws: Floats) -> tuple[float, float]:
    """The central 95 %; replicates without any such object are left out."""
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _share(draws: Floats) -> float:
    """Twice the smaller share of replicates at or beyond 0, never 0 and at most 1."""
    defined = draws[~np.isnan(draws)]
    smaller = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return float(min(1.0, 2 * (smaller + 1) / (len(defined) + 1)))


def _variance(draws: Floats, sides: Sequence[_One]) -> tuple[float, float]:
    """V of the module's formula, and its degrees of freedom.

    Args:
        draws: (R,), of the value that is reported.
        sides: what it is made of.
    """
    images = float(np.nanvar(draws, ddof=1))
    between, shared, spread = 0.0, 0.0, 0.0
    for side in sides:
        count = len(side.values)
        if count == 1:
            continue
        term = float(side.values.var(ddof=1)) / count
        own = side.draws - side.draws.mean(axis=0)
        # Departures from a mean that they are part of: n - 1 of n are free.
        joint = float(np.nanvar(own, axis=1, ddof=1).sum()) / (count - 1)
        between, shared = between + term, shared + joint / count
        spread += term**2 / (count - 1)
    variance = max(images + between - shared, images, between)
    freedom = variance**2 / spread if spread > 0 else np.inf
    return variance, freedom


def _student(variance: float, freedom: float) -> tuple[float, Callable[[float], float]]:
    """Half the width of the interval, and the p of a value."""
    from scipy.special import stdtr, stdtrit

    if variance == 0:
        return 0.0, lambda value: 1.0 if value == 0 else 0.0
    freedom, error = min(freedom, 1e9), float(np.sqrt(variance))
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    return half, lambda value: float(2 * stdtr(freedom, -abs(value) / error))


def _sides(
    sides: Sequence[Sequence[Matches]],
    metrics: Sequence[str],
    replicates: int,
    seed: int,
    progress: Tell | None,
) -> list[_Side]:
    """Metrics of all sides under the same resampling."""
    if replicates < FEWEST:
        raise RecipeError(f"{replicates} replicates are too few: take at least {FEWEST}")
    every = [matches for side in sides for matches in side]
    for other in every[1:]:
        _check_same(every[0], other)
    wanted = [parse(name, every[0].names) for name in metrics]
    weights = draw(len(every[0].image_ids), replicates, seed)
    held: dict[int, tuple[Floats, Floats]] = {}
    for number, matches in enumerate(every):
        if id(matches) not in held:
            plain = accumulate.values(matches, metrics)
            values = [np.nan if plain[name] is None else plain[name] for name in metrics]
            held[id(matches)] = (
                np.array(values, np.float64),
                accumulate.replicate(matches, weights, wanted),
            )
        if progress is not None:
            progress(number + 1, len(every))
    return [
        _Side(*(np.stack([held[id(matches)][i] for matches in side]) for i in (0, 1)))
        for side in sides
    ]


def draw(images: int, replicates: int, seed: int) -> NDArray[np.uint16]:
    """How often each image counts in each replicate, (images, replicates).

    The same seed gives the same draws, whatever else changes.
    """
    rng = np.random.default_rng(seed)
    counts = np.empty((images, replicates), np.uint16)
    for column in range(replicates):
        counts[:, column] = np.bincount(rng.integers(0, images, images), minlength=images)
    return counts


def _check_same(a: Matches, b: Matches) -> None:
    """Refuse to compare what was not evaluated alike."""
    if not np.array_equal(a.image_ids, b.image_ids):
        raise DataError(
            f"they were evaluated on different images ({len(a.image_ids)} and {len(b.image_ids)}): "
            "a difference takes the same ones"
        )
    if not (np.array_equal(a.category_ids, b.category_ids) and a.names == b.names):
        raise DataError("they were evaluated with different classes: a difference takes the same")
    if not np.array_equal(a.object_starts, b.object_starts):
        raise DataError("they were evaluated on different objects: a difference takes the same")
    rules = [(one.max_detections, one.area_scale) for one in (a.evaluation, b.evaluation)]
    if rules[0] != rules[1]:
        raise DataError(
            "they were evaluated with different settings (max_detections, area_scale "
            f"{rules[0]} and {rules[1]}): a difference takes the same"
        )
