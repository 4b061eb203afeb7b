"""``detbench.load_results``: stored measurements as a pandas table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from no_torch import NoTorch
from report.made_store import all_metrics, fail, fill

import detbench
from detbench.errors import RecipeError, StoreError
from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan


def planned(table: str, *overrides: str, seeds: tuple[int, ...] = (0, 1)) -> Plan:
    return plans.make(load.table(table), load.profile("smoke"), seeds, "FCOS,ATSS", overrides)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store, plan = Store(tmp_path), planned("tscode-table1")
    for number, task in enumerate(plan.rows[0].train):
        fill(store, task, number, **all_metrics(0.3 + 0.1 * number))
    fail(store, plan.rows[1].train[0], "out of memory")
    assert plan.rows[0].cost is not None
    fill(store, plan.rows[0].cost, None, gflops=200.5)
    return tmp_path


def test_numbers_by_row_and_seed(root: Path) -> None:
    found = detbench.load_results(root, ["tscode-table1"])
    assert set(found.table) == {"tscode-table1"}
    aps = found[(found.metric == "AP") & (found.profile == "smoke")]
    wide = aps.pivot_table(index="row", columns="seed", values="value")
    assert wide.loc["FCOS"].tolist() == pytest.approx([0.3, 0.4])
    assert found[found.metric == "APs"].value.isna().all()
    assert found[found.metric == "APs"].reason.str.startswith("no object of this size").all()
    [failed] = found[found.status == "failed"].itertuples()
    assert (failed.row, failed.metric, failed.reason) == ("ATSS", "cell", "out of memory")
    costs = found[found.kind == "cost"]
    assert set(costs.value) == {200.5}
    assert costs.seed.isna().all()
    assert (found.seed.dtype, found.value.dtype) == (pd.Int64Dtype(), "float64")
    assert aps.protocol.iloc[0] == {"images": 200}
    assert aps.provenance.iloc[0]["git"] == "abc123"


def test_a_shared_cell_is_in_every_table_and_others_come_with_what_differs(root: Path) -> None:
    task = planned("tscode-table1", "training.iterations=7", seeds=(0,)).rows[0].train[0]
    assert isinstance(task.cell, Cell)
    made = {"recipe": task.cell.model_dump(mode="json")}
    measured = Measurement(task.digest, task.kind, "AP", 0.2, "fraction", seed=0, provenance=made)
    Store(root).add([measured])
    found = detbench.load_results(root)
    digests = found[found.digest == planned("tscode-table1").rows[0].train[0].digest]
    assert "tscode-table1" in set(digests.table)
    assert len(digests) % len(all_metrics(0.3)) == 0
    assert task.digest not in set(detbench.load_results(root, ["tscode-table1"]).digest)
    [own] = found[found.digest == task.digest].itertuples()
    assert (own.table, own.row, own.profile) == ("tscode-table1", "FCOS", "smoke")
    assert (own.value, own.differs) == (0.2, "training.iterations")
    assert set(found[found.digest != task.digest].differs) == {""}


def test_nothing_stored_has_the_columns_and_mistakes_are_named(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty" / "cells").mkdir(parents=True)
    empty = detbench.load_results(tmp_path / "empty")
    assert empty.empty
    assert list(empty.columns) == list(detbench.load_results(root).columns)
    assert empty.value.dtype == "float64"
    with pytest.raises(StoreError, match="is not there"):
        detbench.load_results(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="tscode-table1"):
        detbench.load_results(root, ["tscode-table11"])


def test_a_damaged_file_is_left_out(root: Path) -> None:
    before = detbench.load_results(root, ["tscode-table1"])
    for path in (root / "cells").glob("cost-*.parquet"):
        path.write_bytes(b"garbled")
    after = detbench.load_results(root, ["tscode-table1"])
    assert len(after) == len(before[before.kind != "cost"])


def test_pandas_is_imported_when_it_is_asked_for(root: Path, no_torch: NoTorch) -> None:
    script = (
        "import sys, detbench\n"
        "assert 'pandas' not in sys.modules\n"
        f"assert len(detbench.load_results({str(root)!r}))\n"
    )
    done = no_torch.run(script, folder=root)
    assert done.returncode == 0, done.stderr
    assert "pandas" in done.modules
    assert "torch" not in done.modules
