"""What is typed after options: refused in one line that names the option, or used as it says."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from malformed import COUNTS, WORDS, budget, judge, text

from detbench.cli import common
from detbench.cli.main import main
from detbench.recipe import load, override, resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell

LONG = "9" * 5_000
# Bytes that are no UTF-8 come as lone surrogates from the shell.
typed = text | st.text(max_size=15) | st.sampled_from([*WORDS, LONG, "\udcff", "caf\udce9"])


@budget(60, 500)
@given(words=typed | st.from_regex(r"[0-9,\s-]{1,9}", fullmatch=True))
@example("٣")
@example(LONG)
@example("18446744073709551616")
def test_seeds(words: str) -> None:
    def use() -> None:
        for seed in common.parse_seeds(words):
            found = resolve.cell("fcos-r50", "smoke", seed)
            assert found.cell is not None
            assert 0 <= found.cell.seed < 2**63  # as it is stored

    judge(use, "--seeds")


@budget(60, 500)
@given(words=typed | st.from_regex(r"\d{1,4}[xX*]\d{0,4}", fullmatch=True))
@example(f"{LONG}x1")
@example("1x1")
@example("٣x٣")
def test_input(words: str) -> None:
    def use() -> None:
        assert min(common.parse_input(words)) > 0

    judge(use, "--input")


@budget(40, 400)
@given(words=typed | typed.map(lambda t: f"coco:{t}") | typed.map(lambda t: f"coco:a:{t}"))
@example("coco:\udcff:b")
def test_dataset(words: str) -> None:
    def use() -> None:
        data = resolve.parse_dataset(words)
        cell = resolve.cell("fcos-r50", "smoke", data=data).cell
        assert cell is not None
        assert len(digest(cell)) == 64

    judge(use, "--dataset")


@budget(30, 300)
@given(words=typed | st.sampled_from(["FCOS*", "*", "[", "[!", "FCOS,ATSS", ",", "?" * 50]))
def test_rows(words: str) -> None:
    table = load.table("tscode-table1")
    judge(lambda: resolve.select(table, words), "--rows")


def _keys(spec: object, prefix: str = "") -> list[str]:
    if not isinstance(spec, dict):
        return []
    return [
        name
        for key, value in spec.items()
        for name in (prefix + key, *_keys(value, f"{prefix}{key}."))
    ]


_FCOS = resolve.cell("fcos-r50", "smoke").cell
_TSD = resolve.cell("tsd-r50", "smoke").cell
assert isinstance(_FCOS, Cell)
assert isinstance(_TSD, Cell)
CELLS = (_FCOS, _TSD)
KEYS = sorted({key for cell in CELLS for key in _keys(cell.model_dump(mode="json"))})
VALUES = (
    "none",
    "[]",
    "{}",
    "[1, 2]",
    "nan",
    "-1",
    "1e400",
    "0x1F",
    '"',
    "'a",
    "1979-05-27",
    "true",
)
keys = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(["rounds[0].weight", "rounds[9]", "rounds[-1]", "heads.cls.kind", "..."]),
    typed,
    st.builds(lambda key, more: f"{key}.{more}", st.sampled_from(KEYS), typed),
    st.builds(lambda key, more: f"{key}[{more}]", st.sampled_from(KEYS), typed),
)
settings = st.builds(
    lambda key, sign, value: key + sign + value,
    keys,
    st.sampled_from(["=", "=", "=", "=", "", "==", ":"]),
    typed | st.sampled_from(VALUES) | st.integers().map(str) | st.floats().map(str),
)


@budget(120, 2500)
@given(words=st.lists(settings, min_size=1, max_size=3), cell=st.sampled_from(CELLS))
@example(["training.batch=" + "[" * 5_000], _FCOS)
@example(["training.batch=" + LONG], _FCOS)
@example(["training.weights=\udcff"], _FCOS)
@example([f"training.input.short[{LONG}]=1"], _FCOS)
def test_set(words: Sequence[str], cell: Cell) -> None:
    def use() -> None:
        changed, _ = override.apply(cell, words)
        assert len(digest(changed)) == 64

    judge(use, "--set")


COMMANDS = (
    ["show", "{}"],
    ["check", "{}"],
    ["report", "{}"],
    ["show", "tscode-table1", "--format", "{}"],
    ["check", "tscode-table1", "--profile", "{}"],
    ["check", "tscode-table1", "--profile", "smoke", "--rows", "{}"],
    ["check", "tscode-table1", "--profile", "smoke", "--seeds", "{}"],
    ["check", "tscode-table1", "--profile", "smoke", "--set", "{}"],
    ["check", "tscode-table1", "--profile", "smoke", "--dataset", "{}"],
    ["check", "tscode-table1", "--profile", "smoke", "--data-root", "{}"],
    ["report", "tscode-table1", "--profile", "smoke", "--results", "{}"],
    ["eval", "--results", "{}", "--annotations", "{}"],
    ["flops", "fcos-r50", "--input", "{}"],
    ["check", "fcos-r50", "--profile", "smoke", "--set", "training.weights={}"],
    ["data", "check", "coco:{}:{}"],
    ["data", "check", "coco", "--data-root", "{}"],
    ["data", "list", "--data-root", "{}"],
    ["results", "list", "--results", "{}"],
    ["results", "verify", "{}"],
    ["weights", "import", "{}", "--detector", "fcos-r50", "--output", "x.pt"],
    ["predict", "{}", "--detector", "fcos-r50", "--weights", "{}"],
    ["compare", "{}", "{}"],
    ["copy", "tscode-table1", "{}/x.toml"],
    ["{}"],
    ["list", "{}"],
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
@pytest.mark.parametrize("words", ["x" * 300, "x" * 300 + ".toml", "/dev/null/x", "/proc/1/mem/x"])
def test_paths_that_cannot_be(empty: Path, command: list[str], words: str) -> None:
    _command(empty, command, words)


@budget(20, 400)
@given(command=st.sampled_from(COMMANDS), words=typed)
@example(["check", "tscode-table1", "--profile", "smoke", "--set", "{}"], "training.batch=" + LONG)
@example(["report", "tscode-table1", "--results", "{}"], "a\x00b")
@example(["eval", "--results", "{}", "--annotations", "{}"], "a\x00b")
@example(["show", "{}"], "a\x00b.toml")
def test_whole_command_lines(empty: Path, command: list[str], words: str) -> None:
    _command(empty, command, words)


def _command(empty: Path, command: list[str], words: str) -> None:
    """No command line ends in a traceback, and what it prints to stderr are lines of ours."""
    arguments = [part.replace("{}", words) for part in command]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(empty),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(arguments)
    assert ended.value.code in (0, 1, 2)
    COUNTS["refused" if ended.value.code else "accepted"] += 1
    if ended.value.code == 2:
        assert any(line.startswith("detbench") for line in err.getvalue().splitlines())
        assert all(line.isprintable() for line in err.getvalue().splitlines())
    assert "Traceback" not in err.getvalue()
    assert sys.stdout is not out
