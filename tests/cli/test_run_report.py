import json
from pathlib import Path

import pytest
from commands import exit_code

from detbench.recipe import load
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans


def _fill(root: Path, failed: int = 0) -> None:
    """Store every cell of table 1 under ``smoke``; the first ``failed`` ones as failed."""
    plan = plans.make(load.table("tscode-table1"), load.profile("smoke"))
    cells = {row.train[0].digest: row.train[0] for row in plan.rows}
    for index, task in enumerate([*cells.values(), *(row.cost for row in plan.rows)]):
        assert task is not None
        row = Measurement(task.digest, task.kind, "AP", 0.25, "fraction", {"images": 200})
        if index < failed:
            row = Measurement(
                *(task.digest, task.kind, "cell", None, ""), status="failed", reason="NaN, alas"
            )
        Store(root).add([row])


def test_missing_data_is_one_line_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("run", "tscode-table1", "--profile", "paper") == 2
    said = capsys.readouterr()
    [line] = said.err.splitlines()
    assert "data/coco/annotations/instances_train2017.json is not there" in line
    assert said.out == ""
    assert not (folder / "results").exists()


def test_two_mistakes_are_both_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--rows", "FCSO", "--set", "trainig.batch=2")
    assert exit_code("run", "tscode-table1", "--profile", "smoke", *words) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "did you mean" in said[0] + said[1]


def test_a_complete_table_is_printed_and_nothing_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(folder / "results")
    assert exit_code("run", "tscode-table1", "--profile", "smoke") == 0
    first = capsys.readouterr()
    assert first.err == ""
    assert "\nCells: 24 of 24 done.\n" in first.out
    assert exit_code("run", "tscode-table1", "--profile", "smoke") == 0
    assert capsys.readouterr().out == first.out


def test_stored_failures_are_named_and_give_exit_code_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(folder / "results", failed=1)
    assert exit_code("run", "tscode-table1", "--profile", "smoke", "--format", "markdown") == 1
    said = capsys.readouterr()
    assert "1 cell failed in an earlier run and is left out: --retry-failed" in said.err
    assert "detbench: FCOS failed: NaN, alas" in said.err
    assert "FCOS: failed: NaN, alas" in said.out
    # A report states what is stored; that a cell failed is no failure of the report.
    assert exit_code("report", "tscode-table1", "--profile", "smoke") == 0


def test_report_json_of_one_table_is_an_object_and_of_all_a_list(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(folder / "elsewhere")
    monkeypatch.setenv("DETBENCH_RESULTS", str(folder / "elsewhere"))
    assert exit_code("report", "tscode-table1", "--profile", "smoke", "--format", "json") == 0
    one = json.loads(capsys.readouterr().out)
    assert one["id"] == "tscode-table1"
    assert one["cells"] == {"done": 24, "failed": 0, "missing": 0}
    assert one["rows"][0]["measured"]["AP"] == 25.0
    assert one["rows"][0]["published"]["AP"] == 38.7
    assert exit_code("report", "--profile", "smoke", "--format", "json") == 0
    assert one in json.loads(capsys.readouterr().out)


def test_report_of_an_empty_store_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("report", "--profile", "smoke") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nothing is stored in results: detbench run")
