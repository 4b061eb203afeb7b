"""A fault of an option is mended: the cells that it touched are measured again, and users told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import Call

from detbench.recipe.assignment import AtssAssignment
from detbench.recipe.base import Revision
from detbench.recipe.digest import training
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan
from detbench.runner.job import CostCell

TINY = (
    *("data.size=48", "data.train=4", "data.val=2", "training.input.short=48"),
    *("training.input.long=48", "training.iterations=2", "training.batch=2"),
)
ASKED = ("tscode-table1", "--rows", "FCOS,ATSS", "--profile", "smoke")
SETTINGS = tuple(word for setting in TINY for word in ("--set", setting))
ONLY = ("--columns", "AP")
REASON = "ties went to the wrong level"
SAID = (
    "what is stored is left out, as it was measured before this was mended: "
    f"atss: {REASON} (2027-01-02)"
)


def mend(monkeypatch: pytest.MonkeyPatch, folder: Path, measured: str = "training") -> None:
    """State a reason, in this process and in those of cells."""
    reason = Revision("2027-01-02", REASON, measured=frozenset({measured}))  # type: ignore[arg-type]
    monkeypatch.setattr(AtssAssignment, "revisions", (reason,))
    (folder / "sitecustomize.py").write_text(
        "from detbench.recipe import assignment, base\n"
        f"found = {reason.since!r}, {REASON!r}, lambda option: True, frozenset({{{measured!r}}})\n"
        "assignment.AtssAssignment.revisions = (base.Revision(*found),)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def statuses(call: Call, *settings: str) -> tuple[dict[str, str], list[str]]:
    """Row -> status of its training, and what ``check`` warns of the store."""
    code, out, _ = call("check", *ASKED, *settings, "--format", "json")
    assert code == 0
    found = json.loads(out)
    return (
        {one["row"]: one["status"] for one in found["cells"] if one["kind"] == "train-eval"},
        [one["message"] for one in found["checks"] if one["name"] == "store"],
    )


def store(folder: Path, rows: str = "FCOS,ATSS", *settings: str) -> dict[str, plan.Task]:
    """All cells and counts of some rows, stored; by their labels."""
    asked = plan.Request("tscode-table1", "smoke", folder, rows=rows, overrides=settings)
    made = plan.choose(asked)
    for task in made.tasks:
        origin = {"recipe": task.cell.model_dump(mode="json")}
        row = Measurement(task.digest, task.kind, "AP", 0.5, "fraction", provenance=origin)
        Store(folder / "results").add([row], [])
    return {task.label: task for task in made.tasks}


@pytest.mark.usefixtures("modules_forked")
def test_cells_of_a_mended_option_are_missing_told_why_and_run_again(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(folder, "FCOS", *TINY)
    assert call("run", *ASKED, *SETTINGS, *ONLY)[0] == 0
    assert statuses(call, *SETTINGS) == ({"FCOS": "done", "ATSS": "done"}, [])
    before = set(Store(folder / "results").listing())

    mend(monkeypatch, folder)
    assert statuses(call, *SETTINGS) == ({"FCOS": "done", "ATSS": "missing"}, [f"ATSS: {SAID}"])
    code, out, _ = call("report", *ASKED, *SETTINGS, *ONLY)
    assert code == 0
    assert f"ATSS: {SAID}." in out
    assert "1 missing" in out
    listed = json.loads(call("results", "list", "--format", "json")[1])
    assert [one["mended"] for one in listed if one["mended"]] == [f"atss: {REASON} (2027-01-02)"]

    code, _, err = call("run", *ASKED, *SETTINGS, *ONLY)
    assert code == 0
    assert f"ATSS: {SAID}" in err
    assert "FCOS: done" not in err
    assert statuses(call, *SETTINGS) == ({"FCOS": "done", "ATSS": "done"}, [])
    assert len(set(Store(folder / "results").listing()) - before) == 1
    assert SAID not in call("report", *ASKED, *SETTINGS, *ONLY)[1]


def test_what_is_only_evaluated_again_keeps_its_training(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atss = store(folder)["ATSS"]
    mend(monkeypatch, folder, "evaluation")
    assert statuses(call) == ({"FCOS": "done", "ATSS": "missing"}, [f"ATSS: {SAID}"])
    again = plan.choose(plan.Request("tscode-table1", "smoke", folder, rows="ATSS")).tasks[-1]
    assert again.digest != atss.digest
    assert training(again.cell) == training(atss.cell) == again.work


def test_counts_are_left_out_by_themselves(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = store(folder)
    assert isinstance(tasks["GFLOPs of ATSS"].cell, CostCell)
    mend(monkeypatch, folder, "cost")
    assert statuses(call) == ({"FCOS": "done", "ATSS": "done"}, [f"GFLOPs of ATSS: {SAID}"])
    listed = json.loads(call("results", "list", "--format", "json")[1])
    [old] = [one for one in listed if one["mended"]]
    assert (old["kind"], old["names"], old["near"]["name"]["row"]) == ("cost", [], "ATSS")
    assert "Left out of tables, as a fault was mended since: 1." in call("results", "list")[1]


def test_detections_of_before_are_not_called_bad(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(folder, "ATSS")
    mend(monkeypatch, folder)
    _, out, _ = call("results", "verify", "--rescore", "--format", "json")
    told = [one for one in json.loads(out) if REASON in one["message"]]
    assert [one["status"] for one in told] == ["warning"]
    # And they are no line of a table, for who reads them as one.
    import detbench

    found = detbench.load_results(folder / "results", ["tscode-table1"])
    assert "ATSS" not in set(found[found.kind == "train-eval"].row)
    whole = detbench.load_results(folder / "results")
    [differs] = whole[(whole.row == "ATSS") & (whole.kind == "train-eval")].differs
    assert differs == f"what was mended since: atss: {REASON} (2027-01-02)"
