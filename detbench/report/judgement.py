"""What a table's numbers carry: how sure, by which rule, which rows are like the best. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detbench.report.differences import Bench, Change
from detbench.report.numbers import PERCENT, Number, RowNumbers
from detbench.results import cache
from detbench.results.store import Store
from detbench.runner.plan import Plan
from detbench.statistics import corrections, looks, power
from detbench.statistics.bootstrap import between
from detbench.statistics.estimate import Rule, two_sided
from detbench.statistics.looks import Look
from detbench.statistics.power import Spread

GAINS = (1.0, 0.5)
"""Points of a gain for which the seeds that it needs are said."""


@dataclass(frozen=True)
class Terms:
    """On what terms findings are made.

    Attributes:
        looks: seeds of looks that were planned, (3, 6); empty is one look with a number of seeds
            that was fixed in advance.
        seed_sd: standard deviation over seeds in points, taken for rows of one seed; none is not
            known.
    """

    looks: tuple[int, ...] = ()
    seed_sd: float | None = None


TERMS = Terms()


def look(plan: Plan, store: Store, terms: Terms, changes: Mapping[str, Change]) -> Look:
    """This look at a table, and with how many seeds its rows were looked at before.

    It is kept in ``<results>/work/looks/``, where there is a finding to look at.
    """
    seeds = len(plan.seeds)
    if seeds < 2 or not any(change.found for change in changes.values()):
        return looks.look(seeds, terms.looks)
    rows = {row.row.label: row.train[0].digest for row in plan.rows if row.train}
    shown = sorted(digest for label, digest in rows.items() if changes[label].found)
    path = store.work("looks") / f"{plan.table.id}-{plan.profile.id}.json"
    found = _known(cache.read(path))
    if (seeds, shown) not in found:
        found.append((seeds, shown))
        cache.write(path, [list(one) for one in found])
    return looks.look(seeds, terms.looks, [n for n, seen in found if set(seen) & set(shown)])


def _known(kept: Any) -> list[tuple[int, list[str]]]:
    """What the file of looks holds; nothing of a file of another form."""
    if not isinstance(kept, list):
        return []
    return [
        (one[0], [str(digest) for digest in one[1]])
        for one in kept
        if isinstance(one, list) and len(one) == 2 and isinstance(one[0], int)
        if isinstance(one[1], list)
    ]


def leaders(
    rows: Sequence[RowNumbers], bench: Bench, metric: str, rule: Rule
) -> frozenset[int] | None:
    """Places of the rows that cannot be told from the best in a metric.

    Empty where that is every row, or where one seed tells nothing of methods; none where fewer
    than two rows have the number.

    Args:
        rows: the table's.
    """
    known = {
        place: row.measured[metric]
        for place, row in enumerate(rows)
        if row.measured[metric].value is not None and not row.planned.same
    }
    if len(known) < 2:
        return None
    if max(number.seeds for number in known.values()) == 1 and rule.seed_sd is None:
        return frozenset()
    best = max(known, key=lambda place: known[place].value or 0.0)
    against = [
        None if place == best else _p(rows, bench, metric, (best, place), rule) for place in known
    ]
    kept = [
        place
        for place, like in zip(known, corrections.not_worse(against, rule.level), strict=True)
        if like
    ]
    return frozenset() if len(kept) == len(known) else frozenset(kept)


def _p(
    rows: Sequence[RowNumbers], bench: Bench, metric: str, pair: tuple[int, int], rule: Rule
) -> float | None:
    """p of no difference between two rows: of images and seeds, else of seeds alone."""
    first, second = (rows[place] for place in pair)
    sides = [one.planned for one in (first, second)]
    if metric in bench.metrics and not any(bench.lacks(one) for one in sides):
        a, b = (bench.side(one) for one in sides)
        found = between(a, b, (metric,), rule)[metric]
        return found.p if found.of_methods else None
    return _by_seeds(first.measured[metric], second.measured[metric])


def _by_seeds(a: Number, b: Number) -> float | None:
    """Welch's test of two means over seeds, for metrics that cannot be resampled."""
    if a.value is None or b.value is None or a.sd is None or b.sd is None:
        return None
    terms = [one.sd**2 / one.seeds for one in (a, b) if one.sd is not None]
    spread = sum(term**2 / (one.seeds - 1) for term, one in zip(terms, (a, b), strict=True))
    freedom = sum(terms) ** 2 / spread if spread else 1e9
    return two_sided(b.value - a.value, sum(terms), freedom)


@dataclass(frozen=True)
class Power:
    """What a table could have shown, in points.

    Attributes:
        metric, seeds, images: of the table.
        family: how many differences were looked at together.
        smallest: difference that one row alone shows in 80 % of cases; none with one seed.
        together: the same for a row among all of them.
        spread: what it follows from; none with one seed.
        needed: gain -> seeds a side that show it, none where no number of seeds does, and then
            the images that these seeds would need, none where no number of images does.
        visible: with one seed, the difference of two trainings that the choice of images does not
            hide in 80 % of cases.
    """

    metric: str
    seeds: int
    images: int
    family: int
    smallest: float | None = None
    together: float | None = None
    spread: Spread | None = None
    needed: Mapping[float, tuple[int | None, int | None]] | None = None
    visible: float | None = None


def could_show(changes: Mapping[str, Change], metric: str, seeds: int, rule: Rule) -> Power | None:
    """The power of a table's differences; none where it has none with an interval."""
    found = [
        one.estimate
        for change in changes.values()
        if (one := change.found.get(metric)) and one.estimate and not one.reason
    ]
    if not found:
        return None
    images, family = found[0].images, len(found)
    spread = power.of_estimates(found, seeds)
    if spread is None:
        errors = sorted(one.error for one in found)
        return Power(
            metric, seeds, images, family, visible=2.802 * PERCENT * errors[len(errors) // 2]
        )
    shown = Spread(spread.seeds * PERCENT, spread.images * PERCENT)
    alpha = rule.alpha
    needed = {}
    for gain in GAINS:
        many = power.seeds_for(gain, shown, images, alpha=alpha)
        more = None if many else power.images_for(gain, shown, seeds, alpha=alpha)
        needed[gain] = (many, more)
    return Power(
        *(metric, seeds, images, family),
        power.smallest(shown, seeds, images, alpha=alpha),
        power.smallest(shown, seeds, images, alpha=alpha / family),
        shown,
        needed,
    )
