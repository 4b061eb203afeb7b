"""OpenImages' files and images, as they are released and as they are damaged."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_openimages import (
    ABOVE,
    CLASSES,
    Box,
    age,
    box_file,
    folder,
    label_file,
    make_openimages,
    write_boxes,
)
from PIL import Image
from typer.testing import CliRunner

from detbench import data
from detbench.cli.main import app
from detbench.data import columns, inventory, openimages_blocks, openimages_csv, openimages_files
from detbench.data.convert import Choice, convert
from detbench.data.faults import MOST
from detbench.data.inspect import inspect
from detbench.data.kinds import CocoJson, OpenImages, Shapes
from detbench.data.loading import EvalLoader, TrainLoader
from detbench.errors import DataError
from detbench.recipe import resolve
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels

OPEN = OpenImages(kind="openimages")
FOLDERS = {"train": "train", "val": "validation"}


@pytest.fixture(autouse=True)
def _kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Box]]]:
    """A set that no test changes, and its boxes."""
    root = tmp_path_factory.mktemp("made")
    return root, make_openimages(root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_openimages(tmp_path)
    return tmp_path


def pictures(root: Path, split: str) -> list[Path]:
    return sorted((root / "openimages" / FOLDERS[split]).rglob("*.jpg"), key=lambda one: one.name)


def quiet(done: int, total: int) -> None:
    """Told how far it is."""


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_are_those_of_the_file(made: Any, split: Any) -> None:
    root, boxes = made
    opened = data.load(OPEN, split, root)
    content = opened.ground_truth()
    files = pictures(root, split)
    home = root / "openimages" / FOLDERS[split]
    assert [home / one["file_name"] for one in content["images"]] == files
    assert [one["id"] for one in content["images"]] == list(range(1, 7))
    assert [one["name"] for one in content["categories"]] == list(CLASSES.values())
    names = list(CLASSES)
    for index, file in enumerate(files):
        with Image.open(file) as image:
            width, height = image.size
        assert opened.sizes[index] == (height, width)
        said = [one for one in boxes[FOLDERS[split]] if one.image == file.stem]
        own = [one for one in content["annotations"] if one["image_id"] == index + 1]
        assert [one["category_id"] for one in own] == [names.index(one.label) + 1 for one in said]
        assert [one["iscrowd"] for one in own] == [int(one.group == 1) for one in said]
        corners = [
            [left * width, top * height, right * width, bottom * height]
            for left, right, top, bottom in (one.sides for one in said)
        ]
        for one, (left, top, right, bottom) in zip(own, corners, strict=True):
            assert one["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=1e-9)
            assert one["area"] == pytest.approx((right - left) * (bottom - top))
        learnt = [row for row, one in enumerate(said) if one.group != 1]
        sample = opened.sample(index)
        assert sample.boxes.numpy() == pytest.approx(
            np.array([corners[i] for i in learnt]).reshape(-1, 4), abs=1e-3
        )
        assert sample.labels.tolist() == [names.index(said[row].label) for row in learnt]
        assert (index in opened.trainable) == bool(learnt)
    assert sum(one["iscrowd"] for one in content["annotations"]) == 1


def test_objects_are_those_that_are_learnt_from(made: Any) -> None:
    opened = data.load(OPEN, "train", made[0])
    images, labels = opened.objects()
    for index in range(len(opened)):
        assert labels[images == index].tolist() == opened.sample(index).labels.tolist()


def test_what_is_verified_is_what_boxes_and_labels_say(made: Any) -> None:
    """By the rules of the tools that expand the files, line by line."""
    root, boxes = made
    rows = list(csv.DictReader(label_file(root).read_text().splitlines()))
    below = {one: [child for child in ABOVE if one in ABOVE[child]] for one in CLASSES}
    expected = set()
    for box in boxes["validation"]:
        expected |= {(box.image, one) for one in (box.label, *ABOVE.get(box.label, ()))}
    for row in rows:
        label = row["LabelName"]
        others = ABOVE.get(label, []) if row["Confidence"] == "1" else below[label]
        expected |= {(row["ImageID"], one) for one in (label, *others)}
    table = OPEN.truth(root)
    names = list(CLASSES)
    stems = [Path(name).stem for name in table.file_names]
    assert table.verified is not None
    found = [(stems[image], names[label]) for image, label in table.verified.tolist()]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert any(one not in ABOVE.get(box.label, ()) for box in boxes["validation"] for one in below)
    assert table.ancestors is not None
    for label, above in zip(names, table.ancestors, strict=True):
        assert [names[one] for one in above.tolist()] == ABOVE.get(label, [])
    train = OPEN.table("train", root)
    assert (train.verified, train.ancestors) == (None, None)


def test_loaders_take_it(made: Any) -> None:
    plain = Input(short=(64,), long=96)
    train = TrainLoader(data.load(OPEN, "train", made[0]), plain, Pixels(), 2, 0)
    assert next(iter(train.batches(0))).images.shape[0] == 2
    val = EvalLoader(data.load(OPEN, "val", made[0]), plain, Pixels(), 2, None)
    assert [number for batch in val for number in batch.image_ids] == [1, 2, 3, 4, 5, 6]


# --- what is kept ---------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    names = ("image_ids", "image_sizes", "image_rows", "labels", "boxes", "areas", "crowd")
    return list(one.file_names) == list(other.file_names) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in (*names, "verified")
    )


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, and the images whose heads were."""
    done: list[Path] = []
    for module, name in ((openimages_csv, "boxes"), (openimages_files.images, "size")):
        whole = getattr(module, name)

        def watched(path: Path, *rest: Any, whole: Any = whole) -> Any:
            done.append(path)
            return whole(path, *rest)

        monkeypatch.setattr(module, name, watched)
    return done


def test_files_and_heads_are_read_once(root: Path, reads: list[Path]) -> None:
    first = OPEN.truth(root)
    assert [one.suffix for one in reads] == [".csv", *[".jpg"] * 6]
    again = OPEN.truth(root)
    assert len(reads) == 7
    assert same(first, again)
    assert not again.boxes.flags.writeable  # it is mapped


def test_another_file_is_read_anew(root: Path, reads: list[Path]) -> None:
    OPEN.truth(root)
    text = box_file(root, "validation").read_text().splitlines()
    box_file(root, "validation").write_text("\n".join(text[:-1]) + "\n")
    fewer = OPEN.truth(root)
    assert len(fewer.boxes) == len(text) - 2
    assert len(reads) == 14
    header, _, *rest = label_file(root).read_text().splitlines()
    label_file(root).write_text("\n".join([header, *rest]) + "\n")
    assert OPEN.truth(root).verified is not None
    assert len(reads) == 21  # what is verified depends on it
    kept = list((root / "cache" / "detbench").rglob("verified.arrow"))
    assert len(kept) == 1  # what was kept of the others is gone


def test_another_image_is_read_anew(root: Path, reads: list[Path]) -> None:
    before = OPEN.truth(root)
    path = pictures(root, "val")[2]
    Image.new("RGB", (200, 100)).save(path)
    after = OPEN.truth(root)  # its change is not a moment ago, and is not kept
    assert after.image_sizes[2].tolist() == [200, 100]
    assert sum(one.suffix == ".csv" for one in reads) == 1
    own = before.image_rows == 2
    scale = np.array([200, 100] * 2) / np.tile(before.image_sizes[2], 2)
    np.testing.assert_allclose(after.boxes[own], before.boxes[own] * scale)
    np.testing.assert_array_equal(after.boxes[~own], before.boxes[~own])
    count = len(reads)
    OPEN.truth(root)
    assert len(reads) == count + 6
    age(path)
    OPEN.truth(root)
    OPEN.truth(root)
    assert len(reads) == count + 12


def test_damage_of_what_is_kept_is_made_good(root: Path, reads: list[Path]) -> None:
    first = OPEN.truth(root)
    for name in ("sides", "boxes"):
        [file] = (root / "cache").rglob(f"{name}.arrow")
        file.write_bytes(file.read_bytes()[:-20])
    assert same(OPEN.truth(root), first)
    assert len(reads) == 14
    assert same(OPEN.truth(root), first)
    assert len(reads) == 14


def test_without_a_place_to_keep_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = OPEN.truth(root)
    (root / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(root / "file"))
    assert same(OPEN.truth(root), first)


def test_columns_keep_what_they_are_given(tmp_path: Path) -> None:
    given = {
        "pairs": np.arange(6, dtype=np.int64).reshape(3, 2),
        "numbers": np.array([0.5, np.inf]),
        "ids": np.array([2**64 - 1], np.uint64),
        "none": np.zeros((0, 4)),
    }
    assert columns.find("here", "ab") is None
    columns.keep("here", "ab", given.items())
    found = columns.find("here", "ab")
    assert found is not None
    for name, values in given.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert columns.find("here", "cd") is None
    assert columns.find("there", "ab") is None
    columns.keep("here", "cd", [])
    assert columns.find("here", "ab") is None


# --- what is wrong --------------------------------------------------------------------------------


def test_images_that_are_not_there(root: Path) -> None:
    gone = pictures(root, "val")[1:4]
    for path in gone:
        path.unlink()
    without_a_box, named = "3c84c18710386ed3", label_file(root)
    assert gone[0].stem == without_a_box
    lines = named.read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.startswith(without_a_box))
    message = (
        f"{named}: line {line}: image {gone[0].name} is not in "
        ".*/validation, and 3 of 6 are not; restore them or name the right folder"
    )
    for call in (
        lambda: OPEN.truth(root),
        lambda: data.load(OPEN, "val", root),
        lambda: OPEN.check(root),
        lambda: convert(OPEN, root, root / "out", ("val",), Choice(), quiet),
    ):
        with pytest.raises(DataError, match=message):
            call()
    for path in pictures(root, "val"):
        path.unlink()
    with pytest.raises(DataError, match=r"bbox\.csv: line \d+: image .* and 6 of 6 are not"):
        OPEN.truth(root)
    (root / "openimages" / "validation").rmdir()
    with pytest.raises(DataError, match=r"image folder .*validation is not there"):
        OPEN.truth(root)
    said = OPEN.why_missing(root)
    assert said is not None
    assert said.startswith(f"image folder {root / 'openimages' / 'validation'} is not there; put")


def test_it_tells_what_is_needed(tmp_path: Path) -> None:
    names = [
        path.name for _, path in (*OPEN.needed("train", tmp_path), *OPEN.needed("val", tmp_path))
    ]
    assert names == [
        "challenge-2019-train-detection-bbox.csv",
        "challenge-2019-classes-description-500.csv",
        "train",
        "challenge-2019-validation-detection-bbox.csv",
        "challenge-2019-classes-description-500.csv",
        "challenge-2019-validation-detection-human-imagelabels.csv",
        "challenge-2019-label500-hierarchy.json",
        "validation",
    ]
    six = OpenImages(kind="openimages", release="v6")
    assert [path.name for path in six.hashed("train", tmp_path)] == [
        "oidv6-train-annotations-bbox.csv",
        "class-descriptions-boxable.csv",
    ]
    five = OpenImages(kind="openimages", release="v5")
    assert five.hashed("val", tmp_path) == six.hashed("val", tmp_path)
    assert five.hashed("val", tmp_path)[0].name == "validation-annotations-bbox.csv"


def line(number: int, text: str) -> Callable[[str], str]:
    def apply(content: str) -> str:
        lines = content.splitlines()
        lines[number - 1] = text
        return "\n".join(lines) + "\n"

    return apply


ROW = "00000000000000ff,xclick,/m/0b,1,{},0,0,0,0,0"
BROKEN = {
    "empty": (lambda text: "", "line 1: there is no column ImageID"),
    "only a header": (lambda text: text.splitlines()[0] + "\n", "line 1: there is no box after it"),
    "a column lost": (lambda text: text.replace("YMax", "Y"), "line 1: there is no column YMax"),
    "truncated": (lambda text: text[:-9], r"line \d+: '.*' has \d+ fields, not 13"),
    "a line lost": (line(3, ""), "line 3: '' has 1 fields, not 13"),
    "no number": (
        line(3, ROW.format("0.1,0.2,0.3,wide")),
        "line 3: YMax is 'wide', not a number",
    ),
    "nothing": (line(4, ROW.format("0.1,,0.3,0.4")), "line 4: XMax is '', not a number"),
    "not a number": (
        line(3, ROW.format("nan,0.2,0.3,0.4")),
        "line 3: XMin is nan, no share of the image's side",
    ),
    "pixels": (line(3, ROW.format("0.1,1.2,0.3,0.4")), "line 3: XMax is 1.2, no share"),
    "negative": (line(3, ROW.format("0.1,0.2,-0.3,0.4")), "line 3: YMin is -0.3, no share"),
    "turned": (
        line(3, ROW.format("0.5,0.2,0.3,0.4")),
        "line 3: XMax 0.2 is less than XMin 0.5",
    ),
    "upside down": (
        line(4, ROW.format("0.1,0.2,0.9,0.4")),
        "line 4: YMax 0.4 is less than YMin 0.9",
    ),
    "another class": (
        line(3, ROW.format("0.1,0.2,0.3,0.4").replace("0b", "0zz")),
        "line 3: LabelName '/m/0zz' is none of the 7 classes",
    ),
    "no id": (
        line(3, ROW.format("0.1,0.2,0.3,0.4").replace("00ff", "00fg")),
        "line 3: '00000000000000fg' is no image's id of 16 hexadecimal digits",
    ),
    "a short id": (
        line(3, ROW.format("0.1,0.2,0.3,0.4").replace("0000ff", "ff")),
        "line 3: '0000000000ff' is no image's id",
    ),
    "a third of a group": (
        line(3, "00000000000000ff,xclick,/m/0b,1,0.1,0.2,0.3,0.4,0,0,3,0,0"),
        "line 3: IsGroupOf is 3, not 0, 1 or -1",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_boxes_get_one_clear_line(case: str, root: Path) -> None:
    breaking, message = BROKEN[case]
    path = box_file(root, "train")
    path.write_text(breaking(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        OPEN.table("train", root)
    said = str(caught.value)
    assert said.startswith(f"annotation file {path}: ")
    assert said.endswith("; restore the file")
    assert "\n" not in said


def test_a_fault_far_into_a_file_is_found_where_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openimages_blocks, "_BLOCK", 512)
    path = box_file(root, "train")
    header, *rows = path.read_text().splitlines()
    for broken, message in (
        (ROW.format("0.1,0.2,0.3,7"), "YMax is 7, no share"),
        (ROW.format("0.1,0.2,0.3,x"), "YMax is 'x', not a number"),
        ("half of", "has 1 fields"),
    ):
        lines = [header, *(rows * 40)[:700], broken, *rows]
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(DataError, match=f"line 702: .*{message}"):
            OPEN.table("train", root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.1,0.2,0.3,0_4", "YMax is '0_4', not a number"),
        ("0.1,0.2,0.3,٣", "YMax is '٣', not a number"),
        ("0.1,0.2,0.3, 0.4", ""),
        ("1e-1,.2,+0.3,0.4", ""),
    ],
)
def test_numbers_are_those_that_are_read(root: Path, text: str, said: str) -> None:
    path = box_file(root, "train")
    path.write_text(line(3, ROW.format(text))(path.read_text()), encoding="utf-8")
    if not said:
        assert OPEN.table("train", root) is not None
        return
    with pytest.raises(DataError, match=re.escape(f"line 3: {said}; ")):
        OPEN.table("train", root)


def test_bytes_that_are_no_text_have_a_line(root: Path) -> None:
    path = box_file(root, "train")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"/m/", b"/m\xff")
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=r"line 3: LabelName is '.*', no UTF-8; restore the file"):
        OPEN.table("train", root)


def test_every_fault_of_the_classes_is_told(root: Path) -> None:
    """By which the others are read, so that nothing is said of those."""
    path = OPEN.files("val", root).classes
    path.write_text(path.read_text() + "m/1,No\n/m/0b,Again\n/m/2, \n", encoding="utf-8")
    count = len(path.read_text().splitlines())
    _, val = inspect(OPEN, root, False, quiet)
    assert [one.split(": ")[1] for one in val.problems] == [
        f"line {at}" for at in (count - 2, count - 1, count)
    ]
    path.write_bytes(b'bad\n/m/a,"Do"g\n/m/b,\xff\n/m/c,"Unclosed\n')
    _, val = inspect(OPEN, root, False, quiet)
    assert [one.split(": ")[1:] for one in val.problems] == [
        ["line 1", "'bad' is no class as in /m/0bt9lr,Dog; restore the file"],
        ["line 2", "',' expected after '\"'; restore the file"],
        ["line 3", "'/m/b,\\\\xff' is no UTF-8; restore the file"],
        ["line 4", "unexpected end of data; restore the file"],
    ]


def test_bytes_in_columns_that_are_not_read_mean_nothing(root: Path) -> None:
    path = box_file(root, "train")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b",", b",\xff", 1)
    path.write_bytes(b"".join(lines))
    assert OPEN.table("train", root) is not None
    lines[3] = b"half of\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match="line 4: 'half of' has 1 fields"):
        OPEN.table("train", root)


def test_lines_without_any_sound_one_are_told_alone(root: Path) -> None:
    path = box_file(root, "train")
    path.write_text(path.read_text().splitlines()[0] + "\nhalf")
    train, _ = inspect(OPEN, root, False, quiet)
    assert [one.split(": ")[1:2] for one in train.problems] == [["line 2"]]


def test_all_faults_are_told_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, labels = box_file(root, "validation"), label_file(root)
    clean = OPEN.table("val", root)
    rows = path.read_text().splitlines()
    row = rows[1].replace(",".join(rows[1].split(",")[2:6]), "{}")
    rows[3:3] = [row.format("0.1,0.2,0.3,7"), row.format("0.5,0.2,0.3,0.4")]
    rows.append("g" + rows[1][1:])
    path.write_text("\n".join(rows) + "\n")
    labels.write_text(labels.read_text().rstrip("\n") + "\n00000000000000ff,/m/0x,1\n")
    monkeypatch.setattr(openimages_blocks, "_BLOCK", 300)
    _, val = inspect(OPEN, root, False, quiet)
    said = [one.split(": ")[1] for one in val.problems]
    last = len(labels.read_text().splitlines())
    assert said == ["line 4", "line 5", f"line {len(rows)}", f"line {last}"]
    assert (val.images, val.objects) == (len(clean.file_names), len(clean.ids))
    rows[1:2] = ["half of", row.format("0.1,0.2,0.3,wide")]
    path.write_text("\n".join(rows) + "\n")
    _, val = inspect(OPEN, root, False, quiet)
    # Lines of another format, values, and the labels: a line more before each of the old ones.
    said = [(one.split(": ")[0].split("-")[-1], one.split(": ")[1]) for one in val.problems]
    wanted = [f"line {at}" for at in (2, 3, 5, 6, len(rows))]
    assert sorted(said) == sorted(
        [*(("bbox.csv", at) for at in wanted), ("imagelabels.csv", f"line {last}")]
    )
    assert val.objects == len(clean.ids) - 1
    path.write_text("\n".join([rows[0], *[row.format("0.1,0.2,0.3,7")] * 50]) + "\n")
    _, val = inspect(OPEN, root, False, quiet)
    *of_boxes, of_labels = val.problems
    assert len(of_boxes) == MOST + 1
    assert of_labels.split(": ")[1] == f"line {last}"
    assert "more faults: mend these first" in of_boxes[-1]


OTHERS = {
    "labels: a guess": (
        "labels",
        line(2, "00000000000000ff,/m/0b,0.5"),
        "line 2: Confidence is 0.5",
    ),
    "labels: a class": (
        "labels",
        line(2, "00000000000000ff,/m/0x,1"),
        "line 2: LabelName '/m/0x' is",
    ),
    "labels: a space": (
        "labels",
        lambda text: text.replace("Confidence", "Confidence "),
        "no column Confid",
    ),
    "labels: columns": ("labels", lambda text: text.replace("Confidence", "C"), "no column Confid"),
    "classes: empty": ("classes", lambda text: "", "line 1: there is no class"),
    "classes: a number": (
        "classes",
        line(2, "7,Dog"),
        "line 2: '7,Dog' is no class as in /m/0bt9l",
    ),
    "classes: no name": ("classes", line(2, "/m/0b"), "line 2: '/m/0b' is no class"),
    "classes: twice": ("classes", line(2, "/m/0a,Dog"), "line 2: /m/0a occurs twice"),
    "hierarchy: cut": ("hierarchy", lambda text: text[:50], "is truncated or no JSON"),
    "hierarchy: a list": ("hierarchy", lambda text: "[]", "has no LabelName or no list of"),
    "hierarchy: nameless": (
        "hierarchy",
        lambda text: text.replace('"LabelName": "/m/0b"', '"x": 1'),
        "has no LabelName",
    ),
    "hierarchy: others": (
        "hierarchy",
        lambda text: '{"LabelName": "/m/1"}',
        "none of the 7 classes is in it",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_broken_files(case: str, root: Path) -> None:
    which, breaking, message = OTHERS[case]
    path = {
        "labels": label_file(root),
        "classes": folder(root) / "challenge-2019-classes-description-500.csv",
        "hierarchy": folder(root) / "challenge-2019-label500-hierarchy.json",
    }[which]
    path.write_text(breaking(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        OPEN.truth(root)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(DataError, match=r"cannot be read|no JSON|no column|no UTF-8"):
        OPEN.truth(root)
    path.unlink()
    with pytest.raises(DataError, match=r"is not there|cannot be read"):
        OPEN.truth(root)


def test_an_image_without_a_head(root: Path) -> None:
    path = pictures(root, "val")[0]
    path.write_bytes(b"\xff\xd8nothing")
    with pytest.raises(DataError, match=f"image {path} is damaged"):
        OPEN.truth(root)


# --- commands -------------------------------------------------------------------------------------


def test_what_is_here_is_counted(root: Path) -> None:
    def found() -> dict[str, inventory.Entry]:
        return {one.split: one for one in inventory.take(root) if one.dataset == "openimages"}

    lines = {split: box_file(root, FOLDERS[split]).read_text().splitlines() for split in FOLDERS}
    for split, one in found().items():
        images = {text.split(",")[0] for text in lines[split][1:]}
        assert (one.images, one.objects) == (len(images), len(lines[split]) - 1)
        assert (one.found, one.missing) == ("yes", "")
    pictures(root, "train")[0].unlink()
    assert [one.missing for one in found().values()] == ["1 image", ""]
    label_file(root).unlink()
    assert found()["val"].missing == f"annotation file {label_file(root)}"
    box_file(root, "train").write_text("x\n")
    assert "line 1: there is no column ImageID" in found()["train"].missing


def test_the_commands_see_it(root: Path) -> None:
    def call(*words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--data-root", str(root)])

    done = call("data", "check", "openimages")
    assert done.exit_code == 0, done.output
    pictures(root, "val")[2].unlink()
    first = pictures(root, "val")[0]
    first.write_bytes(first.read_bytes()[:1000])
    done = call("data", "check", "openimages", "--format", "json")
    assert done.exit_code == 1
    train, val = json.loads(done.stdout)
    assert (train["problems"], train["crowds"], train["decoded"]) == ([], 1, 6)
    assert len(val["problems"]) == 2
    assert "is not there" in val["problems"][0]
    assert f"image {first} is damaged" in val["problems"][1]


def test_a_converted_set_is_the_same_set(root: Path) -> None:
    [one] = convert(OPEN, root, root / "out", ("train",), Choice(), quiet)
    own = CocoJson(kind="coco-json", annotations=str(one.annotations), images=str(one.folder))
    before, after = data.load(OPEN, "train", root), data.load(own, "train", root)
    assert list(after.trainable) == list(before.trainable)
    for index in range(len(before)):
        old, new = before.sample(index), after.sample(index)
        assert new.image.equal(old.image)
        assert new.boxes.equal(old.boxes)


def test_the_first_images_are_converted_alone(root: Path) -> None:
    [one] = convert(OPEN, root, root / "out", ("val",), Choice(limit=2, copy=True), quiet)
    written = json.loads(one.annotations.read_text())
    whole = OPEN.truth(root).ground_truth("")
    assert written["images"] == whole["images"][:2]
    assert written["annotations"] == [one for one in whole["annotations"] if one["image_id"] < 3]
    assert sorted(path.name for path in one.folder.iterdir()) == [
        image["file_name"] for image in whole["images"][:2]
    ]


def test_its_content_is_all_that_scores_depend_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert OPEN.settled(root) == OPEN  # as first seen, it is what its name stands for
    label_file(root).write_text(label_file(root).read_text().rpartition("\n")[0][:-1] + "1\n")
    changed = OPEN.settled(root)
    assert changed.val_content is not None
    assert changed.train_content is None
    with pytest.raises(DataError, match="the train annotations are not those that are asked for"):
        OpenImages(kind="openimages", train_content="0" * 64).settled(root)


def test_a_box_without_area_is_evaluated_and_not_learnt_from(root: Path) -> None:
    boxes = [
        Box(path.stem, "/m/0b", (0.5, 0.5, 0.1, 0.9) if not place else (0.1, 0.5, 0.1, 1.005), 0)
        for place, path in enumerate(pictures(root, "train"))
    ]
    write_boxes(root, "train", boxes)
    opened = data.load(OPEN, "train", root)
    assert opened.trainable == [1, 2, 3, 4, 5]
    assert opened.sample(1).boxes[0, 3] == opened.sizes[1][0]  # cut at the image's edge
    assert len(opened.truth().boxes) == 6  # type: ignore[union-attr]


def test_shapes_in_families_stand_in_for_it() -> None:
    drawn = OPEN.standing_in(Shapes(kind="shapes", size=64, train=3, val=4))
    assert (drawn.classes, drawn.protocol) == (15, OPEN.protocol)
    assert drawn.val_split() == "shapes full 64 px, in families, val 4"
    opened = data.load(drawn, "val", Path())
    plain = data.load(Shapes(kind="shapes", size=64, train=3, val=4), "val", Path())
    names = data.class_names(opened)
    assert names[:12] == data.class_names(plain)
    assert names[12:] == ["outline", "square", "disc"]
    above = {
        one["name"]: [names[place - 1] for place in one.get("ancestors", ())]
        for one in opened.ground_truth()["categories"]
    }
    assert above["star"] == ["outline"]
    assert above["dotted square"] == ["square"]
    assert above["free disc"] == ["disc"]
    assert above["outline"] == above["square"] == above["disc"] == []
    assert opened.sample(2).labels.equal(plain.sample(2).labels)
    assert opened.ground_truth()["annotations"] == plain.ground_truth()["annotations"]


def test_dataset_by_its_name() -> None:
    assert resolve.parse_dataset("openimages") == OPEN
