"""Boxes outside and without area, and faults of VOC, as commands say them."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Call
from made_spoilt import spoil_coco
from made_voc import make_voc


def test_data_check_and_convert_say_what_was_done(call: Call, tmp_path: Path) -> None:
    spoil_coco(tmp_path / "data")
    words = ("data", "check", "coco", "--no-images")
    code, out, _ = call(*words)
    assert code == 1
    assert "set data.outside to clip or drop" in " ".join(out.split())
    assert "set data.no_area to drop" in " ".join(out.split())
    settings = ("--set", "data.outside=clip", "--set", "data.no_area=drop")
    code, out, _ = call(*words, *settings, "--format", "json")
    assert code == 0
    val = json.loads(out)[1]
    assert val["notes"] == [
        f"1 of {val['objects'] + 2} boxes reach outside their image and are cut at its edges",
        f"1 of {val['objects'] + 2} boxes reach outside their image and are left out",
        f"1 of {val['objects'] + 2} boxes have no area and are left out",
    ]
    assert call("data", "convert", "coco", "out", *settings)[0] == 0
    written = json.loads((tmp_path / "out/annotations/instances_val.json").read_text())
    assert len(written["annotations"]) == val["objects"]
    assert "segmentation" in written["annotations"][-1]
    name = "coco:out/annotations/instances_val.json:data/coco/val2017"
    assert call("data", "check", name, "--no-images")[0] == 0


def test_check_counts_them(call: Call, tmp_path: Path) -> None:
    spoil_coco(tmp_path / "data")
    words = ("check", "tscode-table1", "--rows", "FCOS", "--profile", "smoke", "--dataset", "coco")
    code, out, _ = call(*words, "--read-data", "--format", "json")
    assert code == 2
    code, out, _ = call(
        *words,
        *("--read-data", "--format", "json"),
        *("--set", "data.outside=drop", "--set", "data.no_area=drop"),
    )
    assert code == 0
    found = [one for one in json.loads(out)["checks"] if one["name"] == "data"]
    assert [one["status"] for one in found] == ["ok", "warning", "warning"]
    assert found[0]["message"].endswith(
        "boxes outside dropped, those without area dropped is there and sound"
    )
    assert "2 of " in found[1]["message"]


def test_all_faults_of_voc_are_said_at_once(call: Call, tmp_path: Path) -> None:
    make_voc(tmp_path / "data", images=4)
    folder = tmp_path / "data" / "VOCdevkit" / "VOC2012" / "Annotations"
    first, second, *_ = sorted(folder.glob("*.xml"))
    first.write_text("<annotation>")
    second.write_text(second.read_text().replace("<xmax>", "<xmax>9"))
    code, out, _ = call("data", "check", "voc", "--no-images", "--format", "json")
    assert code == 1
    train = json.loads(out)[0]
    assert len(train["problems"]) == 2
    assert train["images"] == 6
    assert "truncated or no XML" in train["problems"][0]
    assert "outside its image" in train["problems"][1]
