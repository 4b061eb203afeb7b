"""Modules of one's own that break their contract, and the line that says so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from detbench.assembly import build_detector
from detbench.errors import RecipeError
from detbench.recipe.experiment import Cell


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """The name of a module of this text, which can be imported from ``folder``."""
    name = f"mine_{abs(hash(text))}"
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    (folder / f"{name}.py").write_text(text)
    return name


def assert_refused(cell: Cell, name: str, said: str) -> None:
    """Its class ``Mine`` is refused when the cell's detector is built, in one line."""
    with pytest.raises(RecipeError) as caught:
        build_detector(cell.detector, 3)
    [line] = caught.value.mistakes
    assert line.startswith(f"target '{name}:Mine': ")
    assert said in line
