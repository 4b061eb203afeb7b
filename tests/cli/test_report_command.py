"""``detbench report``: pages, plots and files; tables on stdout are in ``test_run_report``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import made_latency
import pytest
from commands import exit_code

from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.latency import Machine

METRICS = ("AP", "APs", "APm", "APl", "gflops", *(f"AP{p}" for p in range(50, 100, 5)))


def _call(*words: str) -> int:
    return exit_code("report", *words)


def _fill(root: Path, profile: str, value: float, rows: str = "FCOS*") -> None:
    plan = plans.make(load.table("tscode-table1"), load.profile(profile), (0,), rows)
    for task in plan.tasks:
        Store(root).add(
            [Measurement(task.digest, task.kind, name, value, "fraction") for name in METRICS]
        )


WORDS = ("tscode-table1", "--profile", "smoke")


def test_a_page_is_written_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(folder / "results", "smoke", 0.25)
    assert _call(*WORDS, "--format", "html", "--output", "out/report.html") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "out/report.html is written\n"
    text = (folder / "out/report.html").read_text(encoding="utf-8")
    assert "Not complete: 8 of 12 trainings are missing" in text
    assert text.endswith("</html>\n") or text.endswith("</html>")
    assert list((folder / "out").iterdir()) == [folder / "out/report.html"]


def test_a_page_to_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(folder / "results", "smoke", 0.25)
    for words in ((), ("--output", "-")):
        assert _call(*WORDS, "--format", "html", *words) == 0
        assert capsys.readouterr().out.startswith("<!DOCTYPE html>")


def test_a_page_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("--profile", "smoke", "--format", "html") == 0
    said = capsys.readouterr()
    assert "Nothing is stored in results: detbench run tscode-table1 is a start." in said.out
    assert "nothing is stored" in said.err


@pytest.mark.parametrize("format", ["markdown", "latex", "csv", "json", "terminal"])
def test_a_file_has_what_stdout_has(
    format: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(folder / "results", "smoke", 0.25)
    assert _call(*WORDS, "--format", format) == 0
    printed = capsys.readouterr().out
    assert _call(*WORDS, "--format", format, "--output", "table.txt") == 0
    assert capsys.readouterr().out == ""
    assert (folder / "table.txt").read_text(encoding="utf-8") == printed


def test_a_file_that_cannot_be_written_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("")
    assert _call(*WORDS, "--output", "file/table.md") == 2
    [line] = [one for one in capsys.readouterr().err.splitlines() if "detbench:" in one]
    assert "cannot write file/table.md" in line


@pytest.mark.parametrize(
    ("format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_plots(format: str, start: bytes, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(folder / "results", "smoke", 0.25)
    assert _call(*WORDS, "--rows", "FCOS*", "--plots", "plots", "--plot-format", format) == 0
    said = capsys.readouterr()
    assert said.out.startswith("**tscode-table1")
    names = {path.name for path in (folder / "plots").iterdir()}
    assert names == {f"tscode-table1-{n}.{format}" for n in ("gflops", "thresholds", "sizes")}
    for path in (folder / "plots").iterdir():
        assert path.read_bytes().startswith(start)
        assert f"plots/{path.name}" in said.err.splitlines()
    assert "Loss curves: no curve is kept in results/work." in said.err


def _timed(root: Path, label: str, total: float, machine: Machine = made_latency.CPU) -> None:
    plan = plans.make(load.table("tscode-table1"), load.profile("smoke"), (0,), label)
    [row] = plan.rows
    cell = row.train[0].cell
    assert isinstance(cell, Cell)
    made = made_latency.cell(cell.detector, machine)
    made_latency.store(Store(root), made, total, ("tscode-table1", label), before={"load": 3.5})


def test_stored_latency_is_drawn_and_printed_with_its_machine(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(folder / "results", "smoke", 0.25)
    _timed(folder / "results", "FCOS", 30.0)
    _timed(folder / "results", "FCOS + SCE", 33.0)
    _timed(folder / "results", "FCOS", 2.5, made_latency.GPU)
    assert _call(*WORDS, "--plots", "plots") == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("| FCOS")]
    timed = [line for line in lines if "| profile smoke |" in line]
    assert [line.split(" | ")[6:9] for line in timed] == [
        ["30.00", "30.45", "20 |"],
        ["33.00", "33.45", "20 |"],
        ["2.50", "2.95", "20 |"],
    ]
    assert "On 1: a CPU, 2 CPU threads of 4, torch 2.9" in said
    assert "On 2: a GPU, driver 580.1, power cap 700 W" in said
    assert "Times on one condition are not to be compared with those on another." in said
    # Of a GPU too: it waits for the processor.
    busy = "other programs kept the machine busy (load 0.9 for each core before)."
    assert f"FCOS on 1, FCOS + SCE on 1, FCOS on 2: {busy}" in said
    svg = (folder / "plots/tscode-table1-latency.svg").read_text(encoding="utf-8")
    assert "[1] a CPU, 2 CPU threads of 4" in svg
    assert "latency (median ms) [2]" in svg
    assert _call(*WORDS, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["latency"]
    assert [(one["row"], one["machine"]["device"]) for one in found] == [
        *(("FCOS", "a CPU"), ("FCOS", "a GPU"), ("FCOS + SCE", "a CPU")),
    ]
    assert found[1]["machine"]["power_cap_w"] == 700.0
    assert _call(*WORDS, "--format", "html", "--output", "page.html") == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "Stored latency" in page
    assert "On 2: a GPU, driver 580.1" in page


def test_without_stored_latency_it_is_said_how_to_store_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(folder / "results", "smoke", 0.25)
    assert _call(*WORDS, "--plots", "plots") == 0
    said = capsys.readouterr()
    assert "stored latency" not in said.out
    assert "detbench latency tscode-table1 --profile smoke measures it" in said.err


def test_printed_times_stand_beside_without_a_difference(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TSD's Table 5 prints milliseconds of its own machine: nothing is computed of both."""
    plan = plans.choose(plans.Request("tsd-table5", "smoke", Path("data"), rows="ResNet-50*"))
    [row, *_] = plan.rows
    cell = row.train[0].cell
    assert isinstance(cell, Cell)
    names = ("tsd-table5", row.row.label)
    made_latency.store(Store(folder / "results"), made_latency.cell(cell.detector), 30.0, names)
    assert _call("tsd-table5", "--profile", "smoke", "--rows", "ResNet-50*", "--format", "csv") == 0
    [found] = csv.DictReader(capsys.readouterr().out.split("\n\n")[-1].splitlines())
    assert (found["total_ms"], found["published_runtime_ms"]) == ("30.0", "159.4")
    assert not [name for name in found if "delta" in name or "change" in name]


def test_other_profiles_are_named_in_every_form(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(folder / "results", "small", 0.9)
    _fill(folder / "results", "smoke", 0.25, "FCOS")
    said = "Also stored, and not shown: 4 cells with profile small."
    for format in ("markdown", "terminal", "latex", "html"):
        assert _call(*WORDS, "--format", format) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert said in printed
        assert ">90.0<" not in printed
        assert " 90.0 " not in printed
    assert _call(*WORDS, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["other_profiles"] == {"small": 4}
    assert [row["measured"]["AP"] for row in found["rows"]][:2] == [25.0, None]


def test_the_best_is_bold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(folder / "results", "smoke", 0.25)
    assert _call(*WORDS) == 0
    assert "| **41.6** |" in capsys.readouterr().out
    assert _call(*WORDS, "--format", "latex") == 0
    assert r"& \textbf{41.6} &" in capsys.readouterr().out
