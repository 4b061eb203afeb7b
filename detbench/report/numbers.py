"""The numbers of one row of a table, from the store: mean over seeds, or why there is none."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from detbench.recipe.metrics import CITED, COSTS, ERRORS, SIZED
from detbench.results.store import Store, Stored
from detbench.runner.plan import Plan, PlannedRow, Task

PERCENT = 100.0


@dataclass(frozen=True)
class Number:
    """A measured number as a table shows it.

    Attributes:
        value: mean over the seeds, AP and AR in percent; none is a blank.
        sd: standard deviation over the seeds; none with a single seed.
        seeds: how many.
        reason: of a blank; else empty.
    """

    value: float | None
    sd: float | None = None
    seeds: int = 1
    reason: str = ""


@dataclass(frozen=True)
class RowNumbers:
    """All numbers of a row.

    Attributes:
        status: ``done``, ``failed``, ``missing`` or ``cited``; of the training.
        warnings: what its trainings' first iterations said, each once.
    """

    planned: PlannedRow
    status: str
    reason: str
    measured: dict[str, Number]
    stored: tuple[Stored, ...]
    cost: Stored | None
    warnings: tuple[str, ...] = ()


Derived = Callable[[PlannedRow, str], list[float] | str]
"""A row's value of a metric that is computed from its detections, as a fraction per seed; or why
there is none."""


def row_numbers(plan: Plan, planned: PlannedRow, store: Store, derived: Derived) -> RowNumbers:
    """Read one row's numbers, for the table's columns.

    Of rows that have the same cells the first alone has their numbers; costs are each one's own.

    Args:
        derived: only called for metrics that the table prints.
    """
    cells = [(task, store.get(task.digest)) for task in planned.train]
    reason = planned.reason or planned.same_cell or _why(cells, plan)
    cost = store.get(planned.cost.digest) if planned.cost else None
    no_cost = "" if planned.cost is None else _why([(planned.cost, cost)], plan)
    measured = {}
    for metric in plan.table.columns:
        if metric in CITED:
            measured[metric] = Number(None, reason="as printed; detbench latency measures here")
        elif metric in COSTS:
            measured[metric] = _cost(metric, cost, no_cost or planned.reason)
        elif metric in (*ERRORS, *SIZED):
            measured[metric] = _over_seeds(reason or derived(planned, metric))
        else:
            measured[metric] = _mean(metric, [stored for _, stored in cells], reason)
    found = tuple(stored for _, stored in cells if stored)
    warnings = dict.fromkeys(note for stored in found for note in _warnings(stored))
    status = _status(planned, found)
    return RowNumbers(planned, status, reason, measured, found, cost, tuple(warnings))


def _warnings(stored: Stored) -> list[str]:
    """What the first iteration of a stored training said, see ``training.first_iteration``."""
    seen = stored.rows[0].provenance.get("first")
    notes = seen.get("notes", []) if isinstance(seen, dict) else []
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _status(planned: PlannedRow, found: tuple[Stored, ...]) -> str:
    if not planned.train:
        return "cited"
    if any(stored.status == "failed" for stored in found):
        return "failed"
    return "done" if len(found) == len(planned.train) else "missing"


def _why(cells: list[tuple[Task, Stored | None]], plan: Plan) -> str:
    """Why a number of these cells cannot be given; empty if it can. All seeds, or none."""
    for task, stored in cells:
        if stored is not None and stored.status != "done":
            return f"{task.label}: {stored.status}: {stored.reason}"
    lacking = [task for task, stored in cells if stored is None]
    if not lacking:
        return ""
    if 0 < len(lacking) < len(cells):
        return f"{'; '.join(task.label for task in lacking)}: not run"
    return f"not run with profile {plan.profile.id}"


def _mean(metric: str, cells: list[Stored | None], reason: str) -> Number:
    if reason:
        return Number(None, reason=reason)
    values = []
    for stored in cells:
        row = stored.row(metric) if stored else None
        if row is None or row.value is None:
            return Number(None, reason=row.reason if row else f"{metric} was not measured")
        values.append(row.value)
    return _over_seeds(values)


def _over_seeds(values: list[float] | str) -> Number:
    """Fractions, one per seed, as a percentage; or the reason why there are none."""
    if isinstance(values, str):
        return Number(None, reason=values)
    percent = [PERCENT * value for value in values]
    sd = statistics.stdev(percent) if len(percent) > 1 else None
    return Number(statistics.fmean(percent), sd, len(percent))


def _cost(metric: str, stored: Stored | None, reason: str) -> Number:
    if reason or stored is None:
        return Number(None, reason=reason)
    value = stored.value(metric)
    return Number(value, reason="" if value is not None else f"{metric} was not measured")
