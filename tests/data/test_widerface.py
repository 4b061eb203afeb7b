"""WIDER FACE's annotations, lists and images, as they are released and as they are damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_widerface import EVENTS, cell, counts, make_widerface
from PIL import Image
from scipy.io import loadmat, savemat
from typer.testing import CliRunner

from detbench import data
from detbench.cli.main import app
from detbench.data import inventory
from detbench.data.convert import Choice, convert
from detbench.data.faults import MOST
from detbench.data.inspect import inspect
from detbench.data.kinds import CocoJson, Shapes, WiderFace
from detbench.data.loading import EvalLoader, TrainLoader
from detbench.errors import DataError
from detbench.recipe import resolve
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels

WIDER = WiderFace(kind="widerface")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set that no test changes."""
    return make_widerface(tmp_path_factory.mktemp("made"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_widerface(tmp_path)


def annotations(root: Path, split: str = "val") -> Path:
    return root / "widerface" / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"


def lists(root: Path, part: str) -> Path:
    return root / "widerface" / "eval_tools" / "ground_truth" / f"wider_{part}_val.mat"


def written(root: Path, split: str) -> dict[str, list[tuple[int, ...]]]:
    """What the file says, read in another way: from its end, by the slashes."""
    found: dict[str, list[tuple[int, ...]]] = {}
    below: list[tuple[int, ...]] = []
    for line in reversed(annotations(root, split).read_text().splitlines()):
        if "/" in line:
            found[line] = [face for face in below[::-1][1:] if any(face)]
            below = []
        else:
            below.append(tuple(int(part) for part in line.split()))
    return dict(reversed(found.items()))


def quiet(done: int, total: int) -> None:
    """Told how far it is."""


def test_a_byte_order_mark_is_no_part_of_the_first_name(root: Path) -> None:
    plain = WIDER.table("val", root).file_names
    path = annotations(root)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert WIDER.table("val", root).file_names == plain


@pytest.mark.parametrize("split", ["train", "val"])
def test_faces_are_those_of_the_file(shared: Path, split: Any) -> None:
    said = written(shared, split)
    opened = data.load(WIDER, split, shared)
    content = opened.ground_truth()
    assert [one["file_name"] for one in content["images"]] == list(said)
    assert [one["id"] for one in content["images"]] == list(range(1, len(said) + 1))
    assert content["categories"] == [{"id": 1, "name": "face"}]
    for index, (name, faces) in enumerate(said.items()):
        own = [one for one in content["annotations"] if one["image_id"] == index + 1]
        assert [one["bbox"] for one in own] == [list(face[:4]) for face in faces]
        assert [one["iscrowd"] for one in own] == [face[7] for face in faces]
        folder = shared / "widerface" / f"WIDER_{split}" / "images"
        with Image.open(folder / name) as image:
            assert opened.sizes[index] == (image.height, image.width)
        learnt = [face for face in faces if not face[7] and face[2]]
        sample = opened.sample(index)
        assert len(sample.boxes) == len(learnt)
        assert (index in opened.trainable) == bool(learnt)
        corners = [[x, y, x + w, y + h] for x, y, w, h, *_ in learnt]
        assert sample.boxes.tolist() == corners
    assert [len(faces) for faces in said.values()][-2:] == [1, 0]
    assert list(opened.trainable) == [0, 1, 2, 3]


def test_marks_are_the_lists(shared: Path) -> None:
    table = WIDER.truth(shared)
    faces = [face for faces in written(shared, "val").values() for face in faces]
    expected = [
        sum(bit << place for place, bit in enumerate(counts(face).values())) for face in faces
    ]
    assert table.marks is not None
    assert table.marks.tolist() == expected
    assert {0, 4, 6, 7} == set(expected)
    assert WIDER.table("train", shared).marks is None
    shown = [one["marks"] for one in table.ground_truth("")["annotations"]]
    assert shown == expected


def test_truth_needs_no_images(root: Path) -> None:
    images = sorted((root / "widerface" / "WIDER_val" / "images").rglob("*.jpg"))
    for image in images[1:]:
        image.unlink()
    assert len(WIDER.truth(root).file_names) == 6
    with pytest.raises(DataError, match=r"5 of the 6 images .* are not in .*images, for example"):
        data.load(WIDER, "val", root)
    with pytest.raises(DataError, match="5 of the 6 images"):
        WIDER.check(root)
    with pytest.raises(DataError, match="5 of the 6 images"):
        convert(WIDER, root, root / "out", ("val",), Choice(), quiet)


def test_loaders_take_it(shared: Path) -> None:
    plain = Input(short=(64,), long=96)
    train = TrainLoader(data.load(WIDER, "train", shared), plain, Pixels(), 2, 0)
    assert train.iterations_per_epoch == 2
    assert next(iter(train.batches(0))).images.shape[0] == 2
    val = EvalLoader(data.load(WIDER, "val", shared), plain, Pixels(), 2, None)
    assert [number for batch in val for number in batch.image_ids] == [1, 2, 3, 4, 5, 6]


def test_what_is_here_is_counted(root: Path) -> None:
    def found() -> dict[str, inventory.Entry]:
        return {one.split: one for one in inventory.take(root) if one.dataset == "widerface"}

    said = {split: written(root, split) for split in ("train", "val")}
    for split, one in found().items():
        assert (one.images, one.objects) == (6, sum(map(len, said[split].values())))
        assert (one.found, one.missing) == ("yes", "")
    lists(root, "easy").unlink()
    (root / "widerface" / "WIDER_train" / "images" / next(iter(said["train"]))).unlink()
    assert [one.missing for one in found().values()] == [
        "1 image",
        f"ground truth list {lists(root, 'easy')}",
    ]
    annotations(root, "train").write_text("x\n")
    assert "line 1: 'x' is no image's name" in found()["train"].missing
    annotations(root, "val").unlink()
    assert (found()["val"].missing, found()["val"].found) == ("annotation file", "no")


def test_a_sound_set_has_no_problems_and_damage_is_named(root: Path) -> None:
    reports = inspect(WIDER, root, True, quiet)
    assert [one.problems for one in reports] == [(), ()]
    assert [one.decoded for one in reports] == [6, 6]
    assert [one.empty for one in reports] == [1, 1]
    first, second = sorted((root / "widerface" / "WIDER_val" / "images").rglob("*.jpg"))[:2]
    first.write_bytes(first.read_bytes()[:1000])
    second.unlink()
    _, val = inspect(WIDER, root, True, quiet)
    assert [str(path) in said for path, said in zip((second, first), val.problems, strict=True)]
    assert "is not there" in val.problems[0]
    assert "is damaged (image file is truncated" in val.problems[1]
    first.write_bytes(b"\xff\xd8nothing")
    _, val = inspect(WIDER, root, True, quiet)
    [said] = val.problems
    assert said.startswith(f"image {first} is damaged (")
    assert "\n" not in said


def test_the_commands_see_it(root: Path) -> None:
    def call(*words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--data-root", str(root)])

    done = call("data", "check", "widerface")
    assert done.exit_code == 0, done.output
    lists(root, "hard").write_bytes(lists(root, "hard").read_bytes()[:150])
    done = call("data", "check", "widerface")
    assert done.exit_code != 0
    assert "wider_hard_val.mat" in done.output


def test_a_converted_set_is_the_same_set(root: Path) -> None:
    path = annotations(root, "train")
    lines = path.read_text().splitlines()
    lines[3] = "1 2 30 40 0 0 0 0 0 0"  # of so few, COCO's reader takes none without area
    path.write_text("\n".join(lines))
    [one] = convert(WIDER, root, root / "out", ("train",), Choice(copy=True), quiet)
    own = CocoJson(kind="coco-json", annotations=str(one.annotations), images=str(one.folder))
    before, after = data.load(WIDER, "train", root), data.load(own, "train", root)
    assert list(after.trainable) == list(before.trainable)
    for index in range(len(before)):
        old, new = before.sample(index), after.sample(index)
        assert new.image.equal(old.image)
        assert new.boxes.equal(old.boxes)


def test_it_tells_whether_it_is_there(tmp_path: Path) -> None:
    said = WIDER.why_missing(tmp_path)
    assert said is not None
    assert said.startswith(f"annotation file {annotations(tmp_path, 'train')} is not there; put")
    assert "(WIDER_train/, WIDER_val/, wider_face_split/, eval_tools/)" in said
    make_widerface(tmp_path)
    assert WIDER.why_missing(tmp_path) is None
    WIDER.check(tmp_path)
    lists(tmp_path, "medium").unlink()
    assert WIDER.why_missing(tmp_path) == (
        f"ground truth list {lists(tmp_path, 'medium')} is not there; {WIDER.advice(tmp_path)}"
    )
    with pytest.raises(DataError, match=r"wider_medium_val\.mat is not there; unpack WIDER FACE's"):
        data.load(WIDER, "val", tmp_path)


def test_its_content_is_all_that_scores_depend_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert WIDER.settled(root) == WIDER  # as first seen, it is what its name stands for
    content = loadmat(lists(root, "easy"))
    content["gt_list"][0, 0][0, 0] = np.zeros((0, 1), np.uint16)
    savemat(lists(root, "easy"), {"gt_list": content["gt_list"]})
    changed = WIDER.settled(root)
    assert changed.val_content is not None
    assert changed.train_content is None
    with pytest.raises(DataError, match="the val annotations are not those that are asked for"):
        WiderFace(kind="widerface", val_content="0" * 64).settled(root)


def line(number: int, text: str) -> Callable[[str], str]:
    def apply(content: str) -> str:
        lines = content.splitlines()
        lines[number - 1] = text
        return "\n".join(lines)

    return apply


NAME = f"{EVENTS[0]}/{EVENTS[0].replace('--', '_')}_made_10.jpg"
BROKEN = {
    "empty": (lambda text: "", "is empty; restore"),
    "truncated": (lambda text: "\n".join(text.splitlines()[:4]), "ends within the"),
    "only a name": (lambda text: text.splitlines()[0], "ends before this image's number of faces"),
    "a line lost": (line(4, ""), "line 4: '' is no face"),
    "no name": (line(1, "12 13"), "line 1: '12 13' is no image's name as in event/file.jpg"),
    "above": (line(1, "../x/y.jpg"), r"line 1: '\.\./x/y\.jpg' is no image's name"),
    "no count": (line(2, "many"), "line 2: 'many' is no number of faces"),
    "negative count": (line(2, "-1"), "line 2: '-1' is no number of faces"),
    "another count": (line(2, "1"), "line 4: .* is no image's name"),
    "words": (line(3, "1 2 3 wide 0 0 0 0 0 0"), "line 3: '1 2 3 wide 0 0 0 0 0 0' is no face"),
    "few numbers": (line(3, "1 2 30 40"), "line 3: '1 2 30 40' is no face"),
    "huge": (line(3, "1 2 30 99999999999999999999 0 0 0 0 0 0"), "line 3: .* is no face"),
    "negative": (line(3, "1 2 -3 4 0 0 0 0 0 0"), "is a face of negative size"),
    "too many": (line(2, "999999999"), r"line \d+: '.*/.*jpg' is no face"),
    "digits without end": (
        lambda text: f"{EVENTS[0]}/a.jpg\n0\n{'0 ' * 9}{'1' * 5000}\n{text}",
        "line 3: .* is no image's name",
    ),
    "a form feed": (line(3, "1 2 30\x0c40 0 0 0 0 0"), "line 3: .* is no face"),
    "twice": (lambda text: text + text, f"{NAME} occurs twice"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_annotations_get_one_clear_line(case: str, root: Path) -> None:
    breaking, message = BROKEN[case]
    path = annotations(root)
    path.write_text(breaking(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        WIDER.truth(root)
    said = str(caught.value)
    assert said.startswith(f"annotation file {path}")
    assert ";" in said
    assert "\n" not in said
    with pytest.raises(DataError, match=message):
        WIDER.check(root)
    path.write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(DataError, match="is no text"):
        WIDER.truth(root)


def test_all_faults_are_told_at_once(root: Path) -> None:
    path = annotations(root)
    clean = WIDER.table("val", root)
    lines = path.read_text().splitlines()
    starts = [k for k, line in enumerate(lines) if "/" in line]
    faces = [int(lines[k + 1]) for k in starts]
    worst = next(k for k, count in enumerate(faces) if count > 1)
    later = next(k for k in range(worst + 1, len(faces)) if faces[k])
    lines[starts[worst] + 2] = "1 2 30 forty 0 0 0 0 0 0"
    lines[starts[worst] + 3] = "1 2 -30 40 0 0 0 0 0 0"
    lines[starts[later] + 1] = "many"
    lines += [lines[starts[worst]], "0", " ".join(["0"] * 10)]
    path.write_text("\n".join(lines))
    _, val = inspect(WIDER, root, False, quiet)
    said = [one.partition("bbx_gt.txt: ")[2] for one in val.problems]
    assert said[0].startswith(f"line {starts[worst] + 3}: '1 2 30 forty")
    assert said[1].startswith(f"line {starts[worst] + 4}: '1 2 -30 40")
    assert said[2].startswith(f"line {starts[later] + 2}: 'many' is no number of faces")
    assert said[3].endswith(f"{lines[starts[worst]]} occurs twice; restore the file")
    assert len(said) == 4
    assert val.images == len(clean.file_names) - 1
    assert val.objects == len(clean.ids) - 2 - faces[later]
    path.write_text("\n".join(["a/b.jpg", "x"] * 40))
    _, val = inspect(WIDER, root, False, quiet)
    assert len(val.problems) == MOST + 1
    assert "more faults: mend these first" in val.problems[-1]
    path.write_text("a/b.jpg\nx\n")
    _, val = inspect(WIDER, root, False, quiet)
    assert [one.partition(": ")[2][:14] for one in val.problems] == ["line 2: 'x' is"]


def test_all_faults_of_lists_are_told_at_once(root: Path) -> None:
    change(lists(root, "easy"), "gt_list", put(0, 0, value=np.array([[99]], np.uint16)))
    change(lists(root, "hard"), "gt_list", put(0, 0, value=np.array([[0]], np.uint16)))
    change(lists(root, "face"), "face_bbx_list", put(1, 0, value=np.ones((3, 4))))
    _, val = inspect(WIDER, root, False, quiet)
    assert [f"wider_{part}_val.mat" in said for part, said in zip(
        ("face", "easy", "hard"), val.problems, strict=True)] == [True] * 3  # fmt: skip


def change(path: Path, key: str, apply: Callable[[Any], None]) -> None:
    """A variable of a MATLAB file is changed in place."""
    content = {name: one for name, one in loadmat(path).items() if not name.startswith("_")}
    apply(content[key])
    savemat(path, content)


def put(*place: int, value: Any) -> Callable[[Any], None]:
    """Sets a cell within cells."""

    def apply(cells: Any) -> None:
        for index in place[:-1]:
            cells = cells[index, 0]
        cells[place[-1], 0] = value

    return apply


LISTS: dict[str, tuple[str, str, Callable[[Any], None], str]] = {
    "a face that is not there": (
        "easy",
        "gt_list",
        put(0, 0, value=np.array([[99]], np.uint16)),
        r"names a face of .*\.jpg that is not among its \d",
    ),
    "a face before the first": (
        "medium",
        "gt_list",
        put(1, 0, value=np.array([[0]], np.uint16)),
        "that is not among its",
    ),
    "a word for a face": ("hard", "gt_list", put(0, 0, value="one"), "that is not among its"),
    "fewer images": (
        "hard",
        "gt_list",
        put(0, value=cell([np.zeros((0, 1))])),
        r"other numbers of images than wider_face_val\.mat lists",
    ),
    "another name": ("face", "file_list", put(0, 1, value="else"), "take both from one release"),
    "no name": ("face", "event_list", put(0, value=np.zeros((2, 2))), "is no text"),
    "other faces": (
        "face",
        "face_bbx_list",
        put(1, 0, value=np.ones((3, 4))),
        r"the faces of .*jpg are not those in .*bbx_gt\.txt; take both from one release",
    ),
    "no boxes": ("face", "face_bbx_list", put(1, 0, value=np.ones((3, 3))), "are no boxes"),
    "words for boxes": ("face", "face_bbx_list", put(1, 0, value="none"), "are no boxes"),
}


@pytest.mark.parametrize("case", LISTS)
def test_broken_lists_get_one_clear_line(case: str, root: Path) -> None:
    part, key, apply, message = LISTS[case]
    change(lists(root, part), key, apply)
    with pytest.raises(DataError, match=message) as caught:
        WIDER.truth(root)
    said = str(caught.value)
    assert f"wider_{part}_val.mat" in said
    assert ";" in said
    assert "\n" not in said


def test_boxes_that_a_pixels_rounding_parts_are_the_same(root: Path) -> None:
    path = lists(root, "face")

    def shift(cells: Any) -> None:
        cells[0, 0][0, 0][0] += 1

    marks = WIDER.truth(root).marks
    change(path, "face_bbx_list", shift)
    np.testing.assert_array_equal(WIDER.truth(root).marks, marks)


def test_damaged_lists(root: Path) -> None:
    path = lists(root, "easy")
    content = path.read_bytes()
    for broken in (content[:100], content[:-10], b"", b"MATLAB 7.3 MAT-file" + bytes(600)):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"ground truth list .*wider_easy_val\.mat.*; restore"):
            WIDER.truth(root)
    savemat(path, {"list": 1})
    with pytest.raises(DataError, match="it has no 'gt_list'"):
        WIDER.truth(root)


def test_no_line_of_zeros_is_no_mistake(root: Path) -> None:
    path = annotations(root)
    text = path.read_text()
    last = text.rindex("\n0 0 0 0 0 0 0 0 0 0")
    path.write_text(text[:last] + "\n")
    assert len(WIDER.truth(root).file_names) == 6


def test_labels() -> None:
    assert WIDER.label() == "WIDER FACE val"
    assert WIDER.label(10) == "WIDER FACE val, first 10"
    assert resolve.parse_dataset("widerface") == WIDER


# --- what stands in for it -----------------------------------------------------------------------


def test_shapes_of_one_class_are_the_same_scenes() -> None:
    settings: dict[str, Any] = {"kind": "shapes", "size": 64, "train": 4, "val": 4}
    every, one = Shapes(**settings), Shapes(**settings, classes=1)
    before, after = (data.load(spec, "val", Path()) for spec in (every, one))
    assert [item.name for item in after.categories] == ["shape"]
    assert one.label() == "shapes full 64 px, one class, val 4"
    assert one.describe() == "shapes (full, 64 px, one class, 4 train, 4 val)"
    for index in range(4):
        old, new = before.sample(index), after.sample(index)
        assert new.image.equal(old.image)
        assert new.boxes.equal(old.boxes)
        assert new.labels.tolist() == [0] * len(old.labels)
    old, new = (spec.truth(Path())["annotations"] for spec in (every, one))
    assert len({item["category_id"] for item in old}) > 1
    for item, own in zip(old, new, strict=True):
        share = max(item["bbox"][2:]) / 64
        assert own == {**item, "category_id": 1, "marks": own["marks"]}
        assert own["marks"] == {True: 7, False: 6}[share >= 0.25] if share >= 0.125 else 4


@pytest.mark.parametrize("profile", ["small", "smoke"])
def test_small_profiles_have_one_class_where_faces_are(profile: str) -> None:
    face = resolve.cell("ddod-face-r50", profile).cell
    other = resolve.cell("ddod-r50", profile).cell
    assert face is not None
    assert other is not None
    assert isinstance(face.data, Shapes)
    assert isinstance(other.data, Shapes)
    assert (face.data.classes, other.data.classes) == (1, 12)
    assert face.data == other.data.model_copy(update={"classes": 1})
    asked = resolve.cell("ddod-face-r50", profile, data=resolve.parse_dataset("shapes")).cell
    assert asked is not None
    assert asked.data == face.data
    twelve = resolve.cell("ddod-face-r50", profile, overrides=["data.classes=12"]).cell
    assert twelve is not None
    assert twelve.data == other.data
    paper = resolve.cell("ddod-face-r50", "paper").cell
    assert paper is not None
    assert paper.data == WIDER
