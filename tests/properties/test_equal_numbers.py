"""Numbers that are equal are equal, in every file that says them.

Seen: a results file with ``"image_id": 7.0``, as pandas and JavaScript write it and pycocotools
takes it, was refused, and so was ``"iscrowd": false``. Right: 1 and 1.0 are one id, one setting,
one digest; true is no number, but for ``iscrowd``, which is a flag.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detbench.data import coco_check
from detbench.errors import DataError, RecipeError
from detbench.evaluation import coco
from detbench.evaluation.detections import check_results
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Evaluation
from detbench.results import detections, schema

TRUTH: dict[str, Any] = {
    "images": [{"id": n, "width": 64, "height": 48, "file_name": f"{n}.jpg"} for n in (7, 9)],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 1,
            "bbox": [1, 2, 30, 20],
            "area": 400,
            "iscrowd": 0,
        },
        {"id": 2, "image_id": 9, "category_id": 3, "bbox": [5, 5, 9, 9], "area": 81, "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
}
FOUND: list[dict[str, Any]] = [
    {"image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 20], "score": 1},
    {"image_id": 9, "category_id": 3, "bbox": [5, 4, 9, 9], "score": 0.25},
]
TEXTS = ("file_name", "name")


def otherwise(plain: Any, chosen: st.DataObject) -> Any:
    """The same, with some whole numbers as floats, and some flags as such."""
    if isinstance(plain, list):
        return [otherwise(one, chosen) for one in plain]
    if isinstance(plain, dict):
        made = {name: otherwise(one, chosen) for name, one in plain.items()}
        if "iscrowd" in made and chosen.draw(st.booleans()):
            made["iscrowd"] = bool(made["iscrowd"])
        return made
    return float(plain) if isinstance(plain, int) and chosen.draw(st.booleans()) else plain


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_annotations_and_results(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("equal") / "own.json"
    path.write_text(json.dumps(TRUTH))
    plain = coco_check.read(path)
    path.write_text(json.dumps(otherwise(TRUTH, data)))
    table = coco_check.read(path)
    for name in ("image_ids", "image_sizes", "ids", "image_rows", "labels", "boxes", "areas"):
        first, second = getattr(plain, name), getattr(table, name)
        np.testing.assert_array_equal(first, second)
        assert first.dtype == second.dtype
    np.testing.assert_array_equal(plain.crowd, table.crowd)
    found = otherwise(FOUND, data)
    check_results(table, found)
    assert coco.evaluate(table, found, Evaluation()) == coco.evaluate(plain, FOUND, Evaluation())
    # As a store keeps them.
    assert detections.unpacked(detections.packed(found)) == FOUND


@pytest.mark.parametrize("value", [True, 7.5, "7", None, float("inf"), 2.0**60, 1e300])
@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_what_is_no_whole_number_is_refused_everywhere(
    tmp_path: Path, key: str, value: Any
) -> None:
    wrong = copy.deepcopy(FOUND)
    wrong[0][key] = value
    with pytest.raises(DataError, match=f"{key} "):
        check_results(TRUTH, wrong)
    if value != 2.0**60 and value != float("inf"):
        with pytest.raises(schema.Damaged):
            detections.unpacked(detections.packed(wrong))
    annotations = copy.deepcopy(TRUTH)
    annotations["annotations"][0][key] = value
    path = tmp_path / "own.json"
    path.write_text(json.dumps(annotations))
    with pytest.raises(DataError, match=key):
        coco_check.read(path)


def identity(*overrides: str) -> str:
    cell = resolve.cell("fcos-r50", load.profile("paper"), 0, overrides).cell
    assert cell is not None
    return digest(cell)


NUMBERS = (
    "training.optimizer.momentum",
    "training.schedule.gamma",
    "training.epochs",
    "evaluation.area_scale",
    "supervision.loc.weight",
)


@given(st.sampled_from(NUMBERS), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_settings(key: str, value: int) -> None:
    written = {f"{value}", f"{value}.0", f"{value}e0", f"+{value}"}
    assert len({identity(f"{key}={text}") for text in written}) == 1
    with pytest.raises(RecipeError, match="given true, expected a number"):
        identity(f"{key}=true")


@pytest.mark.parametrize("key", ["training.batch", "training.schedule.warmup_iterations"])
@pytest.mark.parametrize("text", ["true", "8.5", "8.0"])
def test_a_whole_number_of_a_recipe_is_written_as_one(key: str, text: str) -> None:
    with pytest.raises(RecipeError, match=f"given {text}, expected an integer"):
        identity(f"{key}={text}")
