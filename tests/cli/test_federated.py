"""LVIS's annotations are refused, not scored by COCO's rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Call

GROUND = {
    "images": [
        {"id": 1, "width": 9, "height": 9, "file_name": "1.jpg", "neg_category_ids": [2]},
        {"id": 2, "width": 9, "height": 9, "file_name": "2.jpg", "not_exhaustive_category_ids": []},
    ],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}
    ],
}
FOUND = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.9}]


@pytest.mark.parametrize("evaluator", ["detbench", "faster", "pycocotools"])
def test_evaluators_refuse_lvis(call: Call, tmp_path: Path, evaluator: str) -> None:
    (tmp_path / "lvis.json").write_text(json.dumps(GROUND))
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    words = ("--results", "found.json", "--annotations", "lvis.json", "--evaluator", evaluator)
    code, out, err = call("eval", *words)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert "lvis.json: its images name the classes that were looked for (neg_category_ids)" in line
    assert "score it with the package lvis" in line


def test_a_comparison_refuses_lvis(call: Call, tmp_path: Path) -> None:
    (tmp_path / "lvis.json").write_text(json.dumps(GROUND))
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(FOUND))
    code, _, err = call("compare", "a.json", "b.json", "--annotations", "lvis.json")
    assert code == 2
    assert "LVIS's" in err


def test_an_evaluation_prints_intervals(call: Call, tmp_path: Path) -> None:
    """Of COCO's form of the same, over enough images, and the reason over too few."""
    for count in (1, 12):
        images = [{"id": i, "width": 9, "height": 9, "file_name": f"{i}"} for i in range(count)]
        objects = [{**GROUND["annotations"][0], "id": i, "image_id": i} for i in range(count)]  # type: ignore[dict-item]
        found = [{**FOUND[0], "image_id": i} for i in range(count) if i % 3 != 1]
        ground = {**GROUND, "images": images, "annotations": objects}
        (tmp_path / "val.json").write_text(json.dumps(ground))
        (tmp_path / "found.json").write_text(json.dumps(found))
        words = ("--results", "found.json", "--annotations", "val.json", "--intervals")
        code, out, _ = call("eval", *words, "--format", "json")
        assert code == 0
        one, ends = json.loads(out)["rows"]
        if count == 1:
            assert ends["AP"] is None
            assert "one image holds such an object" in ends["notes"]["AP"]
        else:
            assert ends["AP"][0] < one["AP"] < ends["AP"][1]
            assert ends["APs"][0] == ends["AP"][0]
