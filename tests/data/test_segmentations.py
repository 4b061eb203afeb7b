import copy
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import coco as pycoco
from pycocotools import mask

from detbench import data
from detbench.data import segmentations
from detbench.data.coco_check import check
from detbench.data.inspect import inspect
from detbench.data.kinds import Coco, CocoJson
from detbench.errors import DataError

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_coco import make_coco

HEIGHT, WIDTH = 23, 37
SIZE = [HEIGHT, WIDTH]
SQUARE = [2.0, 3.0, 12.5, 3.0, 12.5, 9.0, 2.0, 9.0]


def by_hand(entry, height=HEIGHT, width=WIDTH):
    """COCO's own mask of one annotation."""
    api = pycoco.COCO()
    api.imgs = {1: {"id": 1, "height": height, "width": width}}
    return decoded(api.annToRLE({"image_id": 1, "segmentation": entry}))


def decoded(rle):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return mask.decode(rle)


def parsed(*entries, size=(HEIGHT, WIDTH)):
    return segmentations.parse(entries, np.array([size] * len(entries)).reshape(-1, 2))


def rows(*numbers):
    return np.array(numbers, np.int64)


points = st.tuples(st.floats(-30, 60, width=32), st.floats(-20, 40, width=32))
polygons = st.lists(points, min_size=3, max_size=8).map(lambda found: [v for p in found for v in p])


@st.composite
def bitmaps(draw):
    runs = draw(st.lists(st.integers(0, 90), max_size=40))
    flat = np.concatenate([np.full(n, i % 2) for i, n in enumerate([*runs, HEIGHT * WIDTH])])
    bits = flat[: HEIGHT * WIDTH].astype(np.uint8)
    return np.asfortranarray(bits.reshape(WIDTH, HEIGHT).T)


def run_lengths(bitmap):
    """Lengths of equal pixels down the columns, from a run of 0, pixel by pixel."""
    counts, last = [0], 0
    for pixel in bitmap.T.ravel().tolist():
        if pixel != last:
            counts.append(0)
            last = pixel
        counts[-1] += 1
    return counts


@st.composite
def entries(draw):
    form = draw(st.sampled_from(["polygons", "list", "text", "none"]))
    if form == "polygons":
        return draw(st.lists(polygons, min_size=1, max_size=3))
    if form == "none":
        return draw(st.sampled_from([None, []]))
    bitmap = draw(bitmaps())
    if form == "list":
        return {"size": SIZE, "counts": run_lengths(bitmap)}
    return segmentations.as_json(mask.encode(bitmap))


@settings(max_examples=150, deadline=None)
@given(st.lists(entries(), max_size=6))
def test_masks_are_cocos_own(found):
    made = parsed(*found)
    assert made.present.tolist() == [bool(entry) for entry in found]
    expected = [by_hand(one) if one else np.zeros(SIZE, np.uint8) for one in found]
    bits = made.bitmaps(np.arange(len(found)), (HEIGHT, WIDTH))
    assert bits.dtype == np.uint8
    assert bits.shape == (len(found), HEIGHT, WIDTH)
    for ours, theirs in zip(bits, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again = [decoded(rle) for rle in made.rles(np.arange(len(found)))]
    assert all((a == b).all() for a, b in zip(again, expected, strict=True))


def test_edges_of_images_cut_polygons_and_one_outside_is_empty():
    beyond = [[-5.0, -5.0, 50.0, -5.0, 50.0, 40.0, -5.0, 40.0]]
    outside = [[40.0, 2.0, 45.0, 2.0, 45.0, 8.0]]
    tiny = [[4.1, 4.1, 4.2, 4.1, 4.2, 4.2]]
    made = parsed(beyond, outside, tiny)
    assert made.present.all()
    bits = made.bitmaps(rows(0, 1, 2), (HEIGHT, WIDTH))
    assert bits.sum(axis=(1, 2)).tolist() == [HEIGHT * WIDTH, 0, 0]


def test_long_texts_are_checked_in_portions(monkeypatch):
    monkeypatch.setattr(segmentations, "_TEXT_AT_ONCE", 40)
    rng = np.random.default_rng(0)
    found = [np.asfortranarray(rng.integers(0, 2, SIZE, np.uint8)) for _ in range(7)]
    texts = [segmentations.as_json(mask.encode(one)) for one in found]
    made = parsed(*texts)
    np.testing.assert_array_equal(made.bitmaps(np.arange(7), (HEIGHT, WIDTH)), np.array(found))
    texts[5]["counts"] = texts[6]["counts"][:-3]
    with pytest.raises(segmentations.Damaged) as caught:
        parsed(*texts)
    assert caught.value.row == 5


TEXT = mask.frPyObjects([SQUARE], *SIZE)[0]["counts"].decode()
SHORT = mask.encode(np.ones((HEIGHT, WIDTH - 1), np.uint8, order="F"))["counts"].decode()
DAMAGED = {
    "type": ("polygon", "has a segmentation that is a text"),
    "number": (3, "has a segmentation that is a number"),
    "flat": (SQUARE, "has a segmentation with a number in place of a polygon"),
    "odd": ([SQUARE, SQUARE[:7]], r"has a polygon of an odd number of coordinates \(7\)"),
    "line": ([SQUARE[:4]], r"has a polygon of fewer than six coordinates \(4\)"),
    "nothing": ([[]], r"has a polygon of fewer than six coordinates \(0\)"),
    "nan": ([[*SQUARE[:7], float("nan")]], "has a polygon with the coordinate nan"),
    "infinite": ([[*SQUARE[:7], float("inf")]], "has a polygon with the coordinate inf"),
    "far": ([[*SQUARE[:7], 1e9]], r"has a polygon with the coordinate 1e\+09 in an image of 37x23"),
    "null": ([[*SQUARE[:7], None]], "has a polygon with something not a number"),
    "text": ([[*SQUARE[:7], "9"]], "has a polygon with something not a number"),
    "true": ([[*SQUARE[:7], True]], "has a polygon with something not a number"),
    "huge": ([[*SQUARE[:7], 10**400]], "has a polygon with something not a number"),
    "no counts": ({"size": SIZE}, "has a segmentation without 'size' and 'counts'"),
    "no size": ({"counts": TEXT}, "has a segmentation without 'size' and 'counts'"),
    "turned": ({"size": [WIDTH, HEIGHT], "counts": TEXT}, r"has an RLE of size \[37, 23\] in an"),
    "size": ({"size": 851, "counts": TEXT}, "has an RLE of size 851 in an image of height 23"),
    "counts": ({"size": SIZE, "counts": 851}, "has RLE counts that are a number"),
    "letters": ({"size": SIZE, "counts": "täglich"}, "has RLE counts that are a text"),
    "signs": ({"size": SIZE, "counts": TEXT + " "}, "has RLE counts that are not COCO's text"),
    "long": ({"size": SIZE, "counts": "o" * 9 + TEXT}, "has RLE counts that are not COCO's text"),
    "broken": ({"size": SIZE, "counts": TEXT + "o"}, "has RLE counts that break off"),
    "less": ({"size": SIZE, "counts": SHORT}, r"add up to \d+ pixels in an image of 37x23 \(8"),
    "more": ({"size": SIZE, "counts": TEXT + "5"}, r"add up to \d+ pixels in an image of 37x23"),
    "empty": ({"size": SIZE, "counts": ""}, "add up to 0 pixels in an image of 37x23"),
    "below": ({"size": SIZE, "counts": "JZjP1"}, "has RLE counts"),
    "list": ({"size": SIZE, "counts": [800, 50]}, "add up to 850 pixels in an image of 37x23"),
    "signed": ({"size": SIZE, "counts": [852, -1]}, "has RLE counts that are no whole numbers"),
    "halves": ({"size": SIZE, "counts": [850.5, 0.5]}, "has RLE counts that are no whole numbers"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_segmentation_is_one_line(case):
    entry, said = DAMAGED[case]
    boxed = {"image_id": 4, "category_id": 1, "bbox": [2, 3, 10, 6]}
    content = {
        "images": [{"id": 4, "width": WIDTH, "height": HEIGHT, "file_name": "4.png"}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            boxed | {"id": 11, "segmentation": [SQUARE]},
            boxed | {"id": 12, "segmentation": entry},
            boxed | {"id": 13},
        ],
    }
    with pytest.raises(DataError, match=said) as caught:
        check(content, Path("made.json"), masks=True)
    assert str(caught.value).startswith("annotation file made.json: annotation 12 has ")
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert check(content, Path("made.json")).masks is None  # who learns boxes need not mend it


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_coco(tmp_path_factory.mktemp("made"))


def test_samples_have_the_masks_of_what_is_learnt(root):
    plain = data.load(Coco(kind="coco"), "train", root)
    masked = data.load(Coco(kind="coco"), "train", root, masks=True)
    written = json.loads((root / "coco/annotations/instances_train2017.json").read_text())
    for index in range(len(plain)):
        before, sample = plain.sample(index), masked.sample(index)
        assert before.masks is None
        assert (before.boxes == sample.boxes).all()
        expected = [
            by_hand(one["segmentation"], *plain.sizes[index])
            for one in written["annotations"]
            if one["image_id"] == sample.image_id and not one["iscrowd"]
        ]
        assert sample.masks.shape == (len(expected), *plain.sizes[index])
        for ours, theirs in zip(sample.masks.numpy(), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert len(masked.sample(7).masks) == 0  # an image without objects


def own(root, folder, change):
    file = root / "coco/annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    change(content["annotations"])
    path = folder / "own.json"
    path.write_text(json.dumps(content))
    return CocoJson(kind="coco-json", annotations=str(path), images=str(root / "coco/train2017"))


def test_objects_without_a_segmentation_are_not_learnt_from(root, tmp_path, capsys):
    def change(annotations):
        annotations[0].pop("segmentation")
        annotations[1]["segmentation"] = []

    spec = own(root, tmp_path, change)
    before = data.load(spec, "train", root).sample(0)
    assert capsys.readouterr().err == ""
    opened = data.load(spec, "train", root, masks=True)
    assert "2 of 32 objects have no segmentation; they are not learnt from" in (
        capsys.readouterr().err
    )
    after = opened.sample(0)
    assert (after.boxes == before.boxes[2:]).all()
    assert len(after.masks) == len(after.boxes)
    found = opened.ground_truth()["annotations"]
    assert [one["id"] for one in found if "segmentation" not in one] == [1, 2]


def test_a_mask_of_no_pixel_is_learnt_from(root, tmp_path):
    def change(annotations):
        annotations[0]["segmentation"] = {"size": [480, 640], "counts": [480 * 640]}

    spec = own(root, tmp_path, change)
    masks = data.load(spec, "train", root, masks=True).sample(0).masks
    assert masks[0].sum() == 0
    assert masks[1].sum() > 0


def test_data_without_any_mask_is_said(root, tmp_path):
    spec = own(root, tmp_path, lambda found: [one.pop("segmentation") for one in found])
    assert len(data.load(spec, "train", root)) == 8
    with pytest.raises(DataError, match=r"own\.json: no object has a segmentation") as caught:
        data.load(spec, "train", root, masks=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="no object has a segmentation"):
        spec.truth(root, masks=True)


def test_data_check_finds_a_damaged_segmentation(root, tmp_path):
    def change(annotations):
        annotations[3]["segmentation"] = [SQUARE[:7]]

    spec = own(root, tmp_path, change)
    [report] = inspect(spec, root, decode=False, tell=lambda *_: None)
    assert "annotation 4 has a polygon of an odd number of coordinates (7)" in report.problems[0]
    sound = own(root, tmp_path, lambda found: [one.pop("segmentation") for one in found])
    [report] = inspect(sound, root, decode=False, tell=lambda *_: None)
    assert report.problems == ()


def test_ground_truth_as_columns_and_as_a_dictionary_agree(root):
    table = Coco(kind="coco").truth(root, masks=True)
    written = json.loads((root / "coco/annotations/instances_val2017.json").read_text())
    sizes = {one["id"]: (one["height"], one["width"]) for one in written["images"]}
    by_id = {one["id"]: copy.copy(one) for one in written["annotations"]}
    for one in table.ground_truth("")["annotations"]:
        expected = by_hand(by_id[one["id"]]["segmentation"], *sizes[one["image_id"]])
        np.testing.assert_array_equal(decoded(one["segmentation"]), expected)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_run_lengths_of_a_part_are_those_of_the_whole(given_data):
    left, top = given_data.draw(st.integers(0, WIDTH)), given_data.draw(st.integers(0, HEIGHT))
    width = given_data.draw(st.integers(0, WIDTH - left))
    height = given_data.draw(st.integers(0, HEIGHT - top))
    seed = given_data.draw(st.integers(0, 9))
    share = given_data.draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    part = np.random.default_rng(seed).random((height, width)) < share
    whole = np.zeros(SIZE, np.uint8, order="F")
    whole[top : top + height, left : left + width] = part
    counts = segmentations.run_lengths(part, left, top, (HEIGHT, WIDTH))
    assert counts.tolist() == [n for i, n in enumerate(run_lengths(whole)) if n or not i]
    assert segmentations.compressed([counts], (HEIGHT, WIDTH)) == [mask.encode(whole)]
