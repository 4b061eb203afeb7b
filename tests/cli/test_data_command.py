"""``detbench data``, as a user calls it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from commands import Call
from made_coco import make_coco
from made_voc import make_voc
from PIL import Image


@pytest.fixture
def call(call: Call) -> Call:
    """Run ``detbench data``."""
    return partial(call, "data")


def test_list(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("list")
    assert code == 0
    assert "Data root: data" in out
    make_voc(tmp_path / "data", images=3)
    code, out, _ = call("list", "--format", "json")
    found = [(one["dataset"], one["split"], one["found"], one["images"]) for one in json.loads(out)]
    assert found == [
        ("shapes", "train", "yes", 4000),
        ("shapes", "val", "yes", 500),
        ("coco", "train", "no", None),
        ("coco", "val", "no", None),
        ("voc", "train", "yes", 3),
        ("voc", "train", "yes", 3),
        ("voc", "val", "yes", 3),
        ("widerface", "train", "no", None),
        ("widerface", "val", "no", None),
        ("openimages", "train", "no", None),
        ("openimages", "val", "no", None),
    ]


def test_check_and_its_exit_codes(call: Call, tmp_path: Path) -> None:
    make_coco(tmp_path / "dätä", images=30)
    words = ("check", "coco", "--data-root", "dätä")
    code, out, _ = call(*words)
    assert code == 0
    assert "coco is sound." in out
    for path in (tmp_path / "dätä" / "coco" / "train2017").iterdir():
        path.write_bytes(b"x")
    code, out, _ = call(*words)
    assert code == 1
    assert "train: and 10 more (all: --format json)" in out
    assert out.count("is damaged") == 20
    code, out, _ = call(*words, "--format", "json")
    assert code == 1
    assert len(json.loads(out)[0]["problems"]) == 30
    assert call(*words, "--no-images")[0] == 0
    code, out, _ = call("check", "shapes")
    assert (code, out) == (0, "shapes: drawn on demand, nothing to check.\n")


def test_a_converted_set_is_named_as_dataset_takes_it(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("convert", "shapes", "out", "--profile", "smoke", "--limit", "2")
    assert code == 0
    name = out.split("--dataset ")[1].split()[0]
    assert name == (
        "coco:out/annotations/instances_train.json:out/train:"
        "out/annotations/instances_val.json:out/val"
    )
    code, out, _ = call("check", name, "--format", "json")
    assert code == 0
    assert [one["decoded"] for one in json.loads(out)] == [2, 2]
    code, out, _ = call(
        "convert", "shapes", "one", "--split", "val", "--set", "data.val=1", "--format", "json"
    )
    assert [one["images"] for one in json.loads(out)["splits"]] == [1]


def outside(tmp_path: Path) -> str:
    """A data set whose names of images lead out of its folder, as ``--dataset`` takes it."""
    names = ("../../mine/2.png", str(tmp_path / "source" / "mine" / "2.png"), "2.png")
    for number, name in enumerate(names):
        path = tmp_path / "source" / "set" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), number).save(path)
    images = [{"id": 7 + i, "width": 2, "height": 2, "file_name": n} for i, n in enumerate(names)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    content["annotations"] = [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0}
    ]
    (tmp_path / "up.json").write_text(json.dumps(content))
    return "coco:up.json:source/set/images"


def test_images_are_copied_below_the_folder_alone(call: Call, tmp_path: Path) -> None:
    """Whatever their names, and never over another file."""
    users = tmp_path / "target" / "mine" / "2.png"
    users.parent.mkdir(parents=True)
    users.write_text("the user's")
    words = ("convert", outside(tmp_path), "target/out", "--copy-images", "--split", "val")
    assert call(*words)[0] == 0
    assert users.read_text() == "the user's"
    written = json.loads((tmp_path / "target/out/annotations/instances_val.json").read_text())
    names = [one["file_name"] for one in written["images"]]
    assert names[0] == "mine/2.png"
    assert len(set(names)) == 3
    for number, name in zip((1, 1, 2), names, strict=True):
        copied = (tmp_path / "target" / "out" / "val" / name).resolve()
        assert copied.is_relative_to(tmp_path / "target" / "out" / "val")
        with Image.open(copied) as image:
            assert image.getpixel((0, 0)) == number


def test_a_file_of_the_users_is_not_written_over(call: Call, tmp_path: Path) -> None:
    name = outside(tmp_path)
    there = tmp_path / "out" / "val" / "2.png"
    there.parent.mkdir(parents=True)
    there.write_text("the user's")
    for words in ((name, "out", "--copy-images", "--split", "val"), (name, "out", "--copy-images")):
        code, _, err = call("convert", *words)
        assert (code, err.count("\n")) == (2, 1)
        assert "out/val/2.png is there already: choose another folder, or --force" in err
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [there]
    assert call("convert", name, "out", "--copy-images", "--split", "val", "--force")[0] == 0
    assert there.read_bytes().startswith(b"\x89PNG")


def test_an_image_that_is_there_already_is_kept(call: Call, tmp_path: Path) -> None:
    """As after an interrupted conversion, or where DIR holds the images themselves."""
    words = ("convert", outside(tmp_path), "out", "--copy-images", "--split", "val")
    assert call(*words)[0] == 0
    (tmp_path / "out" / "annotations" / "instances_val.json").unlink()
    assert call(*words)[0] == 0


def test_links_in_the_folder_are_not_followed(call: Call, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.mkdir()
    (tmp_path / "out" / "val").mkdir(parents=True)
    (tmp_path / "out" / "val" / "mine").symlink_to(users)
    code, _, err = call("convert", outside(tmp_path), "out", "--copy-images", "--split", "val")
    assert (code, err.count("\n")) == (2, 1)
    assert "out/val/mine leads out of out/val: remove the link" in err
    assert not list(users.iterdir())


def test_voc_says_what_becomes_of_difficult_objects(call: Call, tmp_path: Path) -> None:
    make_voc(tmp_path / "data", images=2)
    code, out, _ = call("convert", "voc", "out", "--classes", "person,bus,car,aeroplane,tvmonitor")
    assert code == 0
    assert "Difficult objects are crowds in it" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "kitti"], "--dataset 'kitti': unknown"),
        (["check", "coco"], "data: annotation file data/coco/annotations/instances_train2017.json"),
        (["check", "coco:none.json:no"], "data: annotation file none.json is not there"),
        (["convert", "coco", "out"], "data: annotation file data/coco/annotations/instances_tr"),
        (["convert", "voc", "out", "--split", "val"], "image list data/VOCdevkit/VOC2007/Image"),
        (["convert", "coco:empty.json:.", "out"], "annotation file empty.json is truncated or no"),
        (["convert", "shapes", "a:b"], "a:b: --dataset takes no ':' in a path"),
        (["convert", "shapes", "out", "--profile", "smoke", "--classes", "cow"], "--classes: no c"),
        (
            ["convert", "shapes", "out", "--set", "data.siez=3"],
            "--set 'data.siez=3': data: unknown key",
        ),
    ],
)
def test_bad_input(call: Call, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "empty.json").write_text("")
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"detbench: {said}")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_all_faults_of_a_file_are_said_at_once_and_its_images_are_read(
    call: Call, tmp_path: Path
) -> None:
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (100, 80)).save(tmp_path / name)
    (tmp_path / "c.jpg").write_bytes(b"no image")
    sizes = ((100, 80), (60, 80), (10, 10), (10, 10))
    images = [
        {"id": i, "width": w, "height": h, "file_name": f"{'abcd'[i]}.jpg"}
        for i, (w, h) in enumerate(sizes)
    ]
    wrong = ((0, 1, [5, 5, 9, 9]), (0, 7, [5, 5, 9, 9]), (9, 1, [5, 5, 9, 9]))
    wrong += ((0, 1, [-5, 0, 20, 20]), (0, 1, [5, 5, 0, 20]), (0, 1, "no box"))
    annotations = [
        {"id": i, "image_id": image, "category_id": category, "bbox": box}
        for i, (image, category, box) in enumerate(wrong)
    ]
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "one"}]
    (tmp_path / "ann.json").write_text(json.dumps(content))
    code, out, _ = call("check", "coco:ann.json:.", "--format", "json")
    assert code == 1
    [report] = json.loads(out)
    assert (report["images"], report["objects"], report["decoded"]) == (4, 1, 3)
    said = [
        *("category_id 7", "image 9, which", "bbox 'no box'", "outside their image"),
        *("have no area", "d.jpg is not there", "b.jpg is 100x80", "c.jpg is damaged"),
    ]
    assert len(report["problems"]) == len(said)
    for problem, words in zip(report["problems"], said, strict=True):
        assert words in problem
