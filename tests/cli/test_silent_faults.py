"""Faults of annotations that were once read as something else without a word."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from made_coco import make_coco
from made_openimages import make_openimages
from made_voc import make_voc
from made_widerface import make_widerface
from made_yolo import make_yolo

Content = dict[str, Any]


def problems(call: Call, dataset: str, *words: str) -> list[str]:
    """Of both splits, as ``data check`` says them."""
    code, out, err = call(
        "data", "check", dataset, "--data-root", "data", "--format", "json", *words
    )
    if code == 2:
        return err.splitlines()
    found = [one for report in json.loads(out) for one in report["problems"]]
    assert code == bool(found)
    return found


def val_file(folder: Path) -> Path:
    make_coco(folder / "data", images=4)
    return folder / "data" / "coco" / "annotations" / "instances_val2017.json"


def change(path: Path, how: Callable[[Content], object]) -> None:
    content = json.loads(path.read_text())
    how(content)
    path.write_text(json.dumps(content))


def two_names(content: Content) -> None:
    content["categories"][3]["name"] = content["categories"][1]["name"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (two_names, "categories 2 and 4 are both called 'thing 2'; classes are told apart"),
        (lambda c: c["categories"][0].update(name=5), "category 1 has name 5; name is a text"),
        (lambda c: c["categories"][0].pop("name"), "category 1 has no 'name'; give it one"),
        (lambda c: c["categories"][0].update(name="a\ud800"), r"has name 'a\ud800', with half a"),
        (lambda c: c["images"][0].update(file_name=[]), "has file_name []; file_name is a text"),
        (lambda c: c["images"][0].update(file_name="\udce9.jpg"), r"has file_name '\udce9.jpg',"),
        (lambda c: c["images"][0].update(width=0), "image 1009 is 0x480"),
    ],
)
def test_one_fault_of_coco_is_one_sentence(
    call: Call, tmp_path: Path, how: Callable[[Content], object], said: str
) -> None:
    path = val_file(tmp_path)
    change(path, how)
    [found, *others] = problems(call, "coco", "--no-images")
    assert said in found
    assert all("classes" in one for one in others)  # of the splits together
    for command in ("convert", "split"):
        words = ("data", command, "coco", "out", "--data-root", "data", "--split", "val")
        code, _, err = call(*words)
        assert (code, err.strip().count("\n")) == (2, 0)
        assert said in err


def test_text_that_is_no_name_is_converted_as_it_is(call: Call, tmp_path: Path) -> None:
    path = val_file(tmp_path)
    change(path, lambda content: content["info"].update(description="a\ud83d猫"))
    words = ("data", "convert", "coco", "out", "--data-root", "data", "--split", "val")
    assert call(*words)[0] == 0
    written = json.loads((tmp_path / "out" / "annotations" / "instances_val.json").read_bytes())
    assert written["info"]["description"] == "a\ud83d猫"


def test_a_key_twice(call: Call, tmp_path: Path) -> None:
    path = val_file(tmp_path)
    text = path.read_text()
    path.write_text(text[:-1] + ', "annotations": []}')
    [found] = problems(call, "coco", "--no-images")
    assert "has 'annotations' twice in one object; leave either out" in found
    path.write_text(text.replace('"bbox"', '"iscrowd": 0, "bbox"', 1))
    [found] = problems(call, "coco", "--no-images")
    assert "has 'iscrowd' twice in one object with id 10001; leave either out" in found
    path.write_text(text)
    one = '{"image_id": 1009, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5, "score": 0.9}'
    (tmp_path / "found.json").write_text(f"[{one}]")
    code, _, err = call("eval", "--results", "found.json", "--annotations", str(path))
    assert code == 2
    assert "found.json: it has 'score' twice in one object; leave either out" in err


def test_one_set_given_for_both_splits(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "coco"
    pair = f"{val_file(tmp_path)}:{folder / 'val2017'}"
    assert problems(call, f"coco:{pair}") == []
    [found] = problems(call, f"coco:{pair}:{pair}")
    assert found.startswith("4 of the 4 val images are train images too")
    file = make_yolo(tmp_path / "y")
    file.write_text("train: images/train\nval: images/train\nnames: [apple, pear, plum]\n")
    [found] = problems(call, "yolo:y/data.yaml")
    assert found.startswith("5 of the 5 val images are train images too")


@pytest.mark.parametrize("odd", ["0.0_5", "1_0", "٠.٥", "０.5", "nan", "infinity"])
def test_numbers_that_python_alone_takes(call: Call, tmp_path: Path, odd: str) -> None:
    make_yolo(tmp_path / "y")
    label = tmp_path / "y" / "labels" / "train" / "train-0.txt"
    label.write_text(f"0 {odd} 0.5 0.1 0.1\n1 5e-1 .5 0.25 +0.5\n")
    [found] = problems(call, "yolo:y/data.yaml")
    assert f"{label.relative_to(tmp_path)}: line 1: '{odd}' is no number" in found


def test_names_of_yolo(call: Call, tmp_path: Path) -> None:
    file = make_yolo(tmp_path / "y")
    text = file.read_text()
    file.write_text(text.replace("plum", "apple"))
    [found] = problems(call, "yolo:y/data.yaml")
    assert "classes 0 and 2 are both called 'apple'" in found
    file.write_text(text.replace("plum", r'"\ud800"'))
    [found] = problems(call, "yolo:y/data.yaml")
    assert "the name of class 2" in found
    file.write_text(text)
    odd = os.fsencode(tmp_path / "y" / "images" / "val") + b"/\xe9.png"
    os.rename(tmp_path / "y" / "images" / "val" / "val-1.png", odd)
    [found] = problems(call, "yolo:y/data.yaml")
    assert r"images/val/\udce9.png has a name with half a character" in found
    code, _, err = call("data", "convert", "yolo:y/data.yaml", "out")
    assert code == 2
    assert "has a name with half a character" in err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<ymin>", "<ymin>3</ymin><ymin>", "has 2 of 'bndbox/ymin'"),
        ("</object>", "<bndbox><xmin>1</xmin></bndbox></object>", "has 2 of 'bndbox/xmin'"),
        ("</object>", "<name>dog</name></object>", "object 1 has 2 of 'name'"),
        ("<depth>", "<width>9</width><depth>", "the image has 2 of 'size/width'"),
        ("<xmin>", "<xmin>1_", "has bndbox/xmin '1_"),
    ],
)
def test_voc(call: Call, tmp_path: Path, old: str, new: str, said: str) -> None:
    make_voc(tmp_path / "data")
    path = next(iter(sorted((tmp_path / "data/VOCdevkit/VOC2012/Annotations").iterdir())))
    path.write_text(path.read_text().replace(old, new, 1))
    [found] = problems(call, "voc", "--no-images")
    assert said in found


def test_faces_with_other_digits(call: Call, tmp_path: Path) -> None:
    make_widerface(tmp_path / "data")
    path = tmp_path / "data/widerface/wider_face_split/wider_face_train_bbx_gt.txt"
    lines = path.read_text().split("\n")
    for odd in ("1_0", "٣"):
        first, _, rest = lines[2].partition(" ")
        path.write_text("\n".join([*lines[:2], f"{odd} {rest}", *lines[3:]]))
        [found] = problems(call, "widerface", "--no-images")
        assert "line 3" in found
        assert first.isdecimal()


def test_two_classes_of_openimages_of_one_name(call: Call, tmp_path: Path) -> None:
    make_openimages(tmp_path / "data")
    [path] = (tmp_path / "data").rglob("*classes-description*.csv")
    lines = path.read_text().splitlines()
    name = lines[-2].partition(",")[2]
    path.write_text("\n".join([*lines[:-1], f"{lines[-1].partition(',')[0]},{name}"]) + "\n")
    found = problems(call, "openimages", "--no-images")
    assert f"a class before it is called '{name}' too" in found[0]
