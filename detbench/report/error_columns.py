"""What each type of error costs a row, from its stored detections: TIDE, cached.

Kept as JSON in ``<results>/work/errors/``, named by the cell and its detections. Nothing
is trained or detected. No torch.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from detbench.errors import DetbenchError, StoreError
from detbench.evaluation import truth
from detbench.evaluation.detections import check_results
from detbench.evaluation.error_types import ErrorTypes, error_types
from detbench.recipe.experiment import Cell, Data
from detbench.recipe.table import ERRORS, SPECIAL_ERRORS
from detbench.results import kept
from detbench.results.store import Store
from detbench.runner.plan import Plan, PlannedRow, Task

METHOD = 1
"""Raise it when the types are told apart otherwise: what was kept before is computed again."""
FIELDS = {
    **{name: name.removeprefix("E_") for name in ERRORS},
    **dict(zip(SPECIAL_ERRORS, ("false_positive", "false_negative"), strict=True)),
}
"""Column -> field of ``ErrorTypes``."""
NOTE = (
    "Error types after TIDE (Bolya et al. 2020): the AP50, in percentage points, that mending the "
    "errors of one type alone would gain: Cls wrong class, Loc box too far off, Both, Dupe second "
    "box of an object, Bkg nothing there, Miss object not found. They do not add up."
)


def values(plan: Plan, planned: PlannedRow, store: Store, column: str) -> list[float] | str:
    """One column of one row, as fractions, a value per seed; or why there is none."""
    found = []
    for task in planned.train:
        try:
            one = of_cell(task, store, plan.data_root)
        except DetbenchError as error:
            return " ".join(str(error).split())
        if one is None:
            return "the images have no object but crowds"
        found.append(float(getattr(one, FIELDS[column])))
    return found


def of_cell(task: Task, store: Store, data_root: Path | None) -> ErrorTypes | None:
    """A cell's error types, from memory, the cache, or its detections.

    Returns:
        Fractions; none where the images have no object but crowds.

    Raises:
        StoreError: it has no detections, or they are damaged.
        DataError: its ground truth is not there, or does not belong to the detections.
    """
    assert isinstance(task.cell, Cell)
    mark = store.fingerprint(task.digest)
    if mark is None:
        raise StoreError(f"{task.label}: no detections are stored")
    key = f"{task.digest}-{mark}"
    path = store.work("errors") / f"{key}.json"
    found = _MEMORY.get(key) or _read(path)
    if found is None:
        found = {"method": METHOD, "errors": _compute(task.cell, task, store, data_root)}
        kept.keep(path, found)
    _MEMORY[key] = found
    return None if found["errors"] is None else ErrorTypes(**found["errors"])


_MEMORY: dict[str, dict[str, Any]] = {}
"""What was found in this process: a store that cannot be written keeps nothing."""


def _read(path: Path) -> dict[str, Any] | None:
    """What was kept, if it is whole and of this method."""
    try:
        content = kept.read(path)
        if content["method"] != METHOD:
            return None
        if content["errors"] is not None:
            ErrorTypes(**content["errors"])
    except (KeyError, TypeError):
        return None
    found: dict[str, Any] = content
    return found


def _compute(
    cell: Cell, task: Task, store: Store, data_root: Path | None
) -> dict[str, float] | None:
    detections = store.detections_of(task.digest, task.label)
    ground = _truth(cell.data, data_root or Path("data"))
    check_results(ground, detections, task.label)
    found = error_types(ground, detections, cell.evaluation)
    return None if found is None else asdict(found)


@lru_cache(maxsize=1)
def _truth(data: Data, data_root: Path) -> dict[str, Any]:
    """Kept for the next row, which most often is of the same data set."""
    return truth.of_data(data, data_root)
