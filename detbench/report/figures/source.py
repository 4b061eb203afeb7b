"""What the plots of a table are drawn from, and what every one of them says."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detbench.recipe.experiment import Cell
from detbench.recipe.resolve import schedule_of
from detbench.report.numbers import PERCENT, RowNumbers
from detbench.results.store import Store
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
class Latencies:
    """Latencies of a table's rows, measured by ``detbench latency`` on one machine.

    Attributes:
        ms: row label -> median milliseconds per image, all steps with NMS.
        how: machine, input and precision, in words.
    """

    ms: Mapping[str, float]
    how: str


@dataclass(frozen=True)
class Source:
    plan: Plan
    store: Store
    rows: list[RowNumbers]
    latency: Latencies

    @property
    def note(self) -> str:
        """What every number of a picture was measured on, and how."""
        plan = self.plan
        seeds = ", ".join(str(seed) for seed in plan.seeds)
        several = len(plan.seeds) > 1
        return (
            f"Profile {plan.profile.id}; measured on {measured_on(plan) or 'nothing'}; "
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


def data_sets(plan: Plan) -> list[str]:
    """What the rows' cells are evaluated on, each once."""
    cells = (task.cell for row in plan.rows for task in row.train)
    names = (one.data.label(one.evaluation.limit) for one in cells if isinstance(one, Cell))
    return list(dict.fromkeys(names))


def measured_on(plan: Plan) -> str:
    """The data that the rows' cells are evaluated on, in words; empty where there are none."""
    return " and ".join(data_sets(plan))


def published_on(plan: Plan) -> str:
    """The data sets of the paper's numbers, in words."""
    schedules = (schedule_of(row.row, plan.table) for row in plan.rows)
    return "+".join(dict.fromkeys(one.data.title for one in schedules if one)) or "its data"
