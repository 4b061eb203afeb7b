from dataclasses import replace
from pathlib import Path

import pytest
from report.made_store import make

from detbench.recipe.experiment import Cell
from detbench.recipe.metrics import SIZED
from detbench.report import ablation, by_size
from detbench.report.results import TableResults
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner.plan import Plan

SIDES = {"s": 32, "m": 96, "l": 1e5}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return replace(make("smoke", overrides=("data.variant=easy",)), data_root=tmp_path)


def _size(cell: Cell, area: float) -> str:
    scale = cell.evaluation.area_scale
    return next(name for name, side in SIDES.items() if area <= (side * scale) ** 2)


def _store(plan: Plan, root: Path, missing: str) -> Store:
    """Detections as true as the objects, but of those of one size, which are not found at all."""
    task = plan.rows[0].train[0]
    assert isinstance(task.cell, Cell)
    cell = task.cell
    objects = cell.data.truth(root)["annotations"]
    found = [
        {
            "image_id": one["image_id"],
            "category_id": one["category_id"],
            # A third of its width too far right: an IoU of exactly a half.
            "bbox": [one["bbox"][0] + one["bbox"][2] / 3, *one["bbox"][1:]],
            "score": 0.9,
        }
        for one in objects
        if _size(cell, one["area"]) != missing
    ]
    store = Store(root / "results")
    store.add([Measurement(task.digest, task.kind, "AP", 0.5, "fraction")], found)
    return store


def test_sizes_and_thresholds_part(plan: Plan, tmp_path: Path) -> None:
    store = _store(plan, tmp_path, "m")
    found, reason = by_size.of_plan(plan, store)
    assert reason == ""
    [seeds] = found.values()
    [one] = seeds
    assert set(one) == set(SIZED)
    # A neighbour of another size may lie close by.
    assert one["APm50"] is not None
    assert one["APm50"] < 0.01
    assert one["APl50"] is not None
    assert one["APl50"] > 0.5
    assert one["APl55"] is not None
    assert one["APl55"] < 0.2
    # The second time it is read.
    assert by_size.of_plan(plan, store) == (found, "")
    [kept] = (store.derived("sizes")).iterdir()
    kept.write_text("garbled")
    assert by_size.of_plan(plan, store) == (found, "")


def test_they_are_columns_and_what_rows_are_compared_by(plan: Plan, tmp_path: Path) -> None:
    store = _store(plan, tmp_path, "m")
    table = plan.table.model_copy(update={"columns": ("gflops", "APm50", "APl50")})
    results = TableResults(replace(plan, table=table), store)
    first, second, *_ = ablation.payload(results)["rows"]
    [[one]] = by_size.of_plan(plan, store)[0].values()
    for name in ("APm50", "APl50"):
        assert first["measured"][name] == pytest.approx(100 * (one[name] or 0))
    assert second["reasons"]["APl50"] == "not run with profile smoke"
    assert results.main_metric == "APm50"
    assert by_size.values([{"APs50": 0.5}, {"APs50": None}], "APs50") == by_size.UNDEFINED


def test_why_there_is_none(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert by_size.of_plan(plan, store) == ({}, "")
    task = plan.rows[0].train[0]
    store.add([Measurement(task.digest, task.kind, "AP", 0.5, "fraction")])
    assert by_size.of_plan(plan, store) == ({}, "FCOS: no detections are stored")
