"""AP of small, medium and large objects at every IoU threshold, from stored detections.

What a cell stores has each of the two alone; TSD, Table 9, has both. Cached as JSON in
``<results>/derived/sizes/``. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from detbench.errors import DetbenchError
from detbench.evaluation import accumulate
from detbench.evaluation.matching import match
from detbench.evaluation.truth import Truths
from detbench.recipe.experiment import Cell
from detbench.recipe.metrics import SIZED
from detbench.results.cache import Cache
from detbench.results.store import Store
from detbench.runner.plan import Plan, PlannedRow, Task

SIZES = {"s": "small", "m": "medium", "l": "large"}
UNDEFINED = "no object of this size among the images"

SizeMetrics = Mapping[str, float | None]
"""All of ``SIZED`` in [0, 1]; none where no object has that size."""
Sized = list[SizeMetrics] | str
"""A mapping per seed; or why there is none."""
CACHE: Cache[SizeMetrics] = Cache(
    folder="sizes",
    method=2,
    dump=dict,
    load=lambda plain: {name: plain[name] for name in SIZED},
)


def of_row(planned: PlannedRow, store: Store, truths: Truths) -> Sized:
    """A row's metrics."""
    try:
        return [_of_task(store, task, truths) for task in planned.train]
    except DetbenchError as error:
        return " ".join(str(error).split())


def values(found: Sized, metric: str) -> list[float] | str:
    """One of ``SIZED`` of a row, a value per seed; or why there is none."""
    if isinstance(found, str):
        return found
    known = [value for one in found if (value := one[metric]) is not None]
    return known if len(known) == len(found) else UNDEFINED


def of_plan(plan: Plan, store: Store) -> tuple[dict[str, list[SizeMetrics]], str]:
    """Every done row's metrics, one mapping per seed; and why rows are left out.

    A row without detections, or whose ground truth is not there, is left out; so is one that has
    the cells of a row above it.
    """
    found: dict[str, list[SizeMetrics]] = {}
    reason = ""
    for planned in plan.rows:
        if planned.same or not planned.train:
            continue
        if any(store.status(t.digest) != "done" for t in planned.train):
            continue
        metrics = of_row(planned, store, plan.truths)
        if isinstance(metrics, str):
            reason = reason or metrics
        else:
            found[planned.row.label] = metrics
    return found, reason


def _of_task(store: Store, task: Task, truths: Truths) -> SizeMetrics:
    assert isinstance(task.cell, Cell)
    cell = task.cell

    def compute() -> SizeMetrics:
        detections = store.detections_of(task.digest, task.label)
        matches = match(truths.of(cell.data), detections, cell.evaluation, task.label)
        return accumulate.values(matches, SIZED)

    return CACHE.of(store, task.digest, store.fingerprint(task.digest), compute)
