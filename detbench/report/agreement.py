"""How often two rows of a table are measured in the order that their paper prints. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from itertools import combinations

from detbench.errors import DetbenchError
from detbench.report.claims import ROUNDED
from detbench.report.results import TableResults
from detbench.runner.plan import PlannedRow
from detbench.statistics import replicates as resampled
from detbench.statistics.estimate import Part, Rule, combine


@dataclass(frozen=True)
class Agreement:
    """Pairs of rows, counted.

    Attributes:
        agree, contradict: whose interval leaves 0 out, in the printed order and in the other one;
            with all seeds on both sides.
        undecided: whose interval holds 0.
        one_seed_agree, one_seed_contradict, one_seed_undecided: the same of pairs with a single
            seed: of those trainings, not of methods.
        ties: printed alike, whatever is measured.
        missing: not measured.
    """

    agree: int = 0
    contradict: int = 0
    undecided: int = 0
    one_seed_agree: int = 0
    one_seed_contradict: int = 0
    one_seed_undecided: int = 0
    ties: int = 0
    missing: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def pairs(self) -> int:
        return sum(astuple(self))

    def plain(self) -> dict[str, int]:
        """As json carries it."""
        return {"pairs": self.pairs, **{f.name: getattr(self, f.name) for f in fields(self)}}


def total(found: Iterable[Agreement]) -> Agreement:
    """Of several tables."""
    return sum(found, Agreement())


def of_table(results: TableResults) -> Agreement:
    """All pairs of a table's rows that are printed and run here, in its main metric; a row whose
    cells are those of another is passed over.
    """
    metric = results.main_metric
    if metric is None:
        return Agreement()
    rows = [
        (one, one.row.published[metric], _sides(one, results, metric))
        for one in results.plan.rows
        if one.train and not one.same and one.row.published.get(metric) is not None
    ]
    found = Agreement()
    for (_, first, a), (_, second, b) in combinations(rows, 2):
        found += _pair(first - second, a, b, results.rule)
    return found


Sides = dict[int, tuple[Part, int]]
"""Seeds -> the metric of so many, and the images that count."""


def _sides(planned: PlannedRow, results: TableResults, metric: str) -> Sides:
    """A row's metric with all seeds and with the first alone, as far as they are stored."""
    found: Sides = {}
    for seeds in dict.fromkeys((len(planned.train), 1)):
        row = replace(planned, train=planned.train[:seeds])
        if results.bench.lacks(row):
            continue
        try:
            side = results.bench.side(row)
            resampled.check_same(side[0], side[1:])
        except DetbenchError:
            continue
        if (part := resampled.part(side, metric)) is not None:
            found[seeds] = (part, side[0].images[metric])
    return found


def _pair(printed: float, a: Sides, b: Sides, rule: Rule) -> Agreement:
    """One pair, counted in its place."""
    if abs(printed) < ROUNDED:
        return Agreement(ties=1)
    seeds = next((count for count in a if count in b), 0)
    if not seeds:
        return Agreement(missing=1)
    (one, images), (other, _) = a[seeds], b[seeds]
    made = combine((one, other), (1.0, -1.0), images, rule)
    kind = "undecided"
    if not made.reason:
        low, high = made.interval()
        if low > 0 or high < 0:
            kind = "agree" if (low > 0) == (printed > 0) else "contradict"
    return Agreement(**{kind if seeds > 1 else f"one_seed_{kind}": 1})
