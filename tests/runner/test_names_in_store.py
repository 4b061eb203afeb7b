"""The names of stored cells: remembered, right for every seed, and no quadratic work.

Seen: `results list` resolved the whole catalogue for every seed that occurs (103 s and 4.7 GB for
10,000 cells). Right: the catalogue is resolved once, until a recipe or the code changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detbench.recipe import catalogue, load
from detbench.recipe.table import Table
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import names as naming
from detbench.runner import plan, stored

SEEDS = (0, 3, 829)


@pytest.fixture(scope="module")
def table() -> plan.Plan:
    return plan.make(load.table("tscode-table1"), load.profile("smoke"), SEEDS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, table: plan.Plan) -> Path:
    """A store of all of it, and of a cell that is in no table."""
    made = Store(tmp_path_factory.mktemp("results"))
    cells = [
        (task, seed) for row in table.rows for task, seed in zip(row.train, SEEDS, strict=True)
    ]
    cells += [(row.cost, None) for row in table.rows if row.cost]
    for task, seed in cells:
        recipe = {"recipe": task.cell.model_dump(mode="json")}
        row = Measurement(task.digest, task.kind, "AP", 0.1, "fraction", {}, seed)
        made.add([Measurement(**{**vars(row), "provenance": recipe})])
    changed = plan.make(table.table, table.profile, (7,), "FCOS", ["training.iterations=310"])
    [task] = changed.rows[0].train
    recipe = {"recipe": task.cell.model_dump(mode="json")}
    made.add([Measurement(task.digest, task.kind, "AP", 0.1, "fraction", {}, 7, provenance=recipe)])
    return made.root


def test_cells_have_the_names_that_planning_gives_them(root: Path, table: plan.Plan) -> None:
    found = {one.digest: one for one in stored.cells(root)}
    for row in table.rows:
        for task, seed in zip(row.train, SEEDS, strict=True):
            wanted = naming.Name(table.table.id, row.row.label, "smoke", seed)
            assert wanted in found[task.digest].names
        if row.cost is not None:
            wanted = naming.Name(table.table.id, row.row.label, "", None)
            assert wanted in found[row.cost.digest].names
    [other] = [one for one in found.values() if not one.names]
    assert other.near == naming.Near(
        naming.Name("tscode-table1", "FCOS", "smoke", None), ("training.iterations",)
    )


def test_the_catalogue_is_resolved_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored.cells(root)
    resolved: list[str] = []
    make = plan.make

    def noted(table: Table, *more: Any, **named: Any) -> plan.Plan:
        resolved.append(table.id)
        return make(table, *more, **named)

    monkeypatch.setattr(plan, "make", noted)
    assert stored.cells(root) == before
    assert resolved == []
    key = catalogue.key()
    monkeypatch.setattr(catalogue, "key", lambda *more: f"{key} and another recipe")
    assert stored.cells(root) == before
    assert len(resolved) >= len(load.tables()) * len(load.profiles())
