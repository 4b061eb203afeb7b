"""What each type of error costs a row, from its stored detections: TIDE, cached.

Cached as JSON in ``<results>/derived/errors/``. Nothing is trained or detected. No torch.
"""

from __future__ import annotations

from dataclasses import asdict

from detbench.errors import DetbenchError
from detbench.evaluation.detections import check_results
from detbench.evaluation.error_types import ErrorTypes, error_types
from detbench.evaluation.truth import Truths
from detbench.recipe.experiment import Cell
from detbench.recipe.metrics import METRICS
from detbench.results.cache import Cache
from detbench.results.store import Store
from detbench.runner.plan import PlannedRow, Task

CACHE: Cache[ErrorTypes | None] = Cache(
    folder="errors",
    method=1,
    dump=lambda found: None if found is None else asdict(found),
    load=lambda plain: None if plain is None else ErrorTypes(**plain),
)
NOTE = (
    "Error types after TIDE (Bolya et al. 2020): the AP50, in percentage points, that mending the "
    "errors of one type alone would gain: Cls wrong class, Loc box too far off, Both, Dupe second "
    "box of an object, Bkg nothing there, Miss object not found. They do not add up."
)


Errors = tuple[ErrorTypes, ...] | str
"""A record per seed; or why there is none."""


def of_row(planned: PlannedRow, store: Store, truths: Truths) -> Errors:
    """What each type of error costs a row."""
    found = []
    for task in planned.train:
        try:
            one = _of_task(task, store, truths)
        except DetbenchError as error:
            return " ".join(str(error).split())
        if one is None:
            return "the images have no object but crowds"
        found.append(one)
    return tuple(found)


def values(found: Errors, column: str) -> list[float] | str:
    """One column of a row, as fractions, a value per seed; or why there is none."""
    if isinstance(found, str):
        return found
    return [float(getattr(one, METRICS[column].source)) for one in found]


def _of_task(task: Task, store: Store, truths: Truths) -> ErrorTypes | None:
    """A cell's error types, as fractions; none where the images have no object but crowds.

    Raises:
        StoreError: it has no detections, or they are damaged.
        DataError: its ground truth is not there, or does not belong to the detections.
    """
    assert isinstance(task.cell, Cell)
    cell = task.cell

    def compute() -> ErrorTypes | None:
        detections = store.detections_of(task.digest, task.label)
        ground = truths.of(cell.data)
        check_results(ground, detections, task.label)
        return error_types(ground, detections, cell.evaluation)

    return CACHE.of(store, task.digest, store.fingerprint(task.digest), compute)
