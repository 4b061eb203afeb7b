"""``list``, ``show`` and ``check``: what they print, in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from made_coco import make_coco
from typer.testing import CliRunner, Result

from detbench.cli.main import app
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.metrics import PUBLISHED
from detbench.results.schema import Measurement
from detbench.results.store import Store

FORMATS = ("terminal", "markdown", "json", "csv", "latex")


def detbench(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def as_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(detbench(*arguments, "--format", "json", code=code).stdout)


def store_one(results: Path, label: str, minutes: int) -> str:
    """A finished smoke cell of Table 1, which took so many minutes."""
    (row,) = resolve.cells("tscode-table1", "smoke", rows=label)
    assert row.cell is not None
    name = digest(row.cell)
    origin = {
        "recipe": row.cell.model_dump(mode="json"),
        "started": "2026-01-01T00:00:00+00:00",
        "ended": f"2026-01-01T00:{minutes:02d}:00+00:00",
    }
    rows = [Measurement(name, "train-eval", "AP", 0.3, "fraction", seed=0, provenance=origin)]
    Store(results).add(rows)
    return name


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "detectors"),
        ("list", "datasets"),
        ("show", "tscode-table2"),
        ("show", "gfl-r50"),
        ("claims", "tscode-table1", "ddod-table5"),
        ("check", "tscode-table3", "--profile", "smoke"),
    ],
)
def test_every_format_prints(arguments: tuple[str, ...], format: str) -> None:
    printed = detbench(*arguments, "--format", format).stdout
    assert printed.endswith("\n")
    if format == "json":
        json.loads(printed)
    if format == "csv":
        rows = list(csv.reader(io.StringIO(printed)))
        assert len({len(row) for row in rows}) == 1
    if format == "latex":
        assert printed.count(r"\begin{tabular}") == printed.count(r"\end{tabular}") >= 1


def test_list_tables(tmp_path: Path) -> None:
    found = as_json("list")
    assert [one["id"] for one in found] == load.tables()
    assert found[:3] == [
        {
            "id": name,
            "paper": "tscode",
            "title": load.table(name).title,
            "rows": rows,
            "runnable": rows,
            "measured": {},
        }
        for name, rows in (("tscode-table1", 12), ("tscode-table2", 8), ("tscode-table3", 6))
    ]


def test_list_counts_what_is_measured_in_every_table_that_shares_it(tmp_path: Path) -> None:
    store_one(tmp_path / "results", "FCOS + SCE", 2)
    measured = [table["measured"] for table in as_json("list")]
    # Table 2 prints this row twice, and it is one cell.
    assert measured[:3] == [{"smoke": 1}, {"smoke": 1}, {"smoke": 1}]
    assert not any(measured[3:])


def test_list_names_the_stores_that_come_with_the_project(tmp_path: Path) -> None:
    """In a fresh clone nothing is in ``results`` itself, but in a folder of it."""
    store_one(tmp_path / "results" / "a-machine", "FCOS + SCE", 2)
    found = as_json("list")
    assert not any(table["measured"] for table in found)
    note = detbench("list").stdout.splitlines()[-1]
    assert note.startswith("Stored too, 1 cells: tscode-table1 (smoke 1), tscode-table2 (smoke 1)")
    assert note.endswith(f"--results {Path('results') / 'a-machine'}.")


def test_list_datasets_says_what_is_missing() -> None:
    shapes, coco, voc, faces, many = as_json("list", "datasets")
    assert (shapes["id"], shapes["found"]) == ("shapes", True)
    assert (coco["id"], coco["found"]) == ("coco", False)
    assert "instances_train2017.json" in coco["why"]
    assert (voc["id"], voc["found"]) == ("voc", False)
    assert "VOC2007/ImageSets/Main/trainval.txt" in voc["why"]
    assert (faces["id"], faces["found"]) == ("widerface", False)
    assert "wider_face_train_bbx_gt.txt" in faces["why"]
    assert (many["id"], many["found"]) == ("openimages", False)
    assert "challenge-2019-train-detection-bbox.csv" in many["why"]


def test_show_json_is_the_documented_form() -> None:
    table = as_json("show", "tscode-table1")
    assert {"id", "paper", "title", "columns", "rows"} <= set(table)
    assert (table["id"], table["paper"]) == ("tscode-table1", "tscode")
    assert set(table["columns"]) <= set(PUBLISHED)
    assert len(table["rows"]) == 12
    row = table["rows"][3]
    assert row["label"] == "FCOS + SCE + DPE"
    assert row["published"]["gflops"] == 195.22
    assert row["fidelity"] == "text-only"
    assert row["settings"]["detector"] == "fcos-r50"
    assert row["settings"]["schedule"] == "coco-1x-fcos"
    assert row["settings"]["features"]["loc"]["levels"] == [-1, 0, 1]
    assert row["settings"]["heads"]["cls"]["channels"] == 512
    assert row["printed"] == {"Method": "FCOS", "SCE": "✓", "DPE": "✓"}


def test_show_json_has_the_same_keys_for_every_table() -> None:
    tables = [as_json("show", name) for name in load.tables()]
    assert len({frozenset(table) for table in tables}) == 1
    assert len({frozenset(row) for table in tables for row in table["rows"]}) == 1


@pytest.mark.parametrize("name", load.tables())
def test_show_latex_has_no_character_that_latex_lacks(name: str) -> None:
    assert detbench("show", name, "--format", "latex").stdout.isascii()


def test_show_prints_every_number_and_setting() -> None:
    printed = detbench("show", "tscode-table1").stdout
    for row in load.table("tscode-table1").rows:
        for key, value in row.published.items():
            assert (f"{value:.2f}" if key == "gflops" else f"{value:.1f}") in printed
    assert "features.cls = sce" in printed
    assert "12 epochs in batches of 16" in printed
    assert "warm-up 500 its from 0.333" in printed


def test_show_a_detector_prints_every_setting() -> None:
    settings = as_json("show", "fcos-r50")["settings"]
    assert settings["supervision"]["loc"] == {
        "kind": "giou",
        "weighting": "centerness",
        "weight": 1.0,
        "distribution_weight": 0.0,
        "least": 1e-06,
        "on": "class",
    }
    printed = detbench("show", "fcos-r50").stdout
    assert "backbone.style" in printed
    assert "resnet50_caffe" in printed


def test_show_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'id = "mine"\ntitle = "Mine"\npaper = "own"\ncolumns = ["AP"]\n'
        '[[rows]]\nlabel = "theirs"\ncited = "no code"\npublished = { AP = 40.0 }\n'
        '[[rows]]\nlabel = "ours"\ndetector = "fcos-r50"\n'
    )
    table = as_json("show", "mine.toml")
    assert [row["cited"] for row in table["rows"]] == ["no code", None]
    assert "no code" in detbench("show", "mine.toml").stdout
    checked = as_json("check", "mine.toml", "--profile", "smoke")
    assert checked["cited"] == [{"row": "theirs", "reason": "cited only: no code"}]


def test_check_lists_the_cells(tmp_path: Path) -> None:
    done = store_one(tmp_path / "results", "FCOS", 2)
    report = as_json("check", "tscode-table1", "--profile", "smoke", "--seeds", "0,1")
    training = [cell for cell in report["cells"] if cell["kind"] == "train-eval"]
    costs = [cell for cell in report["cells"] if cell["kind"] == "cost"]
    assert (len(training), len(costs)) == (24, 12)
    assert [cell["digest"] for cell in training if cell["status"] == "done"] == [done]
    assert {check["status"] for check in report["checks"]} == {"ok"}
    assert {check["name"] for check in report["checks"]} == {"recipe", "data", "weights", "disk"}


def test_check_counts_cells_and_trainings_not_rows() -> None:
    report = as_json("check", "tscode-table2", "--profile", "smoke")
    assert report["checks"][0]["message"] == "tscode-table2: 8 rows, 7 cells, no mistakes"
    assert report["estimate"].startswith("7 to train, ")
    twice = {cell["row"]: cell["same_cell_as"] for cell in report["cells"] if cell["same_cell_as"]}
    assert twice == {"conv 3x3 (among kernels)": "conv 3x3"}
    printed = detbench("check", "tscode-table2", "--profile", "smoke").stdout
    assert printed.count("same cell as conv 3x3") == 2  # its training, and its costs
    # One training that is read out in four ways.
    report = as_json("check", "double-head-table3", "--profile", "smoke")
    assert report["checks"][0]["message"] == "double-head-table3: 4 rows, 4 cells, no mistakes"
    assert report["estimate"].startswith("1 to train, ")


def test_check_estimates_from_cells_of_the_same_kind(tmp_path: Path) -> None:
    arguments = ("check", "tscode-table1", "--profile", "smoke", "--rows", "FCOS*")
    unknown = as_json(*arguments)["estimate"]
    assert unknown.startswith("4 to train, ")
    assert unknown.endswith("time unknown: nothing like it has been run here")
    store_one(tmp_path / "results", "FCOS", 2)
    store_one(tmp_path / "results", "GFL", 4)
    assert "3 to train" in as_json(*arguments)["estimate"]
    assert as_json(*arguments)["estimate"].endswith(
        "about 9 min to go, at 3 min each one at a time"
    )
    # Another length of training is no guide.
    other = as_json(*arguments, "--set", "training.iterations=3")["estimate"]
    assert other == "4 to train, 3 iterations each; time unknown: nothing like it has been run here"


def test_check_chooses_the_profile_and_says_so(tmp_path: Path) -> None:
    result = detbench("check", "tscode-table1")
    assert result.stderr == (
        "profile: smoke, as the paper's data set (coco) is not here; choose with --profile\n"
    )
    coco = tmp_path / "data" / "coco"
    for split in ("train2017", "val2017"):
        (coco / split).mkdir(parents=True)
        (coco / "annotations").mkdir(exist_ok=True)
        (coco / "annotations" / f"instances_{split}.json").write_text("{}")
    result = detbench("check", "tscode-table1", "--rows", "ATSS")
    assert result.stderr == "profile: paper, as its data set (coco) is here\n"
    assert "from scratch" in result.stdout


def test_check_finds_what_must_be_mended(tmp_path: Path) -> None:
    report = as_json(
        "check",
        "tscode-table1",
        "--profile",
        "paper",
        "--rows",
        "FCOS",
        "--set",
        "training.weights=none.pth",
        "--set",
        "training.batch=8",
        code=2,
    )
    found = {check["name"]: check for check in report["checks"]}
    assert found["data"]["status"] == "mend"
    assert "instances_train2017.json is not there" in found["data"]["message"]
    assert found["weights"]["status"] == "mend"
    assert found["weights"]["message"].startswith("none.pth is no file here")
    assert found["settings"]["status"] == "warning"
    assert "training.optimizer.lr=0.005 keeps it" in found["settings"]["message"]


def test_check_reads_the_data_when_asked(tmp_path: Path) -> None:
    words = ("check", "tscode-table1", "--profile", "paper", "--data-root", "root")
    make_coco(tmp_path / "root", images=4)
    report = as_json(*words, "--read-data")
    [data] = [check for check in report["checks"] if check["name"] == "data"]
    assert data["message"].endswith("is there and sound")
    path = tmp_path / "root" / "coco" / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text()[:500])
    assert as_json(*words)["checks"]
    report = as_json(*words, "--read-data", code=2)
    [data] = [check for check in report["checks"] if check["name"] == "data"]
    assert data["status"] == "mend"
    assert "instances_val2017.json is truncated" in data["message"]


def test_check_needs_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e6))
    report = as_json("check", "tscode-table1", "--profile", "smoke", code=2)
    disk = next(check for check in report["checks"] if check["name"] == "disk")
    assert disk["status"] == "mend"
    assert disk["message"].startswith("0.0 GB free in ")


def test_check_needs_a_folder_it_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    report = as_json("check", "tscode-table1", "--profile", "smoke", code=2)
    results = next(check for check in report["checks"] if check["name"] == "results")
    assert results["status"] == "mend"
    assert "cannot be written: choose another folder with --results" in results["message"]


def test_check_of_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = detbench("check", "tscode-table1", "--results", "file", "--profile", "smoke", code=2)
    assert result.stderr.startswith("detbench: file is a file, not a folder of results: choose")


@pytest.mark.parametrize(
    ("seconds", "said"), [(30, "30 s"), (89, "89 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_durations(seconds: float, said: str) -> None:
    from detbench.cli import estimate

    assert estimate.words(seconds) == said


def test_claims_json_says_what_was_compared() -> None:
    found = as_json("claims", "tscode-table1")
    assert [one["number"] for one in found] == list(range(1, len(found) + 1))
    assert len({frozenset(one) for one in found}) == 1
    third = found[3]
    assert (third["table"], third["kind"], third["analysis"]) == ("tscode-table1", "better", None)
    assert (third["borne_out"], third["place"]) == ("in part", "section 4.1, Table 1")
    assert {
        "what": "GFL + SCE",
        "metrics": ["ARs"],
        "share": False,
        "low": 0.0,
        "high": None,
        "value": -0.3,
        "outcome": "opposite",
    } in third["printed"]
    assert found[12]["analysis"] == "curves"
    assert (found[12]["borne_out"], found[12]["printed"]) == ("not printed", [])


def test_claims_of_all_tables_are_those_of_each() -> None:
    whole = as_json("claims")
    each = [len(load.table(name).claims) for name in load.tables()]
    assert len(whole) == sum(each) > 200
    assert [one["table"] for one in whole] == [
        name for name, count in zip(load.tables(), each, strict=True) for _ in range(count)
    ]


def test_show_says_how_many_claims_there_are() -> None:
    assert as_json("show", "tscode-table3")["claims"] == 7
    assert "Claims: 7 (detbench claims tscode-table3)." in detbench("show", "tscode-table3").stdout
    assert as_json("show", "beyond-gfl")["claims"] == 0
    assert "Claims:" not in detbench("show", "beyond-gfl").stdout


def test_a_table_without_claims_says_how_they_are_stated() -> None:
    result = detbench("claims", "beyond-gfl")
    assert "nothing is claimed: docs/recipes.md says how" in result.stderr
    assert as_json("claims", "beyond-gfl") == []


def test_claims_latex_has_no_character_that_latex_lacks() -> None:
    assert detbench("claims", "--format", "latex").stdout.isascii()


def test_a_table_of_ones_own_is_shown_as_it_is(call: Call, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'id = "own"\ntitle = "T \\u001b[31m"\npaper = "own"\ncolumns = ["AP"]\n[[rows]]\n'
        'label = "a \\u001b[31mred\\u0007"\ncited = "said \\u001b[0m"\n'
    )
    for format in ("terminal", "markdown", "csv", "latex"):
        code, out, err = call("show", "own.toml", "--format", format)
        assert code == 0
        assert "\x1b" not in out + err
        assert "\x07" not in out + err


def test_show_says_what_is_measured_there_and_in_stores_below(tmp_path: Path) -> None:
    below = tmp_path / "2026-one-machine"
    store_one(below, "FCOS", 4)
    store_one(below, "ATSS", 6)
    notes = printed_lines("show", "tscode-table1", "--results", str(tmp_path))
    [said] = [one for one in notes if one.startswith("Measured (")]
    assert said == (
        f"Measured (smoke): AP 30.0, 5 min each (median), seed 0, 2 of 12 trainings, in {below}."
    )
    assert not [one for one in printed_lines("show", "tscode-table2") if one.startswith("Measured")]


def printed_lines(*arguments: str) -> list[str]:
    """The lines under the table."""
    return detbench(*arguments).stdout.splitlines()
