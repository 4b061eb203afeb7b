import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detbench import data
from detbench.data.dataset import CocoDataset
from detbench.data.kinds import Coco, CocoJson
from detbench.errors import DataError

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_coco import CATEGORY_IDS, make_coco

COCO = Coco(kind="coco")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_coco(tmp_path_factory.mktemp("made"))


def truth_file(root, split="train2017"):
    return root / "coco" / "annotations" / f"instances_{split}.json"


def test_reads_coco_from_disk(root):
    train, val = data.load(COCO, "train", root), data.load(COCO, "val", root)
    assert len(train) == len(val) == 8
    assert [c.id for c in train.categories] == CATEGORY_IDS
    assert train.categories[11].id == 13
    assert train.sizes[:2] == [(480, 640), (640, 480)]
    assert not train.in_memory
    written = json.loads(truth_file(root).read_text())
    for index in range(8):
        sample = train.sample(index)
        record = written["images"][index]
        assert sample.image_id == record["id"]
        assert sample.image.dtype == torch.uint8
        assert sample.image.shape == (3, record["height"], record["width"])
        rows = [
            a for a in written["annotations"] if a["image_id"] == record["id"] and not a["iscrowd"]
        ]
        expected = np.array([a["bbox"] for a in rows]).reshape(-1, 4)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_allclose(sample.boxes.numpy(), expected, atol=1e-3)
        assert sample.boxes.dtype == torch.float32
        ids = [CATEGORY_IDS[label] for label in sample.labels.tolist()]
        assert ids == [a["category_id"] for a in rows]


def test_crowds_are_evaluated_but_not_learnt(root):
    train = data.load(COCO, "train", root)
    truth = train.ground_truth()
    crowds = [a for a in truth["annotations"] if a["iscrowd"]]
    assert len(crowds) >= 6
    assert all(a["ignore"] == 1 for a in crowds)
    learnt = sum(len(train.sample(i).boxes) for i in range(8))
    assert learnt == len(truth["annotations"]) - len(crowds)
    # The last but one image has only a crowd, the last nothing.
    assert list(train.trainable) == [0, 1, 2, 3, 4, 5]


def test_ground_truth_is_the_files(root):
    written = json.loads(truth_file(root).read_text())
    truth = data.load(COCO, "train", root).ground_truth()
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    by_id = {a["id"]: a for a in truth["annotations"]}
    assert len(by_id) == len(written["annotations"])
    for annotation in written["annotations"]:
        assert {k: by_id[annotation["id"]][k] for k in keys} == {k: annotation[k] for k in keys}
    assert [i["file_name"] for i in truth["images"]] == [i["file_name"] for i in written["images"]]
    json.dumps(truth)


def test_any_pair_of_annotations_and_images(root):
    pair = CocoJson(
        kind="coco-json",
        annotations=str(truth_file(root)),
        images=str(root / "coco" / "train2017"),
    )
    assert data.load(pair, "train", Path("/nowhere")).sizes[0] == (480, 640)
    assert len(data.load(pair, "val", Path("/nowhere"))) == 8
    other = pair.model_copy(
        update={
            "val_annotations": str(truth_file(root, "val2017")),
            "val_images": str(root / "coco" / "val2017"),
        }
    )
    assert data.load(other, "val", Path()).sample(0).image_id == 1009


def test_area_and_crowd_may_be_absent(root, tmp_path):
    content = json.loads(truth_file(root).read_text())
    for annotation in content["annotations"]:
        del annotation["area"], annotation["iscrowd"], annotation["segmentation"]
    dataset = opened(content, root, tmp_path)
    first = dataset.ground_truth()["annotations"][0]
    assert first["area"] == pytest.approx(first["bbox"][2] * first["bbox"][3])
    assert first["iscrowd"] == 0


def test_no_annotations_at_all(root, tmp_path):
    content = json.loads(truth_file(root).read_text())
    content["annotations"] = []
    dataset = opened(content, root, tmp_path)
    assert dataset.sample(0).boxes.shape == (0, 4)
    assert dataset.trainable == []
    assert dataset.ground_truth()["annotations"] == []


def test_excess_of_a_pixel_is_cut(root, tmp_path):
    content = json.loads(truth_file(root).read_text())
    content["annotations"][0]["bbox"] = [-1.5, 0.0, 50.0, 481.0]
    dataset = opened(content, root, tmp_path)
    assert dataset.sample(0).boxes[0].tolist() == [0.0, 0.0, 48.5, 480.0]
    assert dataset.ground_truth()["annotations"][0]["bbox"] == [-1.5, 0.0, 50.0, 481.0]


def test_thin_boxes_are_kept_out_of_training_with_one_line(root, tmp_path, capsys):
    content = json.loads(truth_file(root).read_text())
    content["annotations"][0]["bbox"][2] = 0.5
    content["annotations"][1]["bbox"][3] = 0.9
    dataset = opened(content, root, tmp_path)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "2 of" in line
    assert "less than a pixel wide or high; they are evaluated but not learnt from" in line
    plain = data.load(COCO, "train", root)
    assert len(dataset.sample(0).boxes) == len(plain.sample(0).boxes) - 2
    assert capsys.readouterr().err == ""


def test_two_empty_boxes_in_very_many_are_cocos_own(root, tmp_path, capsys):
    content = json.loads(truth_file(root).read_text())
    pattern = content["annotations"][0]
    content["annotations"] = [pattern | {"id": i} for i in range(20_000)]
    for row in (3, 19_000):
        content["annotations"][row] = pattern | {"id": row, "bbox": [9.98, 188.56, 15.23, 0.0]}
    dataset = opened(content, root, tmp_path)
    assert "2 of 20000 boxes" in capsys.readouterr().err
    assert len(dataset.sample(0).boxes) == 19_998


def opened(content, root, folder):
    path = folder / "made.json"
    path.write_text(json.dumps(content))
    return CocoDataset(path, root / "coco" / "train2017")


def change(section, row, **values):
    def apply(content):
        content[section][row].update(values)

    return apply


def drop(section, row, key):
    return lambda content: content[section][row].pop(key)


BROKEN = {
    "no images": (lambda c: c.pop("images"), "has no 'images'"),
    "images no list": (lambda c: c.update(images={}), "'images' is no list"),
    "entry": (lambda c: c["annotations"].append(3), r"'annotations' entry \d+ is no object"),
    "no categories": (lambda c: c["categories"].clear(), "'categories' is empty"),
    "category": (
        change("annotations", 4, category_id=91),
        r"annotation 5 has category_id 91, which is not among the 80 categories "
        r"\(ids 1 to 90\); 1 annotations do",
    ),
    "hole": (change("annotations", 4, category_id=12), "category_id 12, which is not among"),
    "image": (
        change("annotations", 0, image_id=77),
        "annotation 1 belongs to image 77, which is not listed",
    ),
    "no bbox": (drop("annotations", 2, "bbox"), "annotation 3 has no 'bbox'"),
    "bbox": (change("annotations", 2, bbox=[1, 2, 3]), r"annotation 3 has bbox \[1, 2, 3\]"),
    "nan": (change("annotations", 2, bbox=[1, 2, 3, float("nan")]), "annotation 3 has bbox"),
    "huge": (change("annotations", 2, bbox=[1, 2, 3, 10**400]), "annotation 3 has bbox"),
    "text": (change("annotations", 2, bbox=[1, 2, 3, "4"]), "annotation 3 has bbox"),
    "negative": (
        change("annotations", 2, bbox=[5, 5, -3, 4]),
        r"1 of \d+ boxes have a negative size \(annotation 3: bbox \[5.0, 5.0, -3.0, 4.0\] in "
        r"an image of 640x480\)",
    ),
    "outside": (
        change("annotations", 1, bbox=[630, 5, 20, 20]),
        r"1 of \d+ boxes reach more than 2 pixels outside their image \(annotation 2",
    ),
    "empty": (
        change("annotations", 1, bbox=[30, 5, 0, 20]),
        r"1 of \d+ boxes have no area \(annotation 2",
    ),
    "no id": (drop("annotations", 1, "id"), "annotation number 2 has no 'id'"),
    "twice": (change("annotations", 1, id=1), "annotation id 1 occurs twice"),
    "image twice": (change("images", 1, id=9), "image id 9 occurs twice"),
    "no name": (drop("categories", 0, "name"), "category 1 has no 'name'"),
    "no file": (drop("images", 0, "file_name"), "image 9 has no 'file_name'"),
    "size": (change("images", 0, width=0), "image 9 is 0x480"),
    "width": (change("images", 0, width="640"), "image 9 has width '640'"),
    "area": (change("annotations", 0, area=-1), "annotation 1 has area -1"),
    "file": (
        change("images", 3, file_name="gone.jpg"),
        "1 of the 8 images that .*made.json lists are not in .*train2017, for example gone.jpg",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_annotations_get_one_clear_line(case, root, tmp_path):
    breaking, message = BROKEN[case]
    content = copy.deepcopy(json.loads(truth_file(root).read_text()))
    breaking(content)
    with pytest.raises(DataError, match=message) as caught:
        opened(content, root, tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert "made.json" in line
    assert ";" in line  # what to do


@pytest.mark.parametrize("text", ['{"images": [', "", "\x80", '{"images": "'])
def test_truncated_annotations(text, root, tmp_path):
    path = tmp_path / "made.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"made.json is truncated or no JSON \(.*make it again"):
        CocoDataset(path, root / "coco" / "train2017")


def test_json_of_something_else(root, tmp_path):
    with pytest.raises(DataError, match="holds no JSON object"):
        opened([], root, tmp_path)


def test_missing_files_and_folders(root, tmp_path):
    with pytest.raises(DataError, match=r"annotation file .*instances_train2017.json is not there"):
        data.load(COCO, "train", tmp_path)
    with pytest.raises(DataError, match=r"image folder .*nowhere is not there; mend the path"):
        CocoDataset(truth_file(root), tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        CocoDataset(tmp_path, tmp_path)


def broken_image(root, tmp_path, write):
    """A data set of the made one's first image, which ``write(path)`` has replaced."""
    content = json.loads(truth_file(root).read_text())
    content["images"] = content["images"][:1]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 9]
    source = root / "coco" / "train2017" / content["images"][0]["file_name"]
    target = tmp_path / source.name
    target.write_bytes(source.read_bytes())
    path = tmp_path / "one.json"
    path.write_text(json.dumps(content))
    dataset = CocoDataset(path, tmp_path)
    write(target)
    return dataset


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:3000]), r"is damaged \(.*truncated"),
        (lambda p: p.write_bytes(b""), r"is damaged \(cannot identify image file"),
        (lambda p: p.write_text("no picture"), r"is damaged"),
        (lambda p: p.unlink(), r"is not there, but .*one.json lists it"),
        (
            lambda p: Image.new("RGB", (64, 48)).save(p),
            r"is 64x48, but .*one.json says 640x480; images and annotations do not belong",
        ),
    ],
)
def test_broken_images_get_one_clear_line(write, message, root, tmp_path):
    dataset = broken_image(root, tmp_path, write)
    with pytest.raises(DataError, match=message) as caught:
        dataset.sample(0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_any_mode_becomes_rgb(mode, root, tmp_path):
    grey = Image.new("RGB", (640, 480), (90, 90, 90)).convert(mode)
    dataset = broken_image(root, tmp_path, grey.save)
    image = dataset.sample(0).image
    assert image.shape == (3, 480, 640)
    assert (image.float() - 90).abs().max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1"])
def test_any_png_mode_becomes_rgb(mode, root, tmp_path):
    white = Image.new("RGB", (640, 480), (255, 255, 255)).convert(mode)
    dataset = broken_image(root, tmp_path, lambda path: white.save(path, format="PNG"))
    assert (dataset.sample(0).image == 255).all()


def test_orientation_is_applied_where_the_annotated_size_says_so(root, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    stored = Image.new("RGB", (640, 480))
    stored.paste((255, 255, 255), (0, 0, 320, 480))
    as_stored = broken_image(root, tmp_path, lambda p: stored.save(p, exif=exif)).sample(0).image
    assert as_stored[0, 240, 10] > 200
    assert as_stored[0, 240, 630] < 50

    turned = stored.resize((480, 640))
    dataset = broken_image(root, tmp_path, lambda p: turned.save(p, exif=exif))
    assert dataset.sample(0).image.shape == (3, 480, 640)
    assert dataset.sample(0).image[0, 10, 320] > 200
