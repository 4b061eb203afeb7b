"""Data in the YOLO layout, as commands take it."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Call
from made_yolo import NAMES, make_yolo


def test_check_convert_browse_and_list(call: Call, tmp_path: Path) -> None:
    make_yolo(tmp_path / "data" / "fruit", polygons=True)
    code, out, _ = call("data", "list", "--format", "json")
    found = [one for one in json.loads(out) if one["dataset"].startswith("yolo:")]
    assert [(one["split"], one["images"], one["objects"]) for one in found] == [
        ("train", 5, 6),
        ("val", 5, 6),
    ]
    name = found[0]["dataset"]
    assert name == "yolo:data/fruit/data.yaml"
    code, out, _ = call("data", "check", name)
    assert code == 0
    assert f"{name} is sound." in out
    code, out, err = call("data", "convert", name, "out", "--copy-images", "--format", "json")
    assert code == 0, err
    written = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())
    assert [one["name"] for one in written["categories"]] == list(NAMES)
    assert sum("segmentation" in one for one in written["annotations"]) == 3
    assert written["annotations"][0]["bbox"] == [24, 12, 16, 24]
    code, again, _ = call("data", "check", json.loads(out)["dataset"], "--format", "json")
    assert code == 0
    assert [(one["images"], one["objects"]) for one in json.loads(again)] == [(5, 6), (5, 6)]
    code, out, _ = call("data", "browse", "yolo:data/fruit", "--count", "3")
    assert (code, out) == (0, "browse/yolo-val-001.png\n")


def test_faults(call: Call, tmp_path: Path) -> None:
    path = make_yolo(tmp_path / "fruit")
    (tmp_path / "fruit/labels/train/train-0.txt").write_text("9 0.5 0.5 0.1 0.1\n0 1\n")
    code, out, _ = call("data", "check", f"yolo:{path}", "--format", "json")
    assert code == 1
    train, val = json.loads(out)
    assert len(train["problems"]) == 2
    assert (train["images"], train["objects"], val["problems"]) == (5, 4, [])
    code, _, err = call("data", "convert", f"yolo:{path}", "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "train-0.txt: line 1: class '9'" in err
    for words in (
        ("yolo:", "give it as yolo:DATA.yaml"),
        ("yolo:none.yaml", "data file none.yaml is not there"),
        ("yolo:~nobody-of-that-name/x.yaml", "data file ~nobody-of-that-name/x.yaml is not there"),
        ("coco:~nobody-of-that-name/x.json:y", "~nobody-of-that-name/x.json is not there"),
    ):
        code, _, err = call("data", "check", words[0])
        assert (code, err.count("\n")) == (2, 1)
        assert words[1] in err


def test_it_is_trained_on_and_named_in_the_protocol(call: Call, tmp_path: Path) -> None:
    path = make_yolo(tmp_path / "fruit")
    code, out, err = call(
        *("train", "fcos-r50", "--profile", "smoke", "--dataset", f"yolo:{path}", "--out", "w"),
        *("--set", "training.iterations=1", "--set", "training.batch=2", "--device", "cpu"),
    )
    assert code == 0, err
    assert "On fruit/data.yaml val, 5 images" in " ".join(out.split())
