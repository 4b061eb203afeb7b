"""What the plots of a table are drawn from, and what every one of them says."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from detbench.report.numbers import PERCENT, RowNumbers
from detbench.report.results import TableResults
from detbench.runner.plan import Plan
from detbench.statistics.estimate import quantile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 24
"""Lines or bars of more rows than these are not drawn: ``--rows`` chooses."""


@dataclass(frozen=True)
class Picture:
    """A plot that can be drawn.

    Attributes:
        name: of its file, without ending: the table's id and what is shown.
        title: in words, for a reader who does not see it too.
        draw: makes it.
        photographs: it shows some, of many colours.
    """

    name: str
    title: str
    draw: Callable[[], Figure]
    photographs: bool = False


@dataclass(frozen=True)
class Source:
    results: TableResults

    @property
    def plan(self) -> Plan:
        return self.results.plan

    @property
    def rows(self) -> list[RowNumbers]:
        return self.results.rows

    @property
    def note(self) -> str:
        """What every number of a picture was measured on, and how."""
        plan = self.plan
        seeds = ", ".join(str(seed) for seed in plan.seeds)
        several = len(plan.seeds) > 1
        return (
            f"Profile {plan.profile.id}; measured on {self.results.measured_on or 'nothing'}; "
            f"{f'mean of seeds {seeds}' if several else f'seed {seeds}'}."
        )

    @property
    def bars(self) -> str:
        """What the bars at points are; empty with one seed, which has none."""
        if len(self.plan.seeds) < 2:
            return ""
        return (
            " Bars: 95 % interval of the mean over seeds (Student's t), the choice of images aside."
        )

    def first(self, most: int, count: int, what: str = "rows") -> str:
        """What a note ends in where only ``chosen`` ones of ``count`` are drawn."""
        if count <= most:
            return ""
        return f" The first {most} of {count} {what}: --rows chooses others."

    def chosen(self, labels: Sequence[str], most: int) -> list[str]:
        """At most so many of some rows, in order: the first ones, and what they are compared with
        in place of the last.
        """
        few = list(labels[:most])
        if len(labels) <= most:
            return few
        against = {
            change.baseline
            for label in few
            if (change := self.results.changes.get(label)) and change.baseline in labels
        }
        lacking = [label for label in labels if label in against and label not in few]
        return few[: most - len(lacking)] + lacking

    @property
    def printed(self) -> str:
        """What is said of a picture of printed numbers alone."""
        return f"As the paper prints it, on {self.results.published_on}."

    def picture(
        self, name: str, what: str, draw: Callable[..., Figure], data: Any, note: str = ""
    ) -> Picture:
        """What ``draw`` makes of ``data``, a title and a note: by default the one above."""
        title = f"{self.plan.table.id}: {what}"
        words = (title, note or self.note)
        return Picture(f"{self.plan.table.id}-{name}", title, partial(draw, data, *words))


def mean(row: RowNumbers, metric: str) -> float | None:
    """A row's mean over its seeds in percent; none unless every seed is done and has the number,
    or where a row above it has the same cells: a cell has one mark.
    """
    return None if row.planned.same else of_cells(row, metric)


def of_cells(row: RowNumbers, metric: str) -> float | None:
    """``mean``, whoever else has the same cells."""
    if row.status != "done":
        return None
    values = [stored.value(metric) for stored in row.stored]
    known = [value * PERCENT for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def half(row: RowNumbers, metric: str) -> float | None:
    """Half the 95 % interval of ``mean`` over the seeds in percent; none with one seed."""
    values = [value for stored in row.stored if (value := stored.value(metric)) is not None]
    return None if mean(row, metric) is None else half_of(values)


def half_of(values: Sequence[float]) -> float | None:
    """Half the 95 % interval of a mean over seeds in percent, of fractions; none of one."""
    if len(values) < 2:
        return None
    error = PERCENT * statistics.stdev(values) / len(values) ** 0.5
    return quantile(len(values) - 1, 0.975) * error
