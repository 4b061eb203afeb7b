"""AP of small, medium and large objects at every IoU threshold, from stored detections.

What a cell stores has each of the two alone; TSD, Table 9, has both. Cached as JSON in
``<results>/work/sizes/``. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from detbench.errors import DetbenchError
from detbench.evaluation.accumulate import arrays
from detbench.evaluation.matching import Matches, match
from detbench.evaluation.metric import AREAS, THRESHOLDS
from detbench.evaluation.truth import Truths
from detbench.recipe.experiment import Cell
from detbench.results.cache import Cache
from detbench.results.store import Store
from detbench.runner.plan import Plan, Task

SIZES = {"s": "small", "m": "medium", "l": "large"}
METRICS = tuple(f"AP{percent}{size}" for size in SIZES for percent in THRESHOLDS)

SizeMetrics = Mapping[str, float | None]
CACHE: Cache[SizeMetrics] = Cache(
    folder="sizes",
    method=1,
    dump=dict,
    load=lambda plain: {name: plain[name] for name in METRICS},
)


def of_plan(plan: Plan, store: Store) -> tuple[dict[str, list[SizeMetrics]], str]:
    """Every done row's metrics, one mapping per seed, in [0, 1]; and why rows are left out.

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
        try:
            found[planned.row.label] = [_of_task(store, t, plan.truths) for t in planned.train]
        except DetbenchError as error:
            reason = reason or " ".join(str(error).split())
    return found, reason


def _of_task(store: Store, task: Task, truths: Truths) -> SizeMetrics:
    assert isinstance(task.cell, Cell)
    cell = task.cell

    def compute() -> SizeMetrics:
        detections = store.detections_of(task.digest, task.label)
        return _metrics(match(truths.of(cell.data), detections, cell.evaluation, task.label))

    return CACHE.of(store, task.digest, store.fingerprint(task.digest), compute)


def _metrics(matches: Matches) -> dict[str, float | None]:
    """All of ``METRICS``; none where no object has that size."""
    precision, _ = arrays(matches)
    found: dict[str, float | None] = {}
    for size in SIZES:
        for index, percent in enumerate(THRESHOLDS):
            held = precision[index, :, :, AREAS.index(size)]
            defined = held[held > -1]
            found[f"AP{percent}{size}"] = float(defined.mean()) if len(defined) else None
    return found
