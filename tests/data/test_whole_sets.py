"""Counting, inspecting and converting whole data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_coco import make_coco
from made_voc import make_voc
from PIL import Image

from detbench import data
from detbench.data import counting, images, inventory
from detbench.data.convert import Choice, convert, subset
from detbench.data.inspect import inspect
from detbench.data.kinds import Coco, CocoJson, Shapes, Voc
from detbench.errors import DataError

COCO, VOC = Coco(kind="coco"), Voc(kind="voc")


def quiet(done: int, total: int) -> None:
    """Told how far it is."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_coco(tmp_path, images=5)
    make_voc(tmp_path, images=3)
    return tmp_path


def counted(root: Path) -> dict[tuple[str, str, str], inventory.Entry]:
    return {(one.dataset, one.split, _last(one.where)): one for one in inventory.take(root)}


def _last(where: str) -> str:
    """A file's stem; of an image list with its year."""
    years = [part[3:] + " " for part in Path(where).parts if part.startswith("VOC2")]
    return "".join(years) + Path(where).stem


def test_counts_are_those_of_the_files(root: Path) -> None:
    found = counted(root)
    for split in ("train", "val"):
        one = found["coco", split, f"instances_{split}2017"]
        opened = data.load(COCO, split, root)
        assert one.images == len(opened) == 5
        assert one.objects == len(opened.ground_truth()["annotations"])
        assert (one.found, one.missing) == ("yes", "")
    trained = [one for key, one in found.items() if key[:2] == ("voc", "train")]
    opened = data.load(VOC, "train", root)
    assert sum(one.images for one in trained) == len(opened) == 6
    assert sum(one.objects for one in trained) == len(opened.ground_truth()["annotations"])
    assert found["shapes", "val", "drawn on demand"].images == 500


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000, 1 << 20])
def test_keys_at_the_ends_of_chunks_are_counted_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(counting, "_CHUNK", chunk)
    path = root / "coco" / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content, indent=2))
    assert counting.count(path) == (len(content["images"]), len(content["annotations"]))


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    min((root / "coco" / "val2017").iterdir()).unlink()
    (root / "coco" / "annotations" / "instances_train2017.json").unlink()
    (root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "test.txt").unlink()
    min((root / "VOCdevkit" / "VOC2012" / "Annotations").iterdir()).unlink()
    found = counted(root)
    one = found["coco", "val", "instances_val2017"]
    assert (one.found, one.missing) == ("in part", "1 image")
    one = found["coco", "train", "instances_train2017"]
    assert (one.found, one.missing, one.images) == ("no", "annotation file", None)
    assert found["voc", "val", "2007 test"].missing == "image list"
    missing = [one.missing for key, one in found.items() if key[:2] == ("voc", "train")]
    assert sorted(missing) == ["", "1 annotation file"]


def test_others_in_cocos_layout_are_found(root: Path, tmp_path: Path) -> None:
    convert(COCO, root, root / "mine", ("train", "val"), Choice(limit=2, copy=True), quiet)
    known = {"shapes", "coco", "voc", "widerface", "openimages"}
    [name] = {one.dataset for one in inventory.take(root)} - known
    assert name.startswith(f"coco:{root}/mine/annotations/instances_train.json:{root}/mine/train:")
    assert list(inventory.others(root / "nothing")) == []


def test_a_sound_set_has_no_problems(root: Path) -> None:
    for spec in (COCO, VOC):
        reports = inspect(spec, root, True, quiet)
        assert [one.problems for one in reports] == [(), ()]
        assert [one.decoded for one in reports] == [one.images for one in reports]
        for one, split in zip(reports, ("train", "val"), strict=True):
            truth = data.load(spec, split, root).ground_truth()["annotations"]
            assert one.objects == len(truth)
            assert one.crowds == sum(item["iscrowd"] for item in truth)
    assert inspect(Shapes(kind="shapes"), root, True, quiet) == []


@pytest.mark.parametrize("folder", ["coco/val2017", "VOCdevkit/VOC2012/JPEGImages"])
def test_every_damaged_image_is_named(root: Path, folder: str) -> None:
    first, second, third = sorted((root / folder).iterdir())[:3]
    first.write_bytes(first.read_bytes()[:1000])
    second.unlink()
    Image.new("RGB", (10, 10)).save(third)
    spec = COCO if "coco" in folder else VOC
    problems = [one for report in inspect(spec, root, True, quiet) for one in report.problems]
    assert len(problems) == 3
    assert any(f"{first} is damaged (image file is truncated" in one for one in problems)
    assert any(f"{second} is not there" in one for one in problems)
    assert any(f"{third} is 10x10, but " in one for one in problems)
    undecoded = [one for report in inspect(spec, root, False, quiet) for one in report.problems]
    assert undecoded == [f"image {second} is not there"]


def test_damaged_annotations_do_not_hide_the_other_split(root: Path) -> None:
    path = root / "coco" / "annotations" / "instances_train2017.json"
    path.write_text(path.read_text()[:200])
    train, val = inspect(COCO, root, True, quiet)
    assert (train.images, val.problems) == (None, ())
    assert "truncated or no JSON" in train.problems[0]


def test_splits_that_differ_in_classes(root: Path) -> None:
    path = root / "coco" / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["categories"][3]["name"] = "odd"
    path.write_text(json.dumps(content))
    *_, both = inspect(COCO, root, False, quiet)
    assert "they differ (odd, thing 4)" in both.problems[0]


def test_one_pair_is_looked_at_once(root: Path) -> None:
    own = CocoJson(
        kind="coco-json",
        annotations=str(root / "coco" / "annotations" / "instances_val2017.json"),
        images=str(root / "coco" / "val2017"),
    )
    assert [one.split for one in inspect(own, root, True, quiet)] == ["train, val"]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA"])
def test_the_quick_check_agrees_with_reading(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (33, 47, 3), dtype=np.uint8)).convert(mode)
    path = tmp_path / ("a.jpg" if mode in ("RGB", "L", "CMYK") else "a.png")
    picture.save(path)
    images.check(path, (33, 47), tmp_path)
    assert images.read(path, (33, 47), tmp_path).size == (47, 33)
    content = path.read_bytes()
    for end in (0, 10, len(content) // 2, len(content) - 60):
        path.write_bytes(content[:end])
        for look in (images.check, images.read):
            with pytest.raises(DataError, match="is damaged"):
                look(path, (33, 47), tmp_path)


def as_json(written: list[Any]) -> CocoJson:
    train, val = written
    return CocoJson(
        kind="coco-json",
        annotations=str(train.annotations),
        images=str(train.folder),
        val_annotations=str(val.annotations),
        val_images=str(val.folder),
    )


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("spec", [VOC, COCO, Shapes(kind="shapes", size=64, train=3, val=2)])
def test_a_converted_set_is_the_same_set(root: Path, spec: Any, copy: bool) -> None:
    written = convert(spec, root, root / "out", ("train", "val"), Choice(copy=copy), quiet)
    for split, one in zip(("train", "val"), written, strict=True):
        before = data.load(spec, split, root)
        after = data.load(as_json(written), split, root)
        assert (one.images, len(after)) == (len(before), len(before))
        assert [item.name for item in after.categories] == [item.name for item in before.categories]
        assert one.objects == len(before.ground_truth()["annotations"])
        for index in range(len(before)):
            old, new = before.sample(index), after.sample(index)
            assert torch.equal(old.image, new.image)
            assert torch.equal(old.labels, new.labels)
            assert torch.allclose(old.boxes, new.boxes, atol=1e-4)


def test_cocos_other_fields_stay(root: Path) -> None:
    [one] = convert(COCO, root, root / "out", ("val",), Choice(limit=2), quiet)
    content = json.loads(one.annotations.read_text(encoding="utf-8"))
    assert content["annotations"][0]["segmentation"]
    assert content["categories"][0]["supercategory"] == "made"
    assert len(content["images"]) == 2
    assert one.folder == root / "coco" / "val2017"


CONTENT: dict[str, Any] = {
    "images": [{"id": 3}, {"id": 1}, {"id": 2}],
    "categories": [{"id": 5, "name": "a"}, {"id": 6, "name": "b"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 5},
        {"id": 2, "image_id": 3, "category_id": 6},
        {"id": 3, "image_id": 3, "category_id": 5},
    ],
}


@pytest.mark.parametrize(
    ("limit", "classes", "images_", "annotations"),
    [
        (None, (), [1, 2, 3], [1, 2, 3]),
        (2, (), [1, 2], [1]),
        (None, ("b",), [3], [2]),
        (1, ("a",), [1], [1]),
        (9, ("a", "b"), [1, 3], [1, 2, 3]),
    ],
)
def test_subsets(
    limit: int | None, classes: tuple[str, ...], images_: list[int], annotations: list[int]
) -> None:
    found = subset(CONTENT, limit, classes)
    assert [one["id"] for one in found["images"]] == images_
    assert [one["id"] for one in found["annotations"]] == annotations
    assert {one["name"] for one in found["categories"]} == set(classes or ("a", "b"))


def test_subsets_that_cannot_be(root: Path) -> None:
    with pytest.raises(DataError, match=r"no class 'c' in the data set \(it has: a, b\)"):
        subset(CONTENT, None, ("c",))
    content = {**CONTENT, "annotations": []}
    with pytest.raises(DataError, match="no image has an object of a"):
        subset(content, None, ("a",))


def test_nothing_is_overwritten_unasked(root: Path) -> None:
    convert(COCO, root, root / "out", ("val",), Choice(), quiet)
    with pytest.raises(DataError, match=r"instances_val\.json is there already"):
        convert(COCO, root, root / "out", ("train", "val"), Choice(), quiet)
    assert not (root / "out" / "annotations" / "instances_train.json").exists()
    convert(COCO, root, root / "out", ("train", "val"), Choice(force=True), quiet)


def test_a_folder_that_cannot_be_written(root: Path) -> None:
    (root / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written \(Not a directory\): choose another"):
        convert(COCO, root, root / "file", ("val",), Choice(copy=True), quiet)
