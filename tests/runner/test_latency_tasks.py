"""Stored latencies: identity, what comes back, the store's commands."""

from __future__ import annotations

from pathlib import Path

import made_latency
import pytest
from made_latency import CPU, GPU, cell

from detbench.recipe import resolve
from detbench.recipe.detector import Detector
from detbench.recipe.digest import digest
from detbench.results import inventory
from detbench.results.merge import merge
from detbench.results.store import Store
from detbench.results.verify import verify
from detbench.runner import latency, stored

ROW = ("tscode-table1", "FCOS")


@pytest.fixture
def spec() -> Detector:
    found = resolve.cell("fcos-r50", "smoke").cell
    assert found is not None
    return found.detector


def test_what_was_stored_comes_back(tmp_path: Path, spec: Detector) -> None:
    store = Store(tmp_path)
    made_latency.store(store, cell(spec, GPU), 8.0, ROW)
    [found] = latency.stored(store)
    assert found.cell == cell(spec, GPU)
    assert found.detector == digest(spec)
    assert (found.median(), found.median("model"), found.p95()) == (8.0, 4.0, 8.45)
    assert found.median("total_no_nms") is None
    assert (found.n, len(found.samples["total"])) == (20, 20)
    assert found.words == (
        "a GPU, driver 580.1, power cap 700 W, 2 CPU threads of 4, torch 2.9, 128x128, batch 1, "
        "fp32, 12 classes, trained weights"
    )


def test_measured_again_it_is_replaced_and_another_machine_is_another_cell(
    tmp_path: Path, spec: Detector
) -> None:
    store = Store(tmp_path)
    for ms in (8.0, 9.0):
        made_latency.store(store, cell(spec), ms, ROW)
    assert [one.median() for one in latency.stored(store)] == [9.0]
    made_latency.store(store, cell(spec, GPU), 2.0, ROW)
    assert sorted(one.median() or 0 for one in latency.stored(store)) == [2.0, 9.0]


@pytest.mark.parametrize(
    "more",
    [{"input": (64, 64)}, {"batch": 2}, {"precision": "bf16"}, {"pairs": 1000}, {"num_classes": 3}],
)
def test_what_is_not_comparable_is_another_condition(
    more: dict[str, object], spec: Detector
) -> None:
    one, other = cell(spec), cell(spec, **more)
    assert one.condition != other.condition
    assert one.words != other.words


def test_detectors_and_weights_share_a_condition(spec: Detector) -> None:
    other = resolve.cell("atss-r50", "smoke").cell
    assert other is not None
    one, two, three = cell(spec), cell(other.detector), cell(spec, weights="0" * 64)
    assert one.condition == two.condition == three.condition
    assert len({digest(each) for each in (one, two, three)}) == 3


def test_a_store_lists_verifies_and_merges_latencies(tmp_path: Path, spec: Detector) -> None:
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    name = made_latency.store(store, cell(spec), 8.0, ROW, device="a CPU")
    [listed] = stored.cells(store.root)
    assert (listed.kind, listed.ms, listed.device) == ("latency", 8.0, "a CPU")
    assert [(one.table, one.row, one.profile) for one in listed.names] == [(*ROW, "smoke")]
    assert stored.cells(store.root, ["tscode-table2"])[0].names == ()
    assert [(one.status, one.message) for one in verify(store.root)] == [("ok", "")]
    assert [one.action for one in merge(other.root, store.root)] == ["copied"]
    assert [one.digest for one in latency.stored(other)] == [name]
    assert [one.action for one in merge(other.root, store.root)] == ["same"]
    made_latency.store(store, cell(spec), 9.0, ROW)
    [kept] = merge(other.root, store.root)
    assert (kept.action, kept.message) == ("kept", "preprocess_ms is 0.8 here and 0.9 there")
    assert [one.action for one in merge(other.root, store.root, theirs=True)] == ["replaced"]
    assert inventory.scan(other.root).odd == ()


def test_a_damaged_latency_is_named_and_left_out(
    tmp_path: Path, spec: Detector, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    name = made_latency.store(store, cell(spec, CPU), 8.0, ROW)
    path = store.cells / f"latency-{name}.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    assert latency.stored(store) == []
    assert "is damaged" in caplog.text
    assert [one.status for one in verify(store.root)] == ["bad"]
