"""Stored detections give the stored numbers, or it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detbench.evaluation import scoring
from detbench.evaluation.rescore import Rescorer
from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results.schema import Measurement
from detbench.results.verify import UNSCORED


@pytest.fixture(scope="module")
def cell() -> Cell:
    found = resolve.cell("fcos-r50", "smoke", 0, ["data.val=4", "data.size=64"]).cell
    assert found is not None
    return found


@pytest.fixture(scope="module")
def detections(cell: Cell) -> list[dict]:
    found = cell.data.truth(Path())["annotations"]
    return [
        {"image_id": one["image_id"], "category_id": one["category_id"], "score": 1 / (k + 2)}
        | {"bbox": [x + k % 3 for x in one["bbox"]]}
        for k, one in enumerate(found)
    ]


@pytest.fixture
def rows(cell: Cell, detections: list[dict]) -> list[Measurement]:
    ground = cell.data.truth(Path())
    metrics = scoring.score(cell.data, ground, detections, cell.evaluation)
    assert 0.05 < metrics["AP"] < 0.95
    origin = {"recipe": cell.model_dump(mode="json")}
    name = digest(cell)
    return [
        Measurement(name, "train-eval", metric, value, "fraction", provenance=origin)
        for metric, value in metrics.items()
    ]


def test_the_same_detections_agree(rows: list[Measurement], detections: list[dict]) -> None:
    assert Rescorer(Path())(rows, detections) == ""


def test_other_detections_are_noticed(rows: list[Measurement], detections: list[dict]) -> None:
    said = Rescorer(Path())(rows, detections[1:])
    assert said.startswith("the detections do not give the stored numbers: AP 0.")
    changed = [replace(rows[0], value=rows[0].value + 1e-6), *rows[1:]]
    assert "AP" in Rescorer(Path())(changed, detections)
    blank = [replace(rows[0], value=None), *rows[1:]]
    assert "AP none is stored" in Rescorer(Path())(blank, detections)


def test_what_cannot_be_scored_is_no_fault(rows: list[Measurement], detections: list[dict]) -> None:
    odd = [replace(row, provenance={}) for row in rows]
    assert Rescorer(Path())(odd, detections).startswith(UNSCORED)
    other = [replace(row, digest="0" * 64) for row in rows]
    assert "its recipe is not the one" in Rescorer(Path())(other, detections)


def test_a_data_set_that_is_gone(tmp_path: Path) -> None:
    cell = resolve.cell("fcos-r50", "paper").cell
    assert cell is not None
    origin = {"recipe": cell.model_dump(mode="json")}
    row = Measurement(digest(cell), "train-eval", "AP", 0.1, "fraction", provenance=origin)
    said = Rescorer(tmp_path)([row], [])
    assert said.startswith(UNSCORED)
    assert "instances_val2017.json" in said
    assert "\n" not in said
