"""``detbench report``: pages, plots and files; tables on stdout are in ``test_run_report``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import exit_code

from detbench.recipe import load
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans

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


def _latency(path: Path, table: str) -> None:
    one = {
        "table": table,
        "row": "FCOS",
        "settings": {"input": "1280x800", "batch": 2, "precision": "fp32"},
        "machine": {"device": "a CPU", "threads": 2},
        "steps": {"total": {"median_ms": 30.0}},
    }
    path.write_text(json.dumps([one]))


def test_measured_latency_is_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(folder / "results", "smoke", 0.25)
    _latency(folder / "latency.json", "tscode-table1")
    words = ("--plots", "plots", "--latency", "latency.json")
    assert _call(*WORDS, *words) == 0
    svg = (folder / "plots/tscode-table1-latency.svg").read_text(encoding="utf-8")
    assert "a CPU, 2 CPU threads, 1280x800, batch 2, fp32" in svg
    # Of another table: nothing to draw.
    _latency(folder / "latency.json", "tscode-table2")
    capsys.readouterr()
    assert _call(*WORDS, *words) == 0
    assert "AP against latency: no latency is known" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"table": "a"}]', None])
def test_a_wrong_latency_file_is_one_line(
    content: str | None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (folder / "latency.json").write_text(content)
    assert _call(*WORDS, "--plots", "plots", "--latency", "latency.json") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("detbench: --latency latency.json: ")


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
