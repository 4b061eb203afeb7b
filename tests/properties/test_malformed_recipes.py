"""Recipes of every kind, malformed: refused in one line per mistake, or runnable."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from malformed import FULL, budget, changed, damaged, judge, nested, text, toml

from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.runner import plan

FILES = sorted(load.root().rglob("*.toml"))
CONTENT = {path: tomllib.loads(path.read_text()) for path in FILES}
NUMBER = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


def _judge(folder: Path, content: bytes, like: Path) -> bool:
    # Loaded files are remembered by their path: each gets its own.
    path = folder / f"own{next(NUMBER)}.toml"
    path.write_bytes(content)
    try:
        return judge(lambda: _use(str(path), like), path.name)
    finally:
        path.unlink()


def _use(path: str, like: Path) -> None:
    """Do with a recipe what commands do before anything runs."""
    kinds: dict[str, Callable[[str], object]] = {
        "detectors": _use_detector,
        "schedules": load.schedule,
        "profiles": _use_profile,
    }
    kinds.get(like.parent.name, _use_table)(path)


def _use_table(path: str) -> None:
    table = load.table(path)
    for task in plan.make(table, load.profile("smoke")).tasks:
        assert len(task.digest) == 64


def _use_detector(path: str) -> None:
    found = resolve.cell(path, "smoke")
    assert found.cell is not None
    assert len(digest(found.cell)) == 64


def _use_profile(path: str) -> None:
    load.profile(path)


@st.composite
def recipes(draw: Any) -> tuple[Path, bytes]:
    """A shipped recipe with some of its keys changed."""
    path = draw(st.sampled_from(FILES))
    return path, toml(draw(changed(CONTENT[path]))).encode()


FCOS = load.root() / "detectors" / "fcos-r50.toml"


@budget(150, 3000)
@given(recipe=recipes())
@example((FCOS, toml(CONTENT[FCOS] | {"schedule": "coco-9x"}).encode()))
@example((FILES[0], toml(CONTENT[FILES[0]] | {"rows": [[1], "a", {"label": 3}]}).encode()))
def test_shipped_recipes_with_keys_changed(folder: Path, recipe: tuple[Path, bytes]) -> None:
    path, content = recipe
    _judge(folder, content, path)


@budget(30, 800)
@given(data=st.data())
def test_bytes_of_shipped_recipes(folder: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(FILES))
    _judge(folder, data.draw(damaged(path.read_bytes())), path)


@budget(20, 300)
@given(content=st.binary(max_size=60) | text.map(str.encode))
@example(b"a = " + b"[" * 9_000)
@example(b"a = " + b"{a = " * 2_000)
@example(b"a." * 900 + b"a = 1")
@example(b"id = " + b"1" * 5_000)
@example(b"\xef\xbb\xbfid = 'bom'")
@example("id = 'x'".encode("utf-16"))
@example(toml({"id": nested(90)}).encode())
@example(toml({"rows": nested(300)}).encode())
def test_any_bytes(folder: Path, content: bytes) -> None:
    assert not _judge(folder, content, FILES[0])
    assert not _judge(folder, content, load.root() / "detectors" / "x.toml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_recipe_survives_the_writer_of_these_tests(folder: Path, path: Path) -> None:
    """Else the tests above would refuse everything for no reason."""
    assert tomllib.loads(toml(CONTENT[path])) == CONTENT[path]
    if path.parent.name != "examples" and (FULL or path.stem in ("table1", "fcos-r50", "smoke")):
        assert _judge(folder, toml(CONTENT[path]).encode(), path)
