"""``detbench results``: what a user sees of the store's files."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Call

from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan

TABLE = "tscode-table1"


@pytest.fixture
def call(call: Call) -> Call:
    """Run ``detbench results``."""
    return partial(call, "results")


def measure(root: Path, row: str, seed: int = 0, ap: float = 0.25, **more: Any) -> str:
    """Store a cell of TSCODE's Table 1 under smoke; its digest."""
    [found] = resolve.cells(TABLE, "smoke", (seed,), row)
    assert found.cell is not None
    origin = {
        "recipe": found.cell.model_dump(mode="json"),
        "ended": "2026-11-20T10:31:08+00:00",
        "device": "AMD EPYC",
    }
    name = digest(found.cell)
    measured = {"metric": "AP", "value": ap, "unit": "fraction", "seed": seed, **more}
    Store(root).add([Measurement(name, "train-eval", provenance=origin, **measured)], [])
    return name


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    measure(root, "FCOS")
    measure(root, "FCOS", seed=2, ap=0.5)
    measure(root, "GFL", value=None, metric="cell", status="failed", reason="loss is NaN")
    chosen = plan.choose(plan.Request(TABLE, "smoke", tmp_path))
    cost = next(task for task in chosen.tasks if task.kind == "cost")
    Store(root).add([Measurement(cost.digest, "cost", "gflops", 200.594, "GFLOPs")])
    own = Measurement("f" * 64, "train-eval", "AP", 0.125, "fraction", seed=0)
    Store(root).add([own])
    return root


@pytest.fixture
def few_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of two tables, which is sooner resolved than all."""
    monkeypatch.setattr(load, "tables", lambda: (TABLE, "tscode-table3"))


def test_list_names_rows_seeds_and_failures(call: Call, stored: Path) -> None:
    code, out, _ = call("list", "--format", "json")
    assert code == 0
    found = json.loads(out)
    places = {(one["names"][0]["row"], one["seed"], one["status"]) for one in found if one["names"]}
    assert places == {
        ("FCOS", 0, "done"),
        ("FCOS", 2, "done"),
        ("GFL", 0, "failed"),
        ("FCOS", None, "done"),
    }
    assert [one["digest"] for one in found][-1] == "f" * 64  # without a place, so last
    assert {"tscode-table1", "tscode-table2"} <= {name["table"] for name in found[1]["names"]}
    code, out, _ = call("list")
    assert "5 cells in results: 4 done, 1 failed." in out
    assert "2026-11-20 10:31" in out
    assert "loss is NaN" in out


@pytest.mark.usefixtures("few_tables")
def test_list_narrows(call: Call, stored: Path, tmp_path: Path) -> None:
    def listed(*words: str) -> int:
        code, out, _ = call("list", *words, "--format", "json")
        assert code == 0
        return len(json.loads(out))

    assert listed(TABLE) == 4
    assert listed("tscode-table3") == 0
    assert listed("--status", "failed") == 1
    assert listed("--profile", "paper") == 1  # the count, which every profile prints
    assert listed(TABLE, "--profile", "smoke") == 4
    code, _, _ = call("list", "--status", "odd")
    assert code == 2


@pytest.mark.usefixtures("few_tables")
def test_list_of_a_table_of_ones_own(call: Call, stored: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'id = "mine"\ntitle = "M"\npaper = "own"\ncolumns = ["AP"]\n\n[[rows]]\n'
        'label = "my FCOS"\ndetector = "fcos-r50"\n'
    )
    code, out, _ = call("list", "mine.toml", "--format", "json")
    assert code == 0
    assert {name["row"] for one in json.loads(out) for name in one["names"]} == {"my FCOS"}


@pytest.mark.usefixtures("few_tables")
def test_list_names_the_row_that_a_changed_cell_is_near(call: Call, tmp_path: Path) -> None:
    overrides = ["training.iterations=7", "data.val=3"]
    [found] = resolve.cells(TABLE, "smoke", (0,), "ATSS", overrides)
    assert found.cell is not None
    origin = {"recipe": found.cell.model_dump(mode="json")}
    rows = [Measurement(digest(found.cell), "train-eval", "AP", 0.5, "fraction", provenance=origin)]
    Store(tmp_path / "results").add(rows)
    code, out, _ = call("list", "--format", "json")
    assert code == 0
    [one] = json.loads(out)
    assert one["names"] == []
    assert (one["near"]["name"]["row"], one["near"]["name"]["profile"]) == ("ATSS", "smoke")
    assert one["near"]["differs"] == ["data.val", "training.iterations"]
    _, out, _ = call("list")
    assert "this row but for data.val, training.iterations" in out


def test_verify(call: Call, stored: Path) -> None:
    code, out, _ = call("verify")
    assert code == 0
    assert "no detections beside it" in out
    path = next((stored / "cells").glob("cost-*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    code, out, _ = call("verify", "--format", "json")
    assert code == 1
    assert [one["status"] for one in json.loads(out)].count("bad") == 1
    code, out, _ = call("verify")
    assert "1 not to be believed" in out
    assert "prune --yes moves damaged files aside; run measures again" in out
    table = stored / "analyses" / f"curves-{'0' * 32}.parquet"
    table.parent.mkdir()
    table.write_bytes(b"nothing")
    _, out, _ = call("verify")
    assert "prune --yes moves damaged files aside; run or analyze measures again" in out


def test_verify_rescores(call: Call, tmp_path: Path) -> None:
    root = tmp_path / "results"
    measure(root, "FCOS")  # AP 0.25 of no detections at all
    code, out, _ = call("verify", "--rescore")
    assert code == 1
    assert "AP 0.250000 is stored, 0.000000 comes out" in out


def test_merge_and_its_exit_codes(call: Call, stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "other")
    measure(tmp_path / "other", "ATSS")
    code, out, _ = call("merge", "other", "--dry-run")
    assert code == 0
    assert "Nothing was changed" in out
    code, out, _ = call("merge", "other")
    assert code == 0
    assert "5 same" in out
    assert "1 copied" in out
    measure(tmp_path / "other", "ATSS", ap=0.75)
    code, out, _ = call("merge", "other")
    assert code == 1
    assert "AP is 0.25 here and 0.75 there" in out
    code, out, _ = call("merge", "other", "--theirs", "--format", "json")
    assert code == 0
    assert [one["action"] for one in json.loads(out)].count("replaced") == 1


def test_merge_looks_at_all_folders_first(call: Call, stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "other")
    code, out, err = call("merge", "other", "none", "--results", "new")
    assert (code, out) == (2, "")
    assert err.startswith("detbench: none: is not there: name a results folder")
    assert not (tmp_path / "new").exists()


def test_prune_asks_first(call: Call, stored: Path) -> None:
    folder = stored / "work" / ("a" * 64)
    folder.mkdir(parents=True)
    (folder / "weights.pt").write_bytes(b"x" * 2_500_000)
    (folder / "checkpoint.pt").write_bytes(b"x" * 1500)
    code, out, _ = call("prune")
    assert code == 0
    assert "1 things, 1.5 kB to free." in out
    assert "Nothing was changed: --yes does it." in out
    assert (folder / "checkpoint.pt").exists()
    code, out, _ = call("prune", "--weights", "--yes", "--format", "json")
    assert {one["path"].rpartition("/")[2] for one in json.loads(out)} == {
        "weights.pt",
        "checkpoint.pt",
    }
    assert not (folder / "checkpoint.pt").exists()
    code, _, err = call("prune", "--yes", "--dry-run")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("words", [["list"], ["verify"], ["prune"]])
def test_without_a_store(call: Call, tmp_path: Path, words: list[str]) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith("detbench: results: is not there: name a results folder with --results")
    (tmp_path / "ümläut").mkdir()
    _, _, err = call(*words, "--results", "ümläut")
    assert err.startswith("detbench: ümläut: holds no results")
    (tmp_path / "file").write_text("")
    code, _, err = call(*words, "--results", "file")
    assert (code, err.count("\n")) == (2, 1)


def test_unknown_subcommands_get_a_hint(call: Call) -> None:
    code, _, err = call("verfy")
    assert code == 2
    assert err.startswith("detbench results: unknown command 'verfy', did you mean 'verify'?")
