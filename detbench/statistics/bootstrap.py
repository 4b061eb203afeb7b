"""How far a metric, or a difference of two detectors, could be off: images and seeds resampled.

A paired bootstrap over the images (Efron and Tibshirani 1993): ``replicates`` draws them and
``estimate`` says what interval and p follow, with one seed and with several. What few images cannot
tell is left out or widened by ``small``.

The metric of a single detector is biased upwards in few images, as precision's ceiling is a
maximum, and by as much again in a replicate. Its interval is therefore shifted by what the
replicates' mean exceeds the metric. In a difference the bias cancels.

How often intervals cover, and differences are found where there are none, stands in
docs/statistics.md. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from detbench.progress import Tell
from detbench.statistics import replicates as resampled
from detbench.statistics.estimate import LEVEL, RULE, Estimate, Part, Rule, combine
from detbench.statistics.replicates import REPLICATES, Replicates, Resampling, of_matches, part
from detbench.statistics.small import FEWEST

if TYPE_CHECKING:
    from detbench.evaluation.matching import Matches

__all__ = ["FEWEST", "LEVEL", "REPLICATES", "Difference", "Interval", "Options"]
__all__ += ["between", "difference", "interval", "of_one"]


@dataclass(frozen=True)
class Options:
    """What is seldom asked for.

    Attributes:
        rule: level of the intervals, and a given spread over seeds.
        clusters: image id -> cluster, drawn whole.
        progress: told how many of how many trainings are resampled.
    """

    rule: Rule = RULE
    clusters: dict[int, Any] | None = None
    progress: Tell | None = None


OPTIONS = Options()


@dataclass(frozen=True)
class Interval:
    """A metric of one detector.

    Attributes:
        value: mean over the seeds, as a fraction; none where no object has that size or class.
        low, high: of the interval; none where ``value`` is, or with a ``reason``.
        sd: standard deviation over the seeds; none with one seed.
        seeds, replicates: how many.
        sources: what the interval covers: ``images`` or ``images and seeds``.
        images: that hold an object that counts.
        reason: why there is no interval; else empty.
    """

    value: float | None
    low: float | None
    high: float | None
    sd: float | None
    seeds: int
    replicates: int
    sources: str
    images: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Difference:
    """A metric of detector b less that of detector a, on the same images.

    Attributes:
        value: b - a, means over the seeds, as a fraction; none where undefined.
        low, high: of the interval; none where ``value`` is, or with a ``reason``.
        p: two-sided, of no difference; not below 2 / (replicates + 1) with one seed. Of what
            ``sources`` says: with ``images`` alone it is of those two trainings, not of methods.
        a, b: the metric of each.
        seeds_a, seeds_b, replicates: how many.
        sources: what the interval covers: ``images``, ``images and seeds``; ``images and seeds of
            a`` (or ``b``) with one seed on the other side, whose spread is taken to be the same;
            ``images and a given spread`` with ``Rule.seed_sd``.
        sd_a, sd_b: standard deviation over the seeds; none with one seed.
        images: that hold an object that counts.
        reason: why there is no interval; else empty.
        estimate: what the interval was made of; none where ``value`` is.
        adjusted: p for all of ``family`` differences that were looked at together; none for one.
        wide: simultaneous interval of that family.
        rare: of how many classes it is a mean, and how many lie in fewer than 10 images.
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
    images: int = 0
    reason: str = ""
    estimate: Estimate | None = field(default=None, repr=False, compare=False)
    adjusted: float | None = None
    wide: tuple[float, float] | None = None
    family: int = 1
    rare: tuple[int, int] = (0, 0)

    @property
    def real(self) -> bool:
        """Whether the interval leaves no difference out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def of_methods(self) -> bool:
        """Whether it is about how the detectors were trained, not about two trainings alone."""
        return self.sources != "images"


def interval(
    matches: Sequence[Matches],
    metrics: Sequence[str] = ("AP",),
    replicates: int = REPLICATES,
    seed: int = 0,
    options: Options = OPTIONS,
) -> dict[str, Interval]:
    """The 95 % interval of each metric of one detector.

    Args:
        matches: one for each seed, at least one, on the same images.
        metrics: names as in ``metric.parse``: ``AP``, ``APs``, ``AP50[person]``.
        replicates: at least 200.
        seed: of the resampling.

    Raises:
        DataError: the matches are of different images, classes or settings.
        RecipeError: an unknown metric or class, or too few replicates.
    """
    [side] = _sides((matches,), metrics, Resampling(replicates, seed, options.clusters), options)
    return of_one(side, metrics, options.rule)


def of_one(
    side: Sequence[Replicates], metrics: Sequence[str], rule: Rule = RULE
) -> dict[str, Interval]:
    """``interval`` of what is resampled already."""
    resampled.check_same(side[0], side[1:])
    return {name: _interval(side, name, rule) for name in metrics}


def _interval(side: Sequence[Replicates], name: str, rule: Rule) -> Interval:
    one, images = part(side, name), side[0].images[name]
    sources = _sources((len(side),), rule)
    if one is None:
        nothing = (None, None, None, None)
        return Interval(*nothing, len(side), len(side[0].draws[name]), sources, images)
    found = combine((one,), (1.0,), images, rule)
    bias = 0.0 if found.seeds else float(np.nanmean(found.draws)) - found.value
    low, high = (None, None) if found.reason else found.interval()
    # What the replicates exceed the metric by.
    ends = (None if end is None else end - bias for end in (low, high))
    count = one.draws.shape[1]
    more = (found.value, *ends, _sd(one), one.seeds, count, sources, images, found.reason)
    return Interval(*more)


def difference(
    a: Sequence[Matches],
    b: Sequence[Matches],
    metrics: Sequence[str] = ("AP",),
    replicates: int = REPLICATES,
    seed: int = 0,
    options: Options = OPTIONS,
) -> dict[str, Difference]:
    """The difference b - a in each metric, with its 95 % interval and p.

    Args:
        a, b: each side's seeds, at least one, all on the same images.
        metrics, replicates, seed: as in ``interval``.

    Raises:
        DataError: the matches are of different images, classes or settings.
        RecipeError: an unknown metric or class, or too few replicates.
    """
    how = Resampling(replicates, seed, options.clusters)
    first, second = _sides((a, b), metrics, how, options)
    return between(first, second, metrics, options.rule)


def between(
    a: Sequence[Replicates], b: Sequence[Replicates], metrics: Sequence[str], rule: Rule = RULE
) -> dict[str, Difference]:
    """``difference`` of what is resampled already."""
    resampled.check_same(a[0], [*a[1:], *b])
    return {name: _difference(a, b, name, rule) for name in metrics}


def _difference(
    a: Sequence[Replicates], b: Sequence[Replicates], name: str, rule: Rule
) -> Difference:
    sides = (part(a, name), part(b, name))
    images, count = a[0].images[name], len(a[0].draws[name])
    rest = (len(a), len(b), count, _sources((len(a), len(b)), rule))
    of_a, of_b = sides
    if of_a is None or of_b is None:
        return Difference(*(None,) * 6, *rest, None, None, images)
    found = combine((of_a, of_b), (-1.0, 1.0), images, rule)
    means = float(of_a.values.mean()), float(of_b.values.mean())
    # Rounded as the difference of what is printed.
    found = replace(found, value=means[1] - means[0])
    low, high, p = (None, None, None) if found.reason else (*found.interval(), found.p())
    more = (*rest, _sd(of_a), _sd(of_b), images, found.reason)
    made = Difference(found.value, low, high, p, means[0], means[1], *more)
    return replace(made, estimate=found, rare=a[0].rare[name])


def _sd(one: Part) -> float | None:
    return float(one.values.std(ddof=1)) if one.seeds > 1 else None


def _sources(seeds: Sequence[int], rule: Rule) -> str:
    """What an interval covers; see ``Difference.sources``."""
    alone = [count == 1 for count in seeds]
    if not any(alone):
        return "images and seeds"
    if rule.seed_sd is not None:
        return "images and a given spread"
    if all(alone):
        return "images"
    return f"images and seeds of {'a' if alone[1] else 'b'}"


def _sides(
    sides: Sequence[Sequence[Matches]],
    metrics: Sequence[str],
    resampling: Resampling,
    options: Options,
) -> list[list[Replicates]]:
    """All sides under the same resampling; a training that is in several is resampled once."""
    held: dict[int, Replicates] = {}
    every = [matches for side in sides for matches in side]
    for number, matches in enumerate(every):
        if id(matches) not in held:
            held[id(matches)] = of_matches(matches, metrics, resampling)
        if options.progress is not None:
            options.progress(number + 1, len(every))
    return [[held[id(matches)] for matches in side] for side in sides]
