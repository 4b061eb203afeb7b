"""The command line as a whole: help, versions, errors and their exit codes, what is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from no_torch import NoTorch
from typer.testing import CliRunner

from detbench import __version__
from detbench.cli import main as entry
from detbench.errors import CellFailed, DataError, RecipeError

RUN = CliRunner()
STORED = Path(__file__).parents[2] / "results" / "2026-11-28-smoke-two-cores"
"""Committed measurements."""


def detbench(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    code = "from detbench.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **extra},
        check=False,
    )


def test_version() -> None:
    result = RUN.invoke(entry.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"detbench {__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands_in_workflow_order(arguments: list[str]) -> None:
    result = RUN.invoke(entry.app, arguments)
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ")]
    assert [name for name in listed if name in entry.COMMANDS] == list(entry.COMMANDS)
    assert list(entry.COMMANDS) == [
        "list",
        "show",
        "copy",
        "check",
        "run",
        "train",
        "eval",
        "predict",
        "flops",
        "latency",
        "compare",
        "claims",
        "power",
        "analyze",
        "report",
        "data",
        "weights",
        "results",
        "doctor",
    ]


def test_short_help_of_a_command() -> None:
    assert RUN.invoke(entry.app, ["show", "-h"]).stdout.startswith("Usage: ")


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_every_help_ends_with_examples_of_itself(name: str) -> None:
    result = RUN.invoke(entry.app, [name, "--help"])
    assert result.exit_code == 0, result.output
    help, _, examples = result.stdout.partition("Examples:\n")
    assert help.startswith(f"Usage: detbench {name} ") or f"Usage: root {name} " in help
    lines = [line.strip() for line in examples.strip().splitlines()]
    assert lines
    assert all(f"detbench {name}" in line or "torchrun" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lst"], "detbench: unknown command 'lst', did you mean 'list'? (choices: list, show,"),
        (["list", "--formt", "csv"], "detbench list: No such option"),
        (["list", "--format", "xml"], "detbench list: Invalid value for '--format'"),
        (["list", "pictures"], "detbench list: Invalid value"),
        (["show"], "detbench show: Missing argument 'TABLE|DETECTOR'"),
        (["show", "tscode-tabel1"], "detbench: unknown table or detector 'tscode-tabel1', did you"),
        (["show", "none.toml"], "detbench: none.toml: no such file"),
        (["show", "coco-1x"], "detbench: 'coco-1x' is a schedule, and here a table or detector is"),
        (
            ["check", "fcos-r50"],
            "detbench: 'fcos-r50' is a detector, and here a table is wanted: train, eval, predict, "
            "show, flops and latency take it",
        ),
        (
            ["train", "tscode-table1"],
            "detbench: 'tscode-table1' is a table, and here a detector is wanted: check, run, ",
        ),
        (["run", "tscode-table1", "--profile", "coco-1x"], "detbench: 'coco-1x' is a schedule, "),
        (["check", "tscode-table1", "--seeds", "a"], "detbench: --seeds 'a': give non-negative"),
        (["check", "tscode-table1", "--rows", "X"], "detbench: --rows 'X': no row of tscode-"),
        (
            ["check", "tscode-table1", "--profile", "smoky"],
            "detbench: unknown profile 'smoky',",
        ),
        (["check", "tscode-table1", "--dataset", "vok"], "detbench: --dataset 'vok': unknown"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], said: str) -> None:
    result = RUN.invoke(entry.app, arguments, prog_name="detbench")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") == 1


def test_two_mistakes_are_two_lines() -> None:
    arguments = ["check", "tscode-table1", "--profile", "smoke"]
    result = RUN.invoke(
        entry.app, [*arguments, "--set", "trainig.batch=1", "--set", "training.batch=x"]
    )
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("detbench: --set") for line in lines)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecipeError(["one", "two"]), 2),
        (DataError("one"), 2),
        (CellFailed("one"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from detbench.cli import list as command

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(command, "_tables", fail)
    result = RUN.invoke(entry.app, ["list"])
    assert result.exit_code == code
    assert all(line.startswith("detbench: ") for line in result.stderr.splitlines())
    assert result.stderr


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from detbench.cli import list as command

    monkeypatch.setattr(command, "_tables", lambda *arguments: 1 / 0)
    result = RUN.invoke(entry.app, ["list"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_installed_script_returns_the_codes() -> None:
    assert detbench("list").returncode == 0
    wrong = detbench("show", "nothing")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    code = "from detbench.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "show", "tscode-table1"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "detectors"],
        ["list", "datasets"],
        ["show", "tscode-table1"],
        ["show", "fcos-r50"],
        ["check", "tscode-table1"],
        ["report", "tscode-table1", "--profile", "smoke"],
        ["copy", "tscode-table1", "own.toml"],
        ["claims", "tscode-table1"],
        ["data", "--help"],
        ["data", "list"],
        ["data", "check", "shapes"],
        ["weights", "list"],
        ["results", "list", "--results", str(STORED)],
        ["results", "verify", "--results", str(STORED)],
        ["results", "prune", "--results", str(STORED)],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_light_commands_import_no_torch(
    arguments: list[str], tmp_path: Path, no_torch: NoTorch
) -> None:
    result = no_torch.detbench(*arguments, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not result.slow


BOTH = "SCE?+?DPE"
WEIGHTS = ["training.weights=", "training.weights_content="]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("detbench show tsc", [f"tscode-table{number}" for number in range(1, 7)]),
        ("detbench show retinanet-r5", ["retinanet-r50"]),
        ("detbench check tscode-table1 --profile sm", ["small", "smoke"]),
        ("detbench la", ["latency"]),
        ("detbench list d", ["datasets", "detectors"]),
        ("detbench run tscode-table1 --rows GFL?", [f"GFL?+?{x}" for x in ("DPE", "SCE", BOTH)]),
        ("detbench run tscode-table1 --rows FCOS,ATSS?+?D", ["FCOS,ATSS?+?DPE"]),
        ("detbench run tscode-table1 --set training.we", WEIGHTS),
        ("detbench run nosuch --set training.we", []),
        ("detbench train faster-rcnn-r50 --set rpn.anchors.ro", ["rpn.anchors.rounding="]),
        ("detbench check --rows F", []),
    ],
)
def test_completion(words: str, found: list[str]) -> None:
    parts = words.split()
    result = detbench(
        _DETBENCH_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(parts) - 1),
    )
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.split()) == found
