"""NaN: in a loss, where the cell fails, naming the iteration, and the others go on; in boxes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import made_cell
import pytest
import standin
import stub_run

from detbench.errors import CellFailed
from detbench.results import schema
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import cell
from detbench.runner.display import Plain
from detbench.runner.run import run

BAD = 2


def _poisoned(job: Any, work: Path, report: Any) -> Any:
    standin.fit(work, standin.training(iterations=4), loader=standin.Loader(BAD))
    raise AssertionError("the loss was not finite")


def test_the_cell_fails_with_the_iteration_and_stays_failed(tmp_path: Path) -> None:
    root, digest = tmp_path / "results", made_cell.TASK.digest
    with made_cell.locks_of_a_process():
        code = cell._run_training(made_cell.job(root), _poisoned, made_cell.Channel())  # type: ignore[arg-type]
    assert code == cell.FAILED
    stored = Store(root).get(digest)
    assert stored is not None
    assert stored.status == "failed"
    assert f"the loss was not finite at iteration {BAD + 1} of 4: try a lower" in stored.reason
    assert made_cell.run(root) == cell.FAILED
    # As --retry-failed does.
    Store(root).discard(digest, made_cell.TASK.work)
    assert made_cell.run(root) == cell.DONE
    assert Store(root).status(digest) == "done"


def test_the_others_go_on_and_the_run_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "nan"}))
    tasks = stub_run.tasks(2)[1:]
    store = Store(tmp_path / "results")
    with open(tmp_path / "said", "w+") as out:
        outcome = run(tasks, store, stub_run.options(), lambda: Plain(out))
    assert outcome.exit_code == 1
    assert [store.status(task.digest) for task in tasks] == ["failed", "done"]
    assert outcome.failed == {tasks[0]: "the loss is NaN at iteration 10"}
    assert "row 0: failed: the loss is NaN at iteration 10" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_written_as_detections(tmp_path: Path, value: float) -> None:
    """A detector's own are caught before (tests/evaluation/test_predict.py)."""
    row = Measurement("a" * 64, "train-eval", "AP", 0.5, "fraction")
    store = Store(tmp_path)
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, value], "score": 0.5}]
    with pytest.raises(CellFailed, match="not finite"):
        store.add([row], found)
    assert store.status("a" * 64) == "missing"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_not_written_nor_read(tmp_path: Path, value: float) -> None:
    """What is not defined is stored as none; a file that has such a number is damaged."""
    row = Measurement("a" * 64, "train-eval", "AP", value, "fraction")
    store = Store(tmp_path)
    with pytest.raises(CellFailed, match="AP is not finite"):
        store.add([row])
    assert store.status("a" * 64) == "missing"
    with pytest.raises(schema.Damaged, match="no finite number"):
        schema.from_bytes(schema.to_bytes([row]), "file")
