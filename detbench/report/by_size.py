"""AP of small, medium and large objects at every IoU threshold, from stored detections.

What a cell stores has each of the two alone; TSD, Table 9, has both. Kept as JSON in
``<results>/work/sizes/``, named by what it depends on. No torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from detbench.errors import DetbenchError
from detbench.evaluation.accumulate import arrays
from detbench.evaluation.matching import Matches, match
from detbench.evaluation.metric import AREAS, THRESHOLDS
from detbench.evaluation.truth import Truths
from detbench.recipe.experiment import Cell
from detbench.results import kept
from detbench.results.store import Store
from detbench.runner.plan import Plan, Task

SIZES = {"s": "small", "m": "medium", "l": "large"}
METRICS = tuple(f"AP{percent}{size}" for size in SIZES for percent in THRESHOLDS)
METHOD = 1
"""Raise it when they are computed otherwise: what was kept before is computed again."""

Found = Mapping[str, float | None]


def of_plan(plan: Plan, store: Store) -> tuple[dict[str, list[Found]], str]:
    """Every done row's metrics, one mapping per seed, in [0, 1]; and why rows are left out.

    A row without detections, or whose ground truth is not there, is left out.
    """
    truths = Truths(plan.data_root)
    found: dict[str, list[Found]] = {}
    reason = ""
    for planned in plan.rows:
        if not planned.train or any(store.status(t.digest) != "done" for t in planned.train):
            continue
        try:
            found[planned.row.label] = [_of_task(store, t, truths) for t in planned.train]
        except DetbenchError as error:
            reason = reason or " ".join(str(error).split())
    return found, reason


def _of_task(store: Store, task: Task, truths: Truths) -> Found:
    assert isinstance(task.cell, Cell)
    parts = [METHOD, task.digest, store.fingerprint(task.digest)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    path = store.work("sizes") / f"{key}.json"
    try:
        before = kept.read(path)
        return {name: before[name] for name in METRICS}
    except (KeyError, TypeError):
        pass
    detections = store.detections_of(task.digest, task.label)
    truth = truths.of(task.cell.data)
    found = _metrics(match(truth, detections, task.cell.evaluation, task.label))
    kept.keep(path, found)
    return found


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
