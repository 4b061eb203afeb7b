"""What a store has of one table: all that tables, pages, plots and analyses take.

Each part is read or computed once, when it is first asked for. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from detbench.progress import Tell
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.recipe.metrics import MASK_SCORES, SCORES, SIZED, find
from detbench.recipe.resolve import paper_detector, schedule_of
from detbench.recipe.table import Row
from detbench.report import (
    by_size,
    conditions,
    effects,
    error_columns,
    judgement,
    other_profiles,
    signature,
)
from detbench.report.differences import Bench, Change
from detbench.report.effects import Effects
from detbench.report.error_columns import Errors
from detbench.report.judgement import TERMS, Power, Terms
from detbench.report.numbers import PERCENT, RowNumbers, row_numbers
from detbench.results.store import Store
from detbench.runner import latency
from detbench.runner.latency import Timed
from detbench.runner.plan import (
    Plan,
    PlannedRow,
    Request,
    Standing,
    Task,
    choose,
    outdated,
    standing,
)
from detbench.statistics import looks
from detbench.statistics.bootstrap import REPLICATES
from detbench.statistics.estimate import Rule
from detbench.statistics.looks import Look
from detbench.training import curve


@dataclass(frozen=True)
class Curve:
    """A training's losses.

    Attributes:
        status: of its cell: ``done``, ``missing``, ``failed`` or ``skipped``.
        points: (iteration, loss), finite ones.
    """

    status: str
    points: tuple[tuple[int, float], ...]


class TableResults:
    """A table's measurements.

    Args:
        plan: which rows, seeds and profile.
        store: read as it is now: what is added later is not seen.
        terms: on which findings are made.

    Raises:
        RecipeError: looks are planned that the seeds are none of.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        terms: Terms = TERMS,
    ) -> None:
        self.plan = plan
        self.terms = terms
        alpha = looks.look(len(plan.seeds), terms.looks).alpha
        sd = None if terms.seed_sd is None else terms.seed_sd / PERCENT
        self.rule = Rule(1 - alpha, sd)
        self.store = store.snapshot()
        self._changes: dict[str, Change] | None = None
        self._errors: dict[str, Errors] = {}
        self._sized: dict[str, by_size.Sized] = {}

    @classmethod
    def of(cls, request: Request, store: Store, terms: Terms = TERMS) -> TableResults:
        """The results of the table that is asked for.

        Raises:
            RecipeError: the request has mistakes.
        """
        return cls(choose(request), store, terms=terms)

    @cached_property
    def rows(self) -> list[RowNumbers]:
        """Every row's numbers, in the table's order."""
        return [row_numbers(self.plan, one, self.store, self._derived) for one in self.plan.rows]

    def _derived(self, planned: PlannedRow, metric: str) -> list[float] | str:
        """A metric that detections give, a value per seed; or why there is none."""
        if metric in SIZED:
            name = planned.row.label
            if name not in self._sized:
                self._sized[name] = by_size.of_row(planned, self.store, self.plan.truths)
            return by_size.values(self._sized[name], metric)
        return error_columns.values(self.errors(planned), metric)

    def errors(self, planned: PlannedRow) -> Errors:
        """What each type of error costs a row: one record per seed, or why there is none."""
        name = planned.row.label
        if name not in self._errors:
            self._errors[name] = error_columns.of_row(planned, self.store, self.plan.truths)
        return self._errors[name]

    def compare(self, progress: Tell | None = None) -> dict[str, Change]:
        """``changes``; what is not cached is computed, which takes seconds on a large data set."""
        if self._changes is None:
            self._changes = self.bench.changes(self.rule, progress) if self.scores else {}
        return self._changes

    @property
    def changes(self) -> dict[str, Change]:
        """Each row against its baseline in every score; empty if the table has none."""
        return self.compare()

    @property
    def main_metric(self) -> str | None:
        """The metric that rows are compared by: AP, else the first of COCO's that is printed."""
        return "AP" if "AP" in self.scores else next(iter(self.scores), None)

    @cached_property
    def scores(self) -> tuple[str, ...]:
        """The table's metrics that can be resampled."""
        known = (*SCORES, *MASK_SCORES, *SIZED)
        return tuple(metric for metric in self.plan.table.columns if metric in known)

    @cached_property
    def bench(self) -> Bench:
        """The trainings in every bootstrap replicate."""
        return Bench(self.plan, self.store, self.scores)

    @cached_property
    def look(self) -> Look:
        """By which rule seeds were chosen, and how often the table was looked at."""
        return judgement.look(self.plan, self.store, self.terms, self.changes)

    @cached_property
    def leaders(self) -> dict[str, frozenset[int]]:
        """Metric -> places of the rows that cannot be told from the best, see ``judgement``."""
        self.compare()
        blocks = ("score", "mask score", "sized", "own score")
        own = [m for m in self.plan.table.columns if find(m).block in blocks]
        found = {m: judgement.leaders(self.rows, self.bench, m, self.rule) for m in own}
        return {metric: rows for metric, rows in found.items() if rows is not None}

    @cached_property
    def power(self) -> Power | None:
        """What differences in the main metric the table could have shown."""
        if self.main_metric is None:
            return None
        return judgement.could_show(self.changes, self.main_metric, len(self.plan.seeds), self.rule)

    @cached_property
    def effects(self) -> Effects | None:
        """Main effects and interactions of the table's settings; none where it is no grid."""
        if self.main_metric is None:
            return None
        self.compare()
        return effects.of_rows(self.plan, self.bench, self.main_metric, self.rule)

    @cached_property
    def signature(self) -> dict[str, str]:
        """What the numbers depend on, part by part; empty where nothing is measured."""
        protocols = [one.rows[0].protocol for row in self.rows for one in row.stored if one.rows]
        if not protocols:
            return {}
        method = "images" if len(self.plan.seeds) == 1 else "images+seeds-t"
        how = f"bootstrap{REPLICATES}-{method}"
        return signature.of_rows(self.cells, protocols, self.plan.seeds, how)

    @cached_property
    def conditions(self) -> dict[str, dict[str, int]]:
        """In what its trained cells differ beside their recipes, see ``report.conditions``."""
        stored = {one.rows[0].digest: one for row in self.rows for one in row.stored}
        return conditions.differing(stored.values())

    @cached_property
    def standing(self) -> Standing:
        """Which cells are done, failed and missing."""
        return standing(self.store, self.plan.tasks)

    @cached_property
    def outdated(self) -> list[str]:
        """What is stored of missing cells and does not count, in sentences."""
        return outdated(self.store, self.standing.missing)

    @cached_property
    def sizes(self) -> tuple[dict[str, list[by_size.SizeMetrics]], str]:
        """AP by object size and IoU threshold, see ``by_size.of_plan``."""
        return by_size.of_plan(self.plan, self.store)

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Row -> the losses of the first seed's training, done or not; each training once."""
        found: dict[str, Curve] = {}
        tasks: dict[str, tuple[str, Task]] = {}
        for row in self.plan.rows:
            if row.train:
                tasks.setdefault(row.train[0].work, (row.row.label, row.train[0]))
        for name, task in tasks.values():
            points = tuple(
                (int(line["iteration"]), float(line["total"]))
                for line in curve.read(self.store.work(task.work) / "curve.jsonl")
                if math.isfinite(line.get("total", math.nan))
            )
            if points:
                found[name] = Curve(self.store.status(task.digest), points)
        return found

    @cached_property
    def latencies(self) -> dict[str, list[Timed]]:
        """Row -> stored times, of the network that is trained for it or of its paper-size detector;
        rows without any are left out.
        """
        known = latency.stored(self.store)
        found = {}
        for planned in self.plan.rows if known else ():
            label = planned.row.label
            paper = paper_detector(planned.row)
            both = self.trained_detectors(label) | ({digest(paper)} if paper else set())
            if timed := latency.of(both, known):
                found[label] = timed
        return found

    def trained_detectors(self, label: str) -> set[str]:
        """Digests of what is trained for a row: one, or none."""
        tasks = [task for row in self.plan.rows if row.row.label == label for task in row.train]
        return {digest(task.cell.detector) for task in tasks if isinstance(task.cell, Cell)}

    @cached_property
    def other_profiles(self) -> dict[str, int]:
        """Profile -> how many of the table's cells are stored under it and not shown."""
        return other_profiles.counts(self.plan, self.store)

    @cached_property
    def cells(self) -> list[Cell]:
        """What is trained, each once."""
        return self.plan.cells

    @property
    def comparable(self) -> bool:
        """Whether every row that is run follows the paper's protocol."""
        run = [row for row in self.plan.rows if row.train]
        return bool(run) and all(row.comparable for row in run)

    @property
    def comparable_rows(self) -> list[str]:
        """Labels of the rows that follow the paper's protocol, on the paper's data."""
        return [row.row.label for row in self.plan.rows if row.comparable]

    @property
    def data_sets(self) -> list[str]:
        """What the cells are evaluated on, each once."""
        return list(dict.fromkeys(one.data.label(one.evaluation.limit) for one in self.cells))

    @property
    def measured_on(self) -> str:
        """``data_sets`` in words; empty where there are none."""
        return " and ".join(self.data_sets)

    @property
    def measured_kind(self) -> str:
        """The kinds of data that were measured on, in words."""
        return "+".join(dict.fromkeys(one.data.title for one in self.cells)) or "here"

    def printed_on(self, row: Row) -> str:
        """The data set of the paper's numbers of a row, in words."""
        schedule = schedule_of(row, self.plan.table)
        own = schedule.data.title if schedule else "its data"
        return self.plan.table.elsewhere(row) or own

    @property
    def published_on(self) -> str:
        """The data sets of the paper's numbers, in words."""
        table = self.plan.table
        rows = [row.row for row in self.plan.rows]
        named = dict.fromkeys(one for row in rows if (one := table.elsewhere(row)))
        here = [schedule_of(row, table) for row in rows if table.elsewhere(row) is None]
        kinds = dict.fromkeys(one.data.title for one in here if one)
        return " or ".join([*named, *(["+".join(kinds)] if kinds else [])]) or "its data"
