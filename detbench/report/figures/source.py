"""What the plots of a table are drawn from, and what every one of them says."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detbench.report.numbers import PERCENT, RowNumbers
from detbench.report.results import TableResults
from detbench.runner.plan import Plan

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
    """

    name: str
    title: str
    draw: Callable[[], Figure]


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

    def title(self, what: str) -> str:
        return f"{self.plan.table.id}: {what}"

    def picture(self, name: str, what: str, draw: Callable[[], Figure]) -> Picture:
        return Picture(f"{self.plan.table.id}-{name}", self.title(what), draw)


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
