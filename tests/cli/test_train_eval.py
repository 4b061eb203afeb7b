from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Call
from made_detectors import Made, detect, scenes
from no_torch import NoTorch

from detbench.evaluation import results
from detbench.evaluation.coco import evaluate
from detbench.recipe.experiment import Evaluation
from detbench.training import loop

SETTINGS = (
    "data.train=8",
    "data.val=3",
    "data.size=64",
    "training.iterations=2",
    "training.batch=2",
    "training.weights=none",
    "training.input.short=64",
    "training.input.long=64",
    "inference.score_threshold=0.0",
)
SCENES = ["--profile", "smoke", *(x for s in SETTINGS if s[:4] == "data" for x in ("--set", s))]
SMALL = ["--profile", "smoke", *(part for one in SETTINGS for part in ("--set", one))]


def annotations(path: Path) -> dict[str, Any]:
    truth = {
        "images": [{"id": 1, "width": 100, "height": 100, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 0, "image_id": 1, "category_id": 3, "bbox": [10, 10, 40, 40], "area": 1600},
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [60, 60, 10, 10], "area": 100},
        ],
    }
    path.write_text(json.dumps(truth))
    return truth


ANN = ["--annotations", "ann.json"]
FOUND = [{"image_id": 1, "category_id": 3, "bbox": [10, 10, 40, 40], "score": 0.9}]


def test_train_then_eval_give_the_same_numbers(call: Call, tmp_path: Path) -> None:
    code, out, err = call("train", "fcos-r50", *SMALL, "--out", "here", "--format", "json")
    assert (code, "train 2/2" in err, "training from scratch" in err) == (0, True, True)
    trained = json.loads(out)["rows"][0]
    names = {"weights.pt", "curve.jsonl", "first.json", "checkpoint.pt", "detections.json.gz"}
    assert {entry.name for entry in (tmp_path / "here").iterdir()} == names

    options = ["--weights", "here/weights.pt", "--save", "again.json", "--format", "json"]
    code, out, _ = call("eval", "fcos-r50", *SMALL, *options)
    assert (code, json.loads(out)["rows"][0]) == (0, trained)
    kept = results.read(tmp_path / "again.json")
    assert kept == results.read(tmp_path / "here" / "detections.json.gz")
    assert len(kept) > 0

    code, out, _ = call("eval", "--results", "again.json", *SCENES, "--format", "json")
    again = json.loads(out)["rows"][0]
    assert (code, again | {"name": ""}) == (0, trained | {"name": ""})


def test_train_again_does_nothing_and_other_settings_are_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call("train", "fcos-r50", *SMALL)
    monkeypatch.setattr(loop, "_step", lambda *_: pytest.fail("trained again"))
    second = call("train", "fcos-r50", *SMALL)
    assert (first[0], second[0], first[1]) == (0, 0, second[1])
    code, _, err = call("train", "fcos-r50", *SMALL, "--set", "training.optimizer.lr=0.5")
    assert code == 2
    assert "belongs to a run with other settings" in err.splitlines()[-1]


def test_train_longer_goes_on_and_says_what_comes_of_it(call: Call, tmp_path: Path) -> None:
    steady = ["--set", 'training.schedule={kind="steps",drops=[],warmup_iterations=0}']
    looks = ["--set", 'training.validation={every=2,unit="iterations",metric="AR",keep="last"}']
    four, six = (["--set", f"training.iterations={length}"] for length in (4, 6))
    code, _, err = call("train", "fcos-r50", *SMALL, *four, *steady, "--out", "grown", *looks)
    assert (code, err.count("validation after iteration")) == (0, 2), err
    assert "validation after iteration 2 of 4: AR " in err
    code, _, err = call("train", "fcos-r50", *SMALL, *six, *steady, "--out", "grown", *looks)
    assert (code, "from iteration 4 to 6, where it will be, bit for bit" in err) == (0, True), err
    call("train", "fcos-r50", *SMALL, *six, *steady, "--out", "whole", *looks)
    for name in ("curve.jsonl", "detections.json.gz"):
        grown, whole = ((tmp_path / folder / name).read_bytes() for folder in ("grown", "whole"))
        assert grown == whole

    code, _, err = call("train", "fcos-r50", *SMALL, *four, *steady, "--out", "grown", *looks)
    assert (code, "6 iterations are done, and 4 asked for" in err) == (2, True)
    call("train", "fcos-r50", *SMALL, *four, "--out", "cycle")
    code, out, err = call("train", "fcos-r50", *SMALL, *six, "--out", "cycle")
    assert code == 0
    assert "its learning rate at iteration 2 was" in err
    assert "This training was extended after iteration 4 from a shorter training" in out


def test_the_best_weights_are_said_to_be_chosen(call: Call) -> None:
    looks = ["--set", 'training.validation={every=1,unit="iterations",metric="AR"}']
    code, out, err = call("train", "fcos-r50", *SMALL, *looks)
    assert (code, "the best so far" in err) == (0, True)
    assert "Weights were chosen during the training by their AR on the very images" in out


def test_eval_of_a_file(call: Call, tmp_path: Path) -> None:
    annotations(tmp_path / "ann.json")
    results.write(tmp_path / "found.json.gz", FOUND)
    files = ["--results", "found.json.gz", *ANN]
    rows = []
    for engine in ("faster", "pycocotools"):
        code, out, _ = call("eval", *files, "--evaluator", engine, "--format", "json")
        assert code == 0
        rows.append(json.loads(out)["rows"][0])
    ap = 51 / 101 * 100  # one of two found: 51 of the 101 recall points
    for row in rows:
        assert row["AP"] == pytest.approx(ap)
        assert (row["APm"], row["APs"], row["APl"]) == (pytest.approx(100), 0, None)
        assert row["notes"]["APl"].startswith("no object of this size")
    code, out, _ = call("eval", *files, "--set", "evaluation.area_scale=0.1")
    assert "squares of 3.2 and 9.6 pixels" in out
    code, out, _ = call("eval", *files, "--thresholds", "--format", "csv")
    assert "AP50,AP55,AP60" in out
    code, out, _ = call("eval", "--results", "found.json.gz", "--dataset", "coco:ann.json:nowhere")
    assert (code, f"{ap:.2f}" in out) == (0, True)


def test_each_class_is_scored_as_if_it_were_alone(call: Call, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground, hard = scenes(rng, 12)
    for image in ground["images"]:
        image |= {"width": 700, "height": 700, "file_name": f"{image['id']}.jpg"}
    found = detect(rng, ground, hard, Made())
    (tmp_path / "ann.json").write_text(json.dumps(ground))
    (tmp_path / "found.json").write_text(json.dumps(found))
    words = ("--results", "found.json", "--annotations", "ann.json", "--by-class")
    code, out, _ = call("eval", *words, "--format", "json")
    assert code == 0
    whole, *classes = json.loads(out)["rows"]
    assert [one["name"] for one in classes] == [one["name"] for one in ground["categories"]]
    for category, row in zip(ground["categories"], classes, strict=True):
        alone = [one for one in found if one["category_id"] == category["id"]]
        kept = [one for one in ground["annotations"] if one["category_id"] == category["id"]]
        only = {**ground, "annotations": kept, "categories": [category]}
        known = evaluate(only, alone, Evaluation(), "pycocotools")
        for metric in ("AP", "AP50", "APs", "ARl"):
            value = known[metric]
            assert row[metric] == (None if value is None else pytest.approx(100 * value))
    aps = [row["AP"] for row in classes if row["AP"] is not None]
    assert whole["AP"] == pytest.approx(sum(aps) / len(aps))


def test_scoring_a_file_never_imports_torch(tmp_path: Path, no_torch: NoTorch) -> None:
    annotations(tmp_path / "ann.json")
    results.write(tmp_path / "found.json", FOUND)
    script = (
        "from detbench.cli.main import main\n"
        "shapes = ['--dataset', 'shapes', '--set', 'data.val=3']\n"
        "for truth in (['--annotations', 'ann.json'], shapes):\n"
        "    try: main(['eval', '--results', 'found.json', *truth])\n"
        "    except SystemExit as ended: assert not ended.code, ended.code\n"
    )
    done = no_torch.run(script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.modules
    assert "50.50" in done.stdout


def bad_files(folder: Path) -> None:
    annotations(folder / "ann.json")
    (folder / "cut.json").write_text('{"images": [')
    results.write(folder / "found.json", FOUND)
    (folder / "half.json").write_text(json.dumps(FOUND)[:30])
    results.write(folder / "object.json", {"a": 1})  # type: ignore[arg-type]
    results.write(folder / "other.json", [FOUND[0] | {"image_id": 77}])
    text = json.dumps([FOUND[0] | {"score": float("nan")}])
    (folder / "nan.json").write_text(text)
    (folder / "bad.pt").write_bytes(b"PK\x03\x04 nothing")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval"], "give DETECTOR and --weights FILE, or --results FILE"),
        (["eval", "fcos-r50"], "give DETECTOR and --weights FILE"),
        (["eval", "fcos-r50", "--results", "found.json"], "DETECTOR does not go with --results"),
        (
            ["eval", "--results", "none.json", *ANN],
            "none.json: no such file",
        ),
        (["eval", "--results", "half.json", *ANN], "half.json: truncated"),
        (["eval", "--results", "object.json", *ANN], "are a list"),
        (
            ["eval", "--results", "other.json", *ANN],
            "other.json: detection 0",
        ),
        (["eval", "--results", "nan.json", *ANN], "finite number, not nan"),
        (["eval", "--results", "found.json", "--annotations", "cut.json"], "cut.json: truncated"),
        (["eval", "--results", "found.json", "--dataset", "cocoo"], "did you mean"),
        (["eval", "--results", "found.json", "--dataset", "coco"], "instances_val2017.json"),
        (["eval", "fcos-r50", *SMALL, "--weights", "none.pt"], "none.pt: no such file"),
        (["eval", "fcos-r50", *SMALL, "--weights", "."], "--weights .: a folder: name a file in"),
        (
            ["eval", "fcos-r50", *SMALL, "--weights", "embedded"],
            "--weights embedded: no such file, and weights by name only start a training: give a",
        ),
        (
            ["train", "fcos-r50", "--profile", "paper", "--set", "data.train=16"],
            "--set: data.train: given 16, expected a string; 'coco' has outside, no_area,"
            " train_content, val_content, train, val: data.kind decides, 'shapes' would take it",
        ),
        (
            ["train", "fcos-r50", "--profile", "paper", "--set", "data.size=16"],
            "no_area, train_content, val_content, train, val); data.kind decides, 'shapes' would",
        ),
        (["eval", "fcos-r50", *SMALL, "--weights", "bad.pt"], "bad.pt: truncated"),
        (["eval", "fcos-r5O", "--weights", "none.pt"], "did you mean"),
        (["train", "fcos-r50", *SMALL, "--device", "cuda"], "no usable CUDA device"),
        (["train", "fcos-r50", *SMALL, "--weights", "bad.pt"], "bad.pt: truncated"),
        (["train", "fcos-r50", "--profile", "paper"], "instances_train2017.json"),
        (["train", "fcos-r50", *SMALL, "--set", "training.itrations=3"], "did you mean"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bad_files(tmp_path)
    code, out, err = call(*arguments)
    told = [line for line in err.splitlines() if line.startswith("detbench")]
    assert (code, out, len(told)) == (2, "", 1), err
    assert said in told[0]
    assert "Traceback" not in err


def test_nan_ends_with_exit_1(call: Call) -> None:
    lr = ["--set", "training.optimizer.lr=1e30", "--set", "training.schedule.rise=0.0"]
    code, out, err = call("train", "fcos-r50", *SMALL, *lr)
    assert (code, out) == (1, "")
    assert "not finite at iteration 2 of 2" in err.splitlines()[-1]
