"""Annotations as they were read give what COCO's dictionary of them gives."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detbench.data import coco_check
from detbench.errors import DataError
from detbench.evaluation import coco, voc
from detbench.evaluation.detections import check_results, truth_columns
from detbench.evaluation.error_types import error_types
from detbench.recipe.experiment import Evaluation

RNG = np.random.default_rng(0)


def _item(number: int, noise: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    x, y, w, h = rng.uniform((0, 0, 8, 8), (20, 20, 30, 40)) + noise * RNG.normal(size=4)
    category = [7, 3, 40][number % 3]
    return {
        "image_id": [12, 5, 9, 30][number % 4],
        "category_id": category,
        "bbox": [float(x), float(y), float(w), float(h)],
    }


@pytest.fixture(scope="module")
def table() -> coco_check.Table:
    """Images and categories out of order, crowds, areas of some."""
    content = {
        "images": [
            {"id": number, "width": 64, "height": 64, "file_name": f"{number}.jpg"}
            for number in (12, 5, 30, 9, 2)
        ],
        "categories": [{"id": number, "name": f"class {number}"} for number in (7, 3, 40)],
        "annotations": [
            {"id": number, "iscrowd": int(number % 5 == 0), **_item(number)}
            | ({"area": 50.0 + number} if number % 2 else {})
            for number in range(24)
        ],
    }
    return coco_check.check(content, Path("made.json"))


RESULTS = [{**_item(number % 24, 1.0), "score": float(RNG.random())} for number in range(60)]


@pytest.mark.parametrize("limit", [None, 3])
def test_every_metric_is_the_same(table: coco_check.Table, limit: int | None) -> None:
    ground, evaluation = table.ground_truth(""), Evaluation(limit=limit)
    ours, theirs = (truth_columns(one, limit) for one in (table, ground))
    for field in fields(ours):
        assert np.array_equal(getattr(ours, field.name), getattr(theirs, field.name)), field.name
    for engine in ("detbench", "pycocotools"):
        found = coco.evaluate(table, RESULTS, evaluation, engine)
        assert found == coco.evaluate(ground, RESULTS, evaluation, engine)
        assert 0 < found["AP50"] < 1  # type: ignore[operator]
    assert error_types(table, RESULTS, evaluation) == error_types(ground, RESULTS, evaluation)
    scores = voc.evaluate(table, RESULTS, limit)
    assert scores == voc.evaluate(ground, RESULTS, limit)
    assert 0 < scores["VOC"] < 1  # type: ignore[operator]


def test_unknown_ids_are_named(table: coco_check.Table) -> None:
    for key, number in (("image_id", 13), ("category_id", 4)):
        with pytest.raises(DataError) as caught:
            check_results(table, [{**RESULTS[0], key: number}])
        assert f"{key} {number} is not in the annotations" in str(caught.value)
