"""Results files with masks, from anywhere: ``eval --results`` and ``compare``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import Call
from made_mask_results import made

from detbench.cli import subjects
from detbench.data.segmentations import Placed, bitmaps
from detbench.evaluation import coco
from detbench.evaluation.competition import Boxed
from detbench.recipe.experiment import Evaluation
from detbench.recipe.metrics import MASK_SCORES, SCORES


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    truth, results = made(3, images=12)
    worse = [one | {"score": 1 - one["score"]} for one in results]
    both = [one | {"bbox": [1.0, 1.0, 20.0, 20.0]} for one in results]
    blind = [
        {key: value for key, value in one.items() if key != "segmentation"}
        for one in truth["annotations"]
    ]
    contents = {
        "val": truth,
        "a": results,
        "b": worse,
        "both": both,
        "blind": truth | {"annotations": blind},
        "odd": [results[0] | {"segmentation": [[1, 2, 3]]}, *results[1:]],
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def row(out: str) -> dict[str, float]:
    [found] = json.loads(out)["rows"]
    return {key: found[key] for key in found if key not in ("name", "notes")}


WORDS = ("--annotations", "val.json", "--thresholds", "--format", "json")


def test_eval_scores_masks_boxes_or_both(call: Call, files: Path) -> None:
    truth, results = (json.loads((files / f"{name}.json").read_text()) for name in ("val", "a"))
    code, out, err = call("eval", "--results", "a.json", *WORDS)
    assert (code, err) == (0, "")
    expected = coco.evaluate(truth, results, Evaluation(), "pycocotools", masks=True)
    assert row(out) == {
        key: None if value is None else 100 * value for key, value in expected.items()
    }
    code, out, _ = call("eval", "--results", "both.json", *WORDS)
    assert code == 0
    assert set(row(out)) == {*SCORES, *MASK_SCORES}
    assert {key: row(out)[key] for key in MASK_SCORES} == {
        key: None if value is None else 100 * value for key, value in expected.items()
    }


def test_eval_without_masks_in_the_ground_truth(call: Call, files: Path) -> None:
    words = ("--annotations", "blind.json", "--thresholds", "--format", "json")
    code, out, _ = call("eval", "--results", "both.json", *words)
    assert code == 0
    assert set(row(out)) == set(SCORES)
    code, out, err = call("eval", "--results", "a.json", *words)
    assert (code, json.loads(out)["error"]["kind"]) == (2, "DataError")
    assert err.count("\n") == 1
    assert "the ground truth has no masks to score detections' masks against" in err


def test_eval_says_what_is_damaged_in_one_line(call: Call, files: Path) -> None:
    code, out, err = call("eval", "--results", "odd.json", *WORDS)
    assert (code, json.loads(out)["error"]["kind"]) == (2, "DataError")
    assert err.count("\n") == 1
    assert "odd.json: detection 0: has a polygon of an odd number of coordinates (3)" in err


def test_compare_takes_metrics_of_masks_beside_those_of_boxes(call: Call, files: Path) -> None:
    truth = json.loads((files / "val.json").read_text())
    metrics = "maskAP,AP,maskAP50[class 1]"
    words = ("--annotations", "val.json", "--replicates", "200", "--format", "json")
    code, out, _ = call("compare", "both.json", "both.json", *words, "--metrics", metrics)
    assert code == 0
    found = json.loads(out)["metrics"]
    assert list(found) == metrics.split(",")
    code, out, _ = call("compare", "a.json", "b.json", *words, "--metrics", "maskAP")
    assert code == 0
    one = json.loads(out)["metrics"]["maskAP"]
    for side, name in (("a", "a"), ("b", "b")):
        results = json.loads((files / f"{name}.json").read_text())
        value = coco.evaluate(truth, results, Evaluation(), "pycocotools", masks=True)["maskAP"]
        assert value is not None
        assert one[side] == 100 * value
    code, _, err = call("compare", "a.json", "b.json", *words, "--metrics", "AP")
    assert code == 2
    assert "lacks bbox" in err


def test_predictions_hold_masks_as_rles() -> None:
    bits = np.array([[True, False], [True, True]])
    after = Boxed(np.array([[3.0, 4, 5, 6]]), np.array([0]), np.array([0.5]))
    masked = Boxed(after.boxes, after.labels, after.scores, (Placed(3, 4, bits),))
    subject = SimpleNamespace(image=np.zeros((3, 20, 30)), title="one", image_id=1)
    found = {"subject": subject, "names": ["a"], "ids": [7], "least": 0.3, "competitions": None}
    [one] = subjects.as_json(found | {"after": masked, "before": after})["detections"]
    rle = one["segmentation"] | {"counts": one["segmentation"]["counts"].encode()}
    [whole] = bitmaps([rle], (20, 30))
    assert (whole[4:6, 3:5] == bits).all()
    assert whole.sum() == 3
    [plain] = subjects.as_json(found | {"after": after, "before": after})["detections"]
    assert "segmentation" not in plain
