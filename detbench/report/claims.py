"""What a table's numbers say of the claims about it. No torch.

Every claim becomes contrasts: sums of numbers of rows, with the bounds within which the claim
holds. Where the numbers come from is the caller's: ``printed`` reads a paper's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise, product
from math import inf
from typing import Any, Literal

from detbench.recipe import metrics
from detbench.recipe.claim_rows import Pair, looked, pairs, rivals, sequences, sums
from detbench.recipe.claims import (
    Additive,
    Best,
    Better,
    Cheaper,
    Claim,
    Equal,
    Figure,
    Grows,
    Order,
    Shown,
)
from detbench.recipe.table import Table
from detbench.report.numbers import PERCENT


@dataclass(frozen=True)
class Told:
    """A number of an analysis, in place of a column's key: its name, part and group of objects."""

    name: str
    part: str
    group: str

    def __str__(self) -> str:
        of = "" if self.group == "all" else f", {self.group}"
        return f"{self.name}, {self.part}{of}"


Metric = str | Told
Term = tuple[float, str, Metric]
"""Weight, row and metric of a number in a sum."""
Read = Callable[[str, Metric], float | None]
"""The number of a row's label and a metric's key, in the column's unit; None if there is none."""

Outcome = Literal["holds", "off", "opposite"]
Status = Literal["in full", "in part", "contradicted", "not printed"]

DIGITS = 3
"""Decimals of a number of an analysis that says none itself."""
ROUNDED = 1e-6
"""Differences of printed decimals are exact up to this."""


@dataclass(frozen=True)
class Contrast:
    """One comparison of a claim.

    Attributes:
        name: of the rows, to print.
        metrics: that it reads, all of them columns or numbers of an analysis; the last one's
            digits are those of the difference.
        terms: weight, row and metric of each number in the sum.
        low, high: the claim holds from ``low`` to ``high``.
        strict: ``low`` itself is not enough.
        directed: a sum below zero is the opposite of what is claimed.
        share_of: row and metric that the sum is divided by; none: it stays in points.
        question: contrasts of a claim with the same one ask the same of other rows, as of another
            host or backbone.
        figure: of numbers of an analysis, the claim that says which.
        margin: differences below it do not matter; none: as of all claims.
    """

    name: str
    metrics: tuple[Metric, ...]
    terms: tuple[Term, ...]
    low: float = 0.0
    high: float = inf
    strict: bool = False
    directed: bool = True
    share_of: tuple[str, str] | None = None
    question: str = ""
    figure: Figure | None = None
    margin: float | None = None

    @property
    def factor(self) -> float:
        """What a measured fraction is multiplied by: scores are printed in per cent."""
        return 1.0 if self.figure is not None else PERCENT

    def value(self, read: Read) -> float | None:
        """The sum, or share; None where a number of it is missing."""
        numbers = [read(row, metric) for _, row, metric in self.terms]
        whole = 1.0 if self.share_of is None else read(*self.share_of)
        if whole is None or any(number is None for number in numbers):
            return None
        weights = (weight for weight, _, _ in self.terms)
        return sum(w * n for w, n in zip(weights, numbers, strict=True) if n is not None) / whole

    def outcome(self, value: float) -> Outcome:
        """What a sum says: the claim ``holds``, is ``off`` in amount, or the ``opposite`` is so."""
        above = value > self.low + ROUNDED if self.strict else value >= self.low - ROUNDED
        if above and value <= self.high + ROUNDED:
            return "holds"
        return "opposite" if self.directed and value < -ROUNDED else "off"


@dataclass(frozen=True)
class Compared:
    """A contrast with what numbers give; without one, ``value`` and ``outcome`` are none.

    Attributes:
        digits: of a number of an analysis; of columns they are known.
    """

    contrast: Contrast
    value: float | None
    outcome: Outcome | None
    digits: int = DIGITS


@dataclass(frozen=True)
class Finding:
    """What numbers say of a claim.

    Attributes:
        number: of the claim in its table, from 1.
        compared: none of a figure that names no numbers.
    """

    table: str
    number: int
    claim: Claim
    compared: tuple[Compared, ...]

    @property
    def known(self) -> tuple[Compared, ...]:
        """The contrasts all of whose numbers are there."""
        return tuple(one for one in self.compared if one.value is not None)

    @property
    def failing(self) -> tuple[Compared, ...]:
        """Those that do not bear the claim out."""
        return tuple(one for one in self.known if one.outcome != "holds")

    @property
    def status(self) -> Status:
        """Whether the numbers bear the claim out, as far as they are there."""
        if not self.known:
            return "not printed"
        if not self.failing:
            return "in full"
        return "contradicted" if len(self.failing) == len(self.known) else "in part"


def printed(table: Table) -> list[Finding]:
    """What the printed numbers of a table say of each of its claims."""
    numbers = {row.label: row.published for row in table.rows}

    def read(row: str, metric: Metric) -> float | None:
        return numbers[row].get(metric) if isinstance(metric, str) else None

    return findings(table, read)


def findings(table: Table, read: Read) -> list[Finding]:
    """What numbers say of each of a table's claims."""
    found = []
    for number, claim in enumerate(table.claims, 1):
        compared = []
        for contrast in contrasts(claim, table):
            value = contrast.value(read)
            outcome = None if value is None else contrast.outcome(value)
            compared.append(Compared(contrast, value, outcome))
        found.append(Finding(table.id, number, claim, tuple(compared)))
    return found


@singledispatch
def contrasts(claim: Any, table: Table) -> list[Contrast]:
    """The comparisons that a claim stands for, every one of which it needs."""
    raise TypeError(f"no such claim: {type(claim).__name__}")


@contrasts.register
def _figure(claim: Figure, table: Table) -> list[Contrast]:
    return [
        Contrast(
            row if than is None else f"{row} over {than}",
            tuple(told for _, told in _tell(one)),
            tuple(
                (sign * weight, label, told)
                for sign, label in ((1.0, row), (-1.0, than))
                if label is not None
                for weight, told in _tell(one)
            ),
            **_within(one),
            # Rows by themselves are asked each; the same comparison of several rows is pooled.
            question=f"{number}" if than is not None else f"{number} {row}",
            figure=claim,
            margin=one.margin or 0.0,
        )
        for row, than in looked(claim, table)
        for number, one in enumerate(claim.shows)
    ]


def _tell(one: Shown) -> list[tuple[float, Told]]:
    """The numbers that a claim's number is a sum of, with their weights; its own the last."""
    axes: list[list[tuple[float, str]]] = []
    for key in ("name", "part", "group"):
        less = None if one.less is None else getattr(one.less, key)
        own = (1.0, getattr(one, key))
        axes.append([own] if less is None else [(-1.0, less), own])
    sign = -1.0 if one.falls else 1.0
    return [
        (sign * a * b * c, Told(name, part, group))
        for (a, name), (b, part), (c, group) in product(*axes)
    ]


def _within(one: Shown) -> dict[str, Any]:
    """Bounds of a number; with ``most`` alone there is none below, and no opposite of a sign."""
    if one.least is None and one.most is not None:
        return {"low": -inf, "high": one.most, "directed": False}
    return _bounds(one.least, one.most)


@contrasts.register
def _better(claim: Better, table: Table) -> list[Contrast]:
    bounds = _bounds(claim.least, claim.most)
    return [
        Contrast(_over(pair, claim), (key,), _gain(pair, key), question=key, **bounds)
        for pair in pairs(claim, table)
        for key in claim.metrics
    ]


@contrasts.register
def _cheaper(claim: Cheaper, table: Table) -> list[Contrast]:
    bounds = _bounds(claim.least, claim.most)
    return [
        Contrast(_over(pair, claim), (key,), _gain(pair, key), share_of=(pair[1], key), **bounds)
        for pair in pairs(claim, table)
        for key in claim.metrics
    ]


@contrasts.register
def _equal(claim: Equal, table: Table) -> list[Contrast]:
    margin = claim.margin if claim.margin is not None else claim.share or 0.0
    return [
        Contrast(
            _over(pair, claim),
            (key,),
            ((1.0, pair[0], key), (-1.0, pair[1], key)),
            -margin,
            margin,
            directed=False,
            share_of=None if claim.share is None else (pair[1], key),
            question=key,
        )
        for pair in pairs(claim, table)
        for key in claim.metrics
    ]


@contrasts.register
def _grows(claim: Grows, table: Table) -> list[Contrast]:
    keys = claim.metrics
    steps = {
        "steadily": list(pairwise(keys)),
        "first": [(keys[0], key) for key in keys[1:]],
        "last": [(key, keys[-1]) for key in keys[:-1]],
    }[claim.shape]
    return [
        Contrast(
            _over(pair, claim),
            step,
            _gain(pair, step[1]) + _times(-1.0, _gain(pair, step[0])),
            strict=True,
            question=" ".join(step),
        )
        for pair in pairs(claim, table)
        for step in steps
    ]


@contrasts.register
def _order(claim: Order, table: Table) -> list[Contrast]:
    sign = -1.0 if claim.falls else 1.0
    return [
        Contrast(
            f"{after} after {before}",
            (key,),
            _times(sign, _gain((after, before), key)),
            strict=True,
            question=f"{place} {key}",
        )
        for sequence in sequences(claim, table)
        for place, (before, after) in enumerate(pairwise(sequence))
        for key in claim.metrics
    ]


@contrasts.register
def _best(claim: Best, table: Table) -> list[Contrast]:
    return [
        Contrast(name, (key,), _gain(pair, key), strict=True, question=f"{name} {key}")
        for pair in rivals(claim, table)
        for name in [f"{pair[0]} over {pair[1]}"]
        for key in claim.metrics
    ]


@contrasts.register
def _additive(claim: Additive, table: Table) -> list[Contrast]:
    found = []
    sign = -1.0 if claim.sum == "less" else 1.0
    for whole, base, parts in sums(claim, table):
        for key in claim.metrics:
            terms = _gain((whole, base), key)
            for part in parts:
                terms += _times(-1.0, _gain((part, base), key))
            name, terms = f"{whole} beyond the sum", _times(sign, terms)
            if claim.margin is None:
                found.append(Contrast(name, (key,), terms, strict=True, question=key))
            else:
                bounds = (-claim.margin, claim.margin)
                found.append(Contrast(name, (key,), terms, *bounds, directed=False, question=key))
    return found


def _over(pair: Pair, claim: Any) -> str:
    """A pair by name; what is compared with its baseline by its own alone."""
    return pair[0] if claim.than is None else f"{pair[0]} over {pair[1]}"


def _gain(pair: Pair, metric: str) -> tuple[Term, ...]:
    """By how much the first of a pair is better: more, or of what costs less, less."""
    sign = -1.0 if metrics.find(metric).lower else 1.0
    return (sign, pair[0], metric), (-sign, pair[1], metric)


def _times(factor: float, terms: Sequence[Term]) -> tuple[Term, ...]:
    return tuple((factor * weight, row, metric) for weight, row, metric in terms)


def _bounds(least: float | None, most: float | None) -> dict[str, Any]:
    low = 0.0 if least is None else least
    return {"low": low, "high": inf if most is None else most, "strict": least is None}
