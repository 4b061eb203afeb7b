"""Error types as columns: from stored detections, cached, and blank with a reason else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from no_torch import NoTorch

from detbench.cli.main import main
from detbench.evaluation.error_types import error_types
from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.report import ablation, error_columns
from detbench.report.figures import pictures
from detbench.report.formats import FORMATS
from detbench.report.results import TableResults
from detbench.results import cache
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVERRIDES = ("data.size=64", "data.val=6")
WORDS = ("--profile", "smoke", "--set", OVERRIDES[0], "--set", OVERRIDES[1], "--rows", "FCOS*")


@pytest.fixture(autouse=True)
def forget() -> None:
    error_columns.CACHE.memory.clear()


def planned(columns: str = "AP,errors", seeds: tuple[int, ...] = (0,)) -> Plan:
    return plans.choose(
        plans.Request(
            *("tscode-table1", "smoke", Path("data"), seeds, "FCOS*", OVERRIDES), columns=columns
        )
    )


def fill(root: Path, plan: Plan, rows: int, detections: bool = True) -> None:
    """Store the first rows: every object found, but the first ``index`` of them moved aside."""
    for index, row in enumerate(plan.rows[:rows]):
        for seed, task in enumerate(row.train):
            assert isinstance(task.cell, Cell)
            ground = task.cell.data.truth(Path("data"))
            found = results(ground, moved=index + 2 * seed)
            measured = Measurement(task.digest, "train-eval", "AP", 0.25, "fraction")
            Store(root).add([measured], found if detections else None)


def results(ground: dict[str, Any], moved: int) -> list[dict[str, Any]]:
    found = []
    for number, item in enumerate(ground["annotations"]):
        x, y, w, h = item["bbox"]
        shift = 0.6 * w if number < moved else 0.0
        found.append(
            {
                **{"image_id": item["image_id"], "category_id": item["category_id"]},
                **{"bbox": [x + shift, y, w, h], "score": 0.9 - 0.001 * number},
            }
        )
    return found


def _rows(plan: Plan, root: Path) -> Any:
    return ablation.payload(TableResults(plan, Store(root)))["rows"]


def test_columns_hold_what_the_detections_say(tmp_path: Path) -> None:
    plan = planned()
    fill(tmp_path, plan, 2)
    rows = ablation.payload(TableResults(plan, Store(tmp_path)))["rows"]
    assert rows[0]["measured"]["E_loc"] == 0.0
    task = plan.rows[1].train[0]
    assert isinstance(task.cell, Cell)
    ground = task.cell.data.truth(Path("data"))
    expected = error_types(ground, results(ground, 1), task.cell.evaluation)
    assert expected is not None
    assert rows[1]["measured"]["E_loc"] == pytest.approx(100 * expected.loc)
    assert expected.loc > 0.01
    assert rows[2]["measured"]["E_loc"] is None
    assert rows[2]["reasons"]["E_loc"] == "not run with profile smoke"


def test_several_seeds_give_mean_and_deviation_or_nothing(tmp_path: Path) -> None:
    plan = planned("E_loc", seeds=(0, 1))
    fill(tmp_path, plan, 1)
    [first, *_] = ablation.payload(TableResults(plan, Store(tmp_path)))["rows"]
    alone = [
        ablation.payload(TableResults(planned("E_loc", seeds=(seed,)), Store(tmp_path)))["rows"][0][
            "measured"
        ]
        for seed in (0, 1)
    ]
    assert alone[0]["E_loc"] == 0.0
    assert first["measured"]["E_loc"] == pytest.approx(alone[1]["E_loc"] / 2)
    assert first["sd"]["E_loc"] == pytest.approx(alone[1]["E_loc"] / 2**0.5)
    assert first["n"]["E_loc"] == 2
    missing = ablation.payload(TableResults(planned("E_loc", seeds=(0, 1, 2)), Store(tmp_path)))[
        "rows"
    ][0]
    assert missing["measured"]["E_loc"] is None
    assert missing["reasons"]["E_loc"] == "FCOS, seed 2: not run"


def test_they_are_computed_once_for_the_same_detections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned()
    fill(tmp_path, plan, 1)
    calls = []
    monkeypatch.setattr(error_columns, "error_types", lambda *a: calls.append(1) or error_types(*a))
    for _ in range(2):
        ablation.sheet(TableResults(plan, Store(tmp_path)))
        error_columns.CACHE.memory.clear()
    assert len(calls) == 1
    [path] = (tmp_path / "derived" / "errors").iterdir()
    assert path.name.startswith(plan.rows[0].train[0].digest)

    path.write_text(path.read_text()[:40])  # cut short: computed again
    ablation.sheet(TableResults(plan, Store(tmp_path)))
    assert len(calls) == 2
    cache.write(path, cache.read(path) | {"method": 0})
    error_columns.CACHE.memory.clear()
    ablation.sheet(TableResults(plan, Store(tmp_path)))
    assert len(calls) == 3

    task = plan.rows[0].train[0]  # other detections of the same cell
    Store(tmp_path).add([Measurement(task.digest, "train-eval", "AP", 0.2, "fraction")], [])
    [first, *_] = ablation.payload(TableResults(plan, Store(tmp_path)))["rows"]
    assert first["measured"]["E_miss"] == pytest.approx(100.0)
    assert len(calls) == 4


def test_a_store_that_cannot_be_written_still_answers(tmp_path: Path) -> None:
    plan = planned()
    fill(tmp_path, plan, 1)
    (tmp_path / "derived").write_text("in the way")
    [first, *_] = ablation.payload(TableResults(plan, Store(tmp_path)))["rows"]
    assert first["measured"]["E_loc"] == 0.0


def test_blanks_say_why(tmp_path: Path) -> None:
    plan = planned()
    fill(tmp_path, plan, 2, detections=False)
    store = Store(tmp_path)
    task = plan.rows[1].train[0]
    (tmp_path / "cells" / f"train-eval-{task.digest}.detections.json.gz").write_bytes(b"garbled")
    first, second, *_ = ablation.payload(TableResults(plan, store))["rows"]
    assert first["reasons"]["E_cls"] == "FCOS: no detections are stored"
    assert "is damaged" in second["reasons"]["E_cls"]
    assert first["measured"]["AP"] == 25.0


@pytest.mark.parametrize("format", list(FORMATS))
def test_every_format_has_the_columns_and_their_unit(
    tmp_path: Path,
    format: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, planned(), 2)
    with pytest.raises(SystemExit) as end:
        main(
            (
                "report",
                "tscode-table1",
                *WORDS,
                "--results",
                ".",
                "--columns",
                "+AP60,errors",
                "--format",
                format,
            )
        )
    out, err = capsys.readouterr()
    assert not end.value.code, err
    for name in ("E_cls", "E_miss") if format in ("json", "csv") else ("Cls", "Miss", "AP60"):
        assert name in out
    assert "in percentage points" in out + err


def test_run_takes_columns_and_names_unknown_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, planned(), len(planned().rows))
    for command in ("run", "report"):
        with pytest.raises(SystemExit) as end:
            main(
                (
                    command,
                    "tscode-table1",
                    *WORDS,
                    "--results",
                    ".",
                    "--columns",
                    "AP,E_loc",
                    "--format",
                    "csv",
                )
            )
        out, _ = capsys.readouterr()
        assert not end.value.code
        assert "AP" in out.splitlines()[0].split(",")
        assert "E_loc" in out.splitlines()[0].split(",")
        assert "E_cls" not in out
        with pytest.raises(SystemExit) as end:
            main((command, "tscode-table1", *WORDS, "--columns", "+E_lok"))
        out, err = capsys.readouterr()
        assert (end.value.code, out) == (2, "")
        assert "--columns 'E_lok': no such metric, did you mean 'E_loc'?" in err


def test_a_tables_own_columns_are_not_changed() -> None:
    before = load.table("tscode-table1").columns
    assert planned("AP").table.columns == ("AP",)
    assert load.table("tscode-table1").columns == before


def test_the_plot_has_a_panel_for_each_or_says_why_not(tmp_path: Path) -> None:
    plan = planned("AP")
    store = Store(tmp_path)
    assert "Error types: no row is done." in pictures(TableResults(plan, store)).absent
    fill(tmp_path, plan, 2)
    figure = _errors(plan, store)
    first, *others = figure.axes
    labels = [tick.get_text() for tick in first.get_yticklabels()]
    assert labels == ["FCOS", "FCOS + SCE"]
    assert first.get_xlim()[1] > 1.0
    assert len(others) == 5
    assert "Without" not in figure.get_supxlabel()


def test_the_plot_names_rows_without_detections(tmp_path: Path) -> None:
    plan = planned("AP")
    fill(tmp_path, plan, 2)
    digest = plan.rows[1].train[0].digest
    (tmp_path / "cells" / f"train-eval-{digest}.detections.json.gz").unlink()
    said = " ".join(_errors(plan, Store(tmp_path)).get_supxlabel().split())
    assert "Without FCOS + SCE: no detections are stored." in said


def _errors(plan: Plan, store: Store) -> Figure:
    found = pictures(TableResults(plan, store)).found
    [drawn] = [one for one in found if one.name == "tscode-table1-errors"]
    return drawn.draw()


def test_torch_is_not_imported(tmp_path: Path, no_torch: NoTorch) -> None:
    fill(tmp_path, planned(), 1)
    words = ["report", "tscode-table1", *WORDS, "--results", str(tmp_path), "--columns", "errors"]
    done = no_torch.detbench(*words, "--format", "csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("row,")
    assert "torch" not in done.modules
