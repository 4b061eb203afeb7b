from __future__ import annotations

from pathlib import Path

import pytest

from detbench.cli import common
from detbench.errors import RecipeError


def test_seeds() -> None:
    assert common.parse_seeds("0,1, 2,1") == [0, 1, 2]
    for wrong in ("", "a", "1,", "-1", "1.5"):
        with pytest.raises(RecipeError, match="--seeds"):
            common.parse_seeds(wrong)


def test_input_size() -> None:
    assert common.parse_input("1280x800") == (1280, 800)
    assert common.parse_input("417X353") == (417, 353)
    for wrong in ("1280", "1280x", "x800", "0x800", "1280x800x3", "12.5x8"):
        with pytest.raises(RecipeError, match="give WIDTHxHEIGHT in pixels, as in 1280x800"):
            common.parse_input(wrong)


@pytest.mark.parametrize(
    ("function", "variable", "folder"),
    [
        (common.data_root, "DETBENCH_DATA", "data"),
        (common.results_root, "DETBENCH_RESULTS", "results"),
    ],
)
def test_folders(
    function: object, variable: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(function)
    monkeypatch.delenv(variable, raising=False)
    assert function(None) == Path(folder)
    monkeypatch.setenv(variable, "/elsewhere")
    assert function(None) == Path("/elsewhere")
    assert function(Path("here")) == Path("here")
