"""Whole commands on malformed files: one line to stderr and exit code 2, or a table."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from malformed import COUNTS, budget, changed, damaged, junk, toml
from PIL import Image
from test_malformed_annotations import FOUND, TRUTH, values

from detbench.cli.main import main
from detbench.recipe import load

NUMBER = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def _logging() -> Iterator[None]:
    """Commands say how they log."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    (folder / "images").mkdir()
    for image in TRUTH["images"]:
        made = Image.new("RGB", (image["width"], image["height"]))
        made.save(folder / "images" / image["file_name"])
    for name, content in (("truth.json", TRUTH), ("found.json", FOUND)):
        (folder / name).write_text(json.dumps(content))
    return folder


def _command(folder: Path, *words: str) -> bool:
    """Whether a command line is accepted; it never ends in a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(words)
    said = err.getvalue()
    assert ended.value.code in (0, 1, 2), said
    assert "Traceback" not in said
    assert "\x1b" not in out.getvalue() + said
    if ended.value.code == 2:
        assert any(line.startswith("detbench: ") for line in said.splitlines()), said
    COUNTS["refused" if ended.value.code else "accepted"] += 1
    return not ended.value.code


ON_ANNOTATIONS = (
    ("compare", "found.json", "found.json", "--annotations", "own.json", "--replicates", "200"),
    ("eval", "--results", "found.json", "--annotations", "own.json"),
    ("data", "check", "coco:own.json:images"),
    ("data", "convert", "coco:own.json:images", "converted", "--limit", "1", "--force"),
    ("check", "tscode-table1", "--profile", "smoke", "--dataset", "coco:own.json:images"),
)


@pytest.mark.parametrize("words", ON_ANNOTATIONS, ids=lambda words: "-".join(words[:2]))
@budget(8, 150)
@given(content=changed(TRUTH, values))
@example(TRUTH)
def test_annotations(folder: Path, words: tuple[str, ...], content: Any) -> None:
    (folder / "own.json").write_text(json.dumps(content, skipkeys=True))
    assert _command(folder, *words) or content != TRUTH
    shutil.rmtree(folder / "converted", ignore_errors=True)


ON_RESULTS = (
    ("compare", "own.json", "found.json", "--annotations", "truth.json", "--replicates", "200"),
    ("eval", "--results", "own.json", "--annotations", "truth.json", "--evaluator", "faster"),
    ("eval", "--results", "own.json", "--annotations", "truth.json", "--evaluator", "pycocotools"),
)


@pytest.mark.parametrize("words", ON_RESULTS, ids=lambda words: "-".join(words[:1] + words[-1:]))
@budget(8, 150)
@given(content=changed(FOUND, values))
@example(FOUND)
@example([])
def test_results(folder: Path, words: tuple[str, ...], content: Any) -> None:
    (folder / "own.json").write_text(json.dumps(content, skipkeys=True))
    assert _command(folder, *words) or content not in (FOUND, [])


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48)).save(file, format="JPEG")
    return file.getvalue()


@budget(10, 150)
@given(image=damaged(_jpeg()) | st.binary(max_size=40))
def test_images(folder: Path, image: bytes) -> None:
    other = folder / "others"
    other.mkdir(exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(folder / "images" / name, other / name)
    (other / "a.jpg").write_bytes(image)
    _command(folder, "data", "check", "coco:truth.json:others")


TABLE = tomllib.loads((load.root() / "tscode" / "table1.toml").read_text())


@pytest.mark.parametrize("command", ["show", "check", "report", "copy"])
@budget(6, 100)
@given(content=changed(TABLE))
@example(TABLE)
def test_recipes(folder: Path, command: str, content: Any) -> None:
    """All of what is done with a table without running it, which is printed in several formats."""
    name = f"own{next(NUMBER)}.toml"
    (folder / name).write_text(toml(content), encoding="utf-8")
    more = {"copy": [f"copied-{name}"], "show": ["--format", "latex"], "report": []}
    accepted = _command(folder, command, name, *more.get(command, ["--profile", "smoke"]))
    assert accepted or content != TABLE
    (folder / name).unlink()


@budget(8, 100)
@given(content=changed({"state_dict": {"backbone.conv1.weight": torch.zeros(2)}}, junk))
def test_weights(folder: Path, content: Any) -> None:
    torch.save(content, folder / "own.pth")
    _command(folder, "weights", "import", "own.pth", "--detector", "fcos-r50", "--output", "x.pt")
