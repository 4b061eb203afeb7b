"""Which trainings' curves are meant: a folder, a stored cell, or a table's row. No torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from detbench.errors import RecipeError, StoreError
from detbench.recipe.digest import training
from detbench.recipe.experiment import Cell
from detbench.report.comparands import DIGEST
from detbench.report.tracking import Source
from detbench.results.store import Store
from detbench.runner.plan import Plan, Task
from detbench.training.curve import FILE as CURVE


def find(name: str, store: Store, plan: Callable[[str], Plan]) -> list[Source]:
    """The curves that are called ``name``: one, or of a row one for each seed.

    Args:
        name: a folder of ``detbench train``, a curve's file, the beginning of a stored cell's
            digest, or ``TABLE:ROW``.
        plan: of a table's name.

    Raises:
        RecipeError: there is nothing of that name, or more than one.
        StoreError: it has no curve.
    """
    path = Path(name)
    if path.is_dir():
        return [_file(path.resolve().name, path / CURVE, None)]
    if path.is_file():
        return [_file(path.resolve().parent.name, path, None)]
    if DIGEST.fullmatch(name):
        return [_cell(name, store)]
    table, colon, label = name.partition(":")
    if not colon or not label:
        raise RecipeError(
            f"'{name}' is no folder with {CURVE}, no row as in tscode-table1:FCOS and no digest of "
            "a stored cell (at least 6 characters): detbench results list shows cells"
        )
    chosen = plan(table)
    row, known = chosen.named(label)
    if row is None:
        raise RecipeError(f"'{name}': {chosen.table.id} has no such row{known}")
    if not row.train:
        raise RecipeError(f"'{name}': this row is not run here: {row.reason}")
    return [_task(task, f"{chosen.table.id}-{label}", store) for task in row.train]


def _task(task: Task, name: str, store: Store) -> Source:
    assert isinstance(task.cell, Cell)
    return _file(f"{name}-seed{task.cell.seed}", store.work(task.work) / CURVE, task.cell)


def _cell(beginning: str, store: Store) -> Source:
    found = [key for key in store.listing() if key.startswith(beginning)]
    if len(found) != 1:
        raise RecipeError(
            f"digest '{beginning}': {len(found) or 'no'} cells in {store.root} begin so: "
            "detbench results list shows them, --results names another folder"
        )
    stored = store.get(found[0])
    origin = stored.rows[0].provenance if stored else {}
    try:
        cell = Cell.of_plain(origin.get("recipe"))
    except ValidationError as error:
        raise StoreError(
            f"cell {found[0][:12]} holds no recipe of a training: it failed, counts costs, or was "
            "made by another detbench"
        ) from error
    return _file(found[0][:12], store.work(training(cell)) / CURVE, cell)


def _file(name: str, path: Path, cell: Cell | None) -> Source:
    if not path.is_file():
        raise StoreError(f"{path}: no such file: a training writes it, and detbench run keeps it")
    kept = "".join(one if one.isalnum() or one in "-_.+" else "-" for one in name).strip(".")
    return Source(kept or "curve", path, cell.model_dump(mode="json") if cell else {})
