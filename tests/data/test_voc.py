import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from detbench import data
from detbench.data.kinds import Voc
from detbench.data.loading import EvalLoader, TrainLoader
from detbench.errors import DataError
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_voc import make_voc

VOC = Voc(kind="voc")
SEVEN = Voc(kind="voc", train=("2007_trainval",))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A kit that no test changes."""
    return make_voc(tmp_path_factory.mktemp("made"))


@pytest.fixture
def root(tmp_path):
    return make_voc(tmp_path, images=2)


def annotation(root, name="000001", year="2007"):
    return root / "VOCdevkit" / f"VOC{year}" / "Annotations" / f"{name}.xml"


def objects(path):
    """What an annotation says, read in another way: class, corners as written, difficult."""
    return [
        (
            one.findtext("name"),
            [int(one.find("bndbox").findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")],
            one.findtext("difficult") == "1",
        )
        for one in ElementTree.fromstring(path.read_text()).iter("object")
    ]


def test_train_is_both_years_and_val_is_the_test_of_2007(shared):
    train, val = data.load(VOC, "train", shared), data.load(VOC, "val", shared)
    assert (len(train), len(val)) == (12, 6)
    assert len(data.load(SEVEN, "train", shared)) == 6
    files = [image["file_name"] for image in train.ground_truth()["images"]]
    assert (files[0], files[6]) == (
        "VOC2007/JPEGImages/000001.jpg",
        "VOC2012/JPEGImages/2008_000003.jpg",
    )
    assert [image["id"] for image in train.ground_truth()["images"]] == list(range(12))
    assert train.sizes[:2] == [(375, 500), (500, 375)]
    assert not train.in_memory


def test_twenty_classes_in_the_alphabets_order(shared):
    names = [category.name for category in data.load(VOC, "val", shared).categories]
    assert (len(names), names[0], names[19]) == (20, "aeroplane", "tvmonitor")
    assert names == sorted(names)


def test_samples_are_the_annotations_one_pixel_less(shared):
    train = data.load(VOC, "train", shared)
    names = [category.name for category in train.categories]
    for index in range(6):
        sample = train.sample(index)
        easy = [one for one in objects(annotation(shared, f"{10 * index + 1:06d}")) if not one[2]]
        assert [names[label] for label in sample.labels.tolist()] == [one[0] for one in easy]
        expected = np.array([one[1] for one in easy]).reshape(-1, 4) - 1
        np.testing.assert_array_equal(sample.boxes.numpy(), expected)
        assert (sample.image_id, sample.image.dtype) == (index, torch.uint8)
        assert sample.image.shape[1:] == train.sizes[index]


def test_boxes_are_where_the_pixels_are(root):
    """The whole image and a single corner, as the kit counts pixels from 1."""
    path = annotation(root)
    tree = ElementTree.parse(path)
    first, second = list(tree.iter("object"))[:2]
    second.find("difficult").text = "0"
    for one, corners in ((first, (1, 1, 500, 375)), (second, (500.7, 374, 501, 376))):
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            one.find("bndbox").find(side).text = str(value)
    tree.write(path)
    table = data.load(VOC, "train", root)
    assert table.sample(0).boxes[0].tolist() == [0, 0, 499, 374]
    assert table.sample(0).boxes[1].tolist() == [499, 373, 500, 375]  # cut at the edge
    boxes = [one["bbox"] for one in table.ground_truth()["annotations"]]
    assert boxes[:2] == [[0, 0, 499, 374], [499, 373, 1, 2]]


def test_difficult_objects_are_evaluated_but_not_learnt(shared):
    train = data.load(VOC, "train", shared)
    kept = train.ground_truth()["annotations"]
    written = [
        one[2]
        for folder in ("VOC2007", "VOC2012")
        for file in (shared / "VOCdevkit" / folder / "ImageSets/Main/trainval.txt",)
        for name in file.read_text().split()
        for one in objects(annotation(shared, name, folder[3:]))
    ]
    assert [one["iscrowd"] == 1 for one in kept] == written
    assert sum(written) >= 12
    assert sum(len(train.sample(i).boxes) for i in range(12)) == written.count(False)
    # The last image of each list has only difficult ones.
    assert list(train.trainable) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert train.sample(5).boxes.shape == (0, 4)
    json.dumps(train.ground_truth())


def test_loaders_take_it(shared):
    plain = Input(short=(64,), long=96)
    train = TrainLoader(data.load(VOC, "train", shared), plain, Pixels(), 4, 0)
    assert train.iterations_per_epoch == 3
    batch = next(iter(train.batches(0)))
    assert batch.images.shape[0] == 4
    val = EvalLoader(data.load(VOC, "val", shared), plain, Pixels(), 2, None)
    assert [number for batch in val for number in batch.image_ids] == [0, 1, 2, 3, 4, 5]


def test_truth_needs_no_images(root):
    for image in (root / "VOCdevkit/VOC2007/JPEGImages").iterdir():
        image.unlink()
    ground = VOC.truth(root)
    assert len(ground.image_ids) == 2
    with pytest.raises(DataError, match=r"2 of the 2 images .*JPEGImages/000002\.jpg; restore"):
        data.load(VOC, "val", root)


def test_a_missing_difficult_is_none(root):
    path = annotation(root)
    path.write_text(path.read_text().replace("<difficult>1</difficult>", ""))
    ground = Voc(kind="voc", val="2007_trainval").truth(root)
    assert not ground.crowd[ground.image_rows == 0].any()
    assert ground.crowd.any()


def swap(old, new):
    return lambda text: text.replace(old, new, 1)


def corner(side, value):
    """The first object's corner becomes another."""

    def apply(text):
        start, end = text.index(f"<{side}>") + len(side) + 2, text.index(f"</{side}>")
        return text[:start] + value + text[end:]

    return apply


def both(first, second):
    return lambda text: second(first(text))


BROKEN = {
    "truncated": (lambda text: text[:-20], "is truncated or no XML"),
    "empty": (lambda text: "", "is truncated or no XML"),
    "binary": (lambda text: "\x00\x01", "is truncated or no XML"),
    "encoding": (lambda text: '<?xml version="1.0" encoding="x"?>' + text, "truncated or no XML"),
    "class": (
        lambda text: text[: text.index("<name>")] + "<name>unicorn" + text[text.index("</name>") :],
        "object 1 is of class 'unicorn', which is not among VOC's 20",
    ),
    "no class": (
        lambda text: text[: text.index("<name>")] + text[text.index("</name>") + 7 :],
        "object 1 is of class ''",
    ),
    "no corner": (swap("<xmin>", "<x>"), "is truncated or no XML"),
    "no box": (
        lambda text: text.replace("bndbox", "box"),
        r"object 1 \(\w+\) has no 'bndbox/xmin'",
    ),
    "text": (corner("ymin", "left"), r"object 1 \(\w+\) has bndbox/ymin 'left'"),
    "nan": (corner("ymin", "nan"), r"object 1 \(\w+\) has bndbox/ymin 'nan'"),
    "huge": (corner("ymin", "1e400"), r"object 1 \(\w+\) has bndbox/ymin '1e400'"),
    "no area": (both(corner("xmin", "30"), corner("xmax", "30")), r"object 1 \(\w+\) has no area"),
    "negative": (both(corner("ymin", "60"), corner("ymax", "30")), r"has no area \(xmin, ymin"),
    "outside": (
        corner("xmax", "503"),
        r"object 1 \(\w+\) reaches more than 2 pixels outside its image \(.*503.* in 500x375\)",
    ),
    "above": (corner("ymin", "-2"), "reaches more than 2 pixels outside"),
    "difficult": (swap("<difficult>0", "<difficult>maybe"), r"\(\w+\) has difficult 'maybe'"),
    "no size": (lambda text: text.replace("size>", "sizes>"), "the image has no 'size/width'"),
    "size": (swap("<width>500", "<width>0"), "the image is 0x375"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_annotations_get_one_clear_line(case, root):
    breaking, message = BROKEN[case]
    path = annotation(root)
    path.write_text(breaking(path.read_text()))
    with pytest.raises(DataError, match=message) as caught:
        data.load(VOC, "train", root)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert ";" in line  # what to do
    with pytest.raises(DataError, match=message):
        VOC.check(root)


def test_a_pixel_of_excess_is_no_mistake(root):
    path = annotation(root)
    path.write_text(corner("xmax", "502")(path.read_text()))
    assert data.load(VOC, "train", root).sample(0).boxes[:, 2].max() == 500


LISTS = {
    "two columns": ("000001 -1\n", r"trainval\.txt: '000001 -1' is no image's name"),
    "empty": ("\n", r"trainval\.txt is empty"),
    "twice": ("000001\n000001\n", r"000001\.jpg twice; name lists that share no image"),
    "unknown": ("000009\n", r"000009\.xml is not there, but an image list names it"),
}


@pytest.mark.parametrize("case", LISTS)
def test_broken_lists(case, root):
    text, message = LISTS[case]
    (root / "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        data.load(VOC, "train", root)


def test_what_is_not_there(root, tmp_path):
    with pytest.raises(DataError, match=r"image list .*VOC2007.Im.*trainval\.txt is not there"):
        data.load(VOC, "train", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"2012.*test\.txt is not there; mend its name"):
        data.load(Voc(kind="voc", val="2012_test"), "val", root)


def test_broken_images(root):
    image = root / "VOCdevkit/VOC2007/JPEGImages/000001.jpg"
    train = data.load(VOC, "train", root)
    content = image.read_bytes()
    image.write_bytes(content[:2000])
    with pytest.raises(DataError, match=r"000001\.jpg is damaged \("):
        train.sample(0)
    image.unlink()
    with pytest.raises(DataError, match=r"000001\.jpg is not there, but .*000001\.xml lists it"):
        train.sample(0)
    image.write_bytes((root / "VOCdevkit/VOC2007/JPEGImages/000011.jpg").read_bytes())
    with pytest.raises(DataError, match=r"is 375x500, but .*Annotations.000001\.xml says 500x375"):
        train.sample(0)


def test_sources_know_whether_it_is_there(tmp_path):
    assert "VOC2007/ImageSets/Main/trainval.txt is not there" in VOC.why_missing(tmp_path)
    make_voc(tmp_path, images=1)
    assert VOC.why_missing(tmp_path) is None
    VOC.check(tmp_path)
    kit = tmp_path / "VOCdevkit"
    (kit / "VOC2012/Annotations").rename(kit / "VOC2012/elsewhere")
    reason = VOC.why_missing(tmp_path)
    assert reason.startswith(f"folder {kit / 'VOC2012/Annotations'} is not there; put Pascal VOC")
    assert "(VOC2007/, VOC2012/)" in reason
    assert SEVEN.why_missing(tmp_path) is None


def test_labels():
    assert VOC.label() == "VOC 2007_test"
    assert VOC.label(10) == "VOC 2007_test, first 10"


def test_reading_imports_no_torch(no_torch, tmp_path):
    code = "import detbench.data.voc_xml, detbench.evaluation.truth, detbench.evaluation.scoring"
    done = no_torch.run(code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.modules
