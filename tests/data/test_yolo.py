"""The YOLO folder layout as data sets have it, and as they should not."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_yolo import NAMES, make_yolo
from PIL import Image

from detbench.data import load
from detbench.data.kinds import Yolo
from detbench.data.yolo_files import label_of
from detbench.data.yolo_yaml import parse
from detbench.errors import DataError
from detbench.recipe.digest import digest
from detbench.recipe.resolve import parse_dataset

HERE = Path("/nowhere")


def of(path: Path) -> Yolo:
    return Yolo(kind="yolo", file=str(path))


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_boxes_classes_and_images(tmp_path: Path) -> None:
    data = of(make_yolo(tmp_path))
    assert data.why_missing(HERE) is None
    opened = load(data, "train", HERE)
    assert [one.name for one in opened.categories] == list(NAMES)
    assert [one.id for one in opened.categories] == [0, 1, 2]
    assert len(opened) == 5
    assert opened.sizes[0] == (48, 64)
    assert list(opened.trainable) == [0, 3, 4]
    found = opened.sample(0)
    assert found.image.shape == (3, 48, 64)
    np.testing.assert_allclose(
        found.boxes.numpy(), [[24, 12, 40, 36], [12.8, 4.8, 25.6, 19.2]], rtol=1e-6
    )
    assert found.labels.tolist() == [1, 0]
    assert len(opened.sample(1).boxes) == len(opened.sample(2).boxes) == 0
    with Image.open(tmp_path / "images" / "train" / "train-0.png") as image:
        assert (np.asarray(image) == found.image.permute(1, 2, 0).numpy()).all()


def test_polygons_are_masks_and_their_extent_is_the_box(tmp_path: Path) -> None:
    data = of(make_yolo(tmp_path, polygons=True))
    table = data.whole("train", HERE)
    assert table.masks is not None
    assert table.masks.present.tolist() == [False, True] * 3
    assert table.boxes[1].tolist() == [16, 12, 32, 24]
    assert table.areas[:2].tolist() == [16 * 24, 32 * 24 / 2]
    opened = load(data, "train", HERE, masks=True)
    found = opened.sample(0)
    assert found.labels.tolist() == [0]  # a line without polygon has no mask to learn from
    assert found.masks is not None
    assert int(found.masks.sum()) == pytest.approx(32 * 24 / 2, rel=0.1)
    assert found.masks[0, 13, 17] == 1
    assert found.masks[0, 34, 46] == 0


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("names: [a, b, c]\ntrain: [images/train, images/val]\nval: images/val\n", (10, 5)),
        ("names: [a, b, c]\nnc: 3\ntrain: train.txt\nval: images/val\npath: .\n", (2, 5)),
        ("names: [a, b, c]\ntrain: ../images/train\nval: ../images/val\n", (5, 5)),
        ("names: [a, b, c]\npath: ../set\ntrain: images\nval: images/val\n", (10, 5)),
        (
            "names: [a, b, c]\npath: set\ntrain: images\nval: images/val\ndownload: |\n  x\n",
            (10, 5),
        ),
    ],
)
def test_places(text: str, split: tuple[int, int], tmp_path: Path) -> None:
    """Folders, several, lists, Roboflow's ../, path beside and below the data folder."""
    path = make_yolo(tmp_path / "set")
    path.write_text(text)
    listed = f"./images/train/train-0.png\n\n{tmp_path}/set/images/val/val-1.png\n"
    (tmp_path / "set" / "train.txt").write_text(listed)
    data = of(path.parent)  # the folder of data.yaml does, too
    assert data.why_missing(tmp_path) is None
    opened = [load(data, one, tmp_path) for one in ("train", "val")]
    assert tuple(map(len, opened)) == split


def test_the_label_of_an_image() -> None:
    assert label_of(Path("/a/images/train/images/x.y.jpg")) == Path(
        "/a/images/train/labels/x.y.txt"
    )
    assert label_of(Path("/a/pictures/x.jpg")) == Path("/a/pictures/x.txt")


def test_photographs_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    data = of(make_yolo(tmp_path))
    image = Image.new("RGB", (60, 40), "red")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "images" / "train" / "z.jpg", exif=exif)
    (tmp_path / "labels" / "train" / "z.txt").write_text("0 0.5 0.5 0.5 0.5")
    opened = load(data, "train", HERE)
    assert opened.sizes[5] == (60, 40)
    assert opened.sample(5).image.shape == (3, 60, 40)
    assert opened.sample(5).boxes.tolist() == [[10, 15, 30, 45]]
    exif[0x0112] = 3
    image.save(tmp_path / "images" / "train" / "z.jpg", exif=exif)
    with pytest.raises(DataError, match=r"z\.jpg is mirrored or upside down by its EXIF"):
        load(data, "train", HERE)


BAD_YAML = [
    ("names: [a", "is no YAML"),
    ("- a\n", "holds no keys"),
    ("{}", "has no 'names'"),
    ("names: {1: a}", "has not the keys 0 to 0"),
    ("names: {true: a}", "has not the keys 0 to 0"),
    ("names: [yes]", "the name of class 0 is true or false, no text; put it in quotes"),
    ("names: [a, 7]", "the name of class 1 is 7"),
    ("names: [a]\nnc: 3", "'nc' is 3 and 'names' has 1 classes"),
    ("names: [a]", "has no 'train'"),
    ("names: [a]\ntrain: 3", "'train' names no folders"),
    ("names: [a]\ntrain: x\nval: []", "'val' names no folders"),
    ("names: [a]\ntrain: x\nval: y\npath: [a]", "'path' is a list"),
    ("names: [a]\ntrain: x\nval: y", "no such file"),
    ("names: [a]\ntrain: x\nval: y\nkpt_shape: [17, 3]", "key points"),
    ("names: !!python/object/apply:os.system ['touch owned']", "is no YAML"),
    ("a: &a [x, x]\nnames: [*a, *a]", "the name of class 0 is a list"),
    ("[" * 5000, "is no YAML"),
    ("x: 2024-13-45", "is no YAML"),
]


@pytest.mark.parametrize(("text", "said"), BAD_YAML)
def test_a_bad_data_yaml_is_one_line(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_yolo(tmp_path / "set")
    path.write_text(text)
    problem = of(path).why_missing(HERE)
    assert problem is not None
    assert said in problem
    assert "\n" not in problem
    assert str(path) in problem
    assert not (tmp_path / "owned").exists()


BAD_LINES = [
    ("0 0.5 0.5 0.25", "it has 4 numbers"),
    ("0 0.5 0.5 0.25 0.5 0.9", "it has 6 numbers"),
    ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "it has 8 numbers"),
    ("3 0.5 0.5 0.25 0.5", "class '3' is none of the 3, 0 to 2"),
    ("-1 0.5 0.5 0.25 0.5", "class '-1'"),
    ("0.5 0.5 0.5 0.25 0.5", "class '0.5'"),
    ("apple 0.5 0.5 0.25 0.5", "'apple' is no number"),
    ("0 nan 0.5 0.25 0.5", "'nan' is no number"),
    ("0 1e999 0.5 0.25 0.5", "'1e999' is no number"),
    ("0 32 24 16 24", "32 is no share of the image"),
    ("0 0.5 0.5 -0.25 0.5", "negative size"),
    ("0 0.5 0.5 0 0.5", "has no area"),
    ("0 0.1 0.1 0.2 0.1 0.3 0.1", "has no area"),
    ("0 0.95 0.5 0.3 0.5", "reaches more than 2 pixels outside"),
    ("0 0.5 0.5 1.5 0.5 0.9 0.9", "reaches more than 2 pixels outside"),
    ("0 0.5 0.5 3 0.5 0.9 0.9", "3 is no share"),
]


def test_bad_lines_are_each_said_and_all_at_once(tmp_path: Path) -> None:
    data = of(make_yolo(tmp_path))
    label = tmp_path / "labels" / "train" / "train-0.txt"
    label.write_text("\n".join(["0 0.5 0.5 0.25 0.5", *(line for line, _ in BAD_LINES)]))
    table, faults = data.sifted("train", HERE)
    assert len(faults) == len(BAD_LINES)
    for number, ((_, said), fault) in enumerate(zip(BAD_LINES, faults, strict=True), 2):
        assert fault.startswith(f"label file {label}: line {number}: ")
        assert said in fault
        assert "\n" not in fault
    assert table is not None
    assert len(table.ids) == 1 + 4
    with pytest.raises(DataError, match="line 2: it has 4 numbers"):
        data.table("train", HERE)


def test_boxes_outside_and_without_area_as_asked(tmp_path: Path) -> None:
    data = of(make_yolo(tmp_path))
    label = tmp_path / "labels" / "train" / "train-0.txt"
    label.write_text("0 0.95 0.5 0.3 0.5\n0 0.5 0.5 0 0.5\n0 3 3 0.1 0.1\n1 0 0 1.5 0 0 1.5\n")
    asked = data.model_copy(update={"outside": "clip", "no_area": "drop"})
    table = asked.whole("train", HERE)
    np.testing.assert_allclose(table.boxes[:2], [[51.2, 12, 12.8, 24], [0, 0, 64, 48]])
    assert table.edited.clipped == 2
    assert table.edited.outside == table.edited.no_area == 1
    assert table.masks is not None
    assert table.masks.present.tolist()[:2] == [False, True]
    assert "boxes outside clipped" in asked.label()


def test_odd_files(tmp_path: Path) -> None:
    """Pipes, links, damaged and unknown images, labels without an image: each in a line."""
    data = of(make_yolo(tmp_path))
    images, labels = tmp_path / "images" / "train", tmp_path / "labels" / "train"
    (images / "a.heic").write_bytes(b"x")
    (images / "b.jpg").write_bytes(b"%!PS-Adobe")
    (images / "c.jpg").write_bytes(b"\xff\xd8\xff")
    (images / "d.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(images / "e.png")
    (images / "f.png").mkdir()
    (images / "._g.png").write_bytes(b"Finder's")
    (images / "notes.txt").write_text("x")
    shutil.copy(images / "train-3.png", images / "train-3.jpg")
    os.remove(labels / "train-0.txt")
    os.mkfifo(labels / "train-0.txt")
    (labels / "train-4.txt").write_bytes(b"\xff\xfe\x00")
    (labels / "gone.txt").write_text("")
    (labels / "classes.txt").write_text("apple\n")
    (labels / "train-1.txt").symlink_to(tmp_path / "gone.txt")
    (images / "loop").symlink_to(images)
    table, faults = data.sifted("train", HERE)
    said = "\n".join(faults)
    assert len(faults) == 10, said
    for part in (
        "a.heic has an ending that is not read",
        "b.jpg is no image that a data set may have (EPS)",
        "c.jpg is damaged",
        "d.png is a link that leads nowhere",
        "e.png is a pipe",
        "train-0.txt cannot be read: a named pipe, not a file",
        "train-1.txt is a link that leads nowhere",
        "train-4.txt is no text",
        "train-3.png have it; remove one",
        "gone.txt has no image",
    ):
        assert part in said
    assert table is not None
    assert len(table.image_ids) == 6


def test_a_huge_label_is_not_read(tmp_path: Path) -> None:
    data = of(make_yolo(tmp_path))
    with (tmp_path / "labels" / "train" / "train-0.txt").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"train-0\.txt has more than 67108864 bytes"):
        data.table("train", HERE)
    with (tmp_path / "data.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert "has more than 1048576 bytes" in str(data.why_missing(HERE))


def test_the_content_and_not_the_place_is_the_digest(tmp_path: Path) -> None:
    path = make_yolo(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    rewrite(tmp_path / "two" / "data.yaml", "train:", f"path: {tmp_path / 'two'}\ntrain:")
    first, second = (of(tmp_path / name / "data.yaml").settled(HERE) for name in ("one", "two"))
    assert digest(first) == digest(second)
    assert first.train_content != first.val_content
    label = tmp_path / "two" / "labels" / "train" / "train-0.txt"
    rewrite(label, "0.25", "0.35")
    third = of(tmp_path / "two").settled(HERE)
    assert third.train_content != first.train_content
    assert third.val_content == first.val_content
    os.rename(tmp_path / "one/labels/train/train-0.txt", tmp_path / "one/labels/train/train-1.txt")
    assert of(path).settled(HERE).train_content != first.train_content
    with pytest.raises(DataError, match="not those that are asked for"):
        first.open("train", HERE)


def test_as_dataset_takes_it() -> None:
    assert parse_dataset("yolo:a:b/data.yaml") == Yolo(kind="yolo", file="a:b/data.yaml")


BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)]
    + ["names: *j"]
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "the name of class 0 is a list, no text"),
        ("train: a\nval: b\nnames: {0: a, 0: b, 1: c}", "has '0' twice; leave either out"),
        ("train: a\nval: b\ntrain: c\nnames: [a]", "has 'train' twice; leave either out"),
    ],
)
def test_names_that_nest_without_end_and_keys_twice(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(said)):
        parse(path, tmp_path)


def test_a_val_split_that_is_the_training_split_is_said(tmp_path: Path) -> None:
    path = make_yolo(tmp_path / "both")
    own = Yolo(kind="yolo", file=str(path))
    assert own.settled(tmp_path).seen_in_training is None
    path.write_text(path.read_text().replace("images/val", "images/train"))
    said = own.settled(tmp_path).seen_in_training
    assert said == "evaluated on the training images: both splits hold the same images and objects"
