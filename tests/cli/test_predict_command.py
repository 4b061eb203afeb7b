"""``detbench predict`` as the user calls it: pictures, JSON, and one line for what is wrong."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Call
from PIL import Image

from detbench.assembly import build_detector
from detbench.cli.subjects import source
from detbench.data.kinds import Coco
from detbench.data.shapes_variants import CATEGORIES
from detbench.errors import DataError
from detbench.recipe import load, resolve
from detbench.recipe.experiment import Cell
from detbench.results.store import Store
from detbench.runner import plan
from detbench.training import weights

SMALL = ("--profile", "smoke", "--set", "data.size=64", "--set", "data.val=2")


@pytest.fixture
def call(call: Call) -> Call:
    """Run ``detbench predict``."""
    return partial(call, "predict")


def trained(path: Path, name: str = "fcos-r50", classes: int = len(CATEGORIES)) -> str:
    """The file of a network that sees something everywhere."""
    cell = resolve.cell(name, "smoke").cell
    assert cell is not None
    torch.manual_seed(0)
    network = build_detector(cell.detector, classes)
    with torch.no_grad():
        network.predictor.cls.bias.zero_()
    weights.save(path, network)
    return str(path)


def photo(path: Path, size: tuple[int, int] = (90, 60)) -> str:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
    return str(path)


def test_images_of_the_data_set_get_two_pictures_and_json(call: Call, tmp_path: Path) -> None:
    file = trained(tmp_path / "w.pt")
    code, out, err = call(
        *("0", "1", "--detector", "fcos-r50", "--weights", file, "--format", "json"), *SMALL
    )
    assert code == 0, err
    names = ["val-0-objects.png", "val-0.png", "val-1-objects.png", "val-1.png"]
    folder = tmp_path / "predictions"
    assert sorted(one.name for one in folder.iterdir()) == ["predictions.json", *names]
    for name in names:
        with Image.open(folder / name) as picture:
            assert picture.width >= 320  # 64 pixels are enlarged
    content = json.loads((folder / "predictions.json").read_text())
    assert (content["detector"], len(content["images"])) == ("fcos-r50", 2)
    first = content["images"][0]
    assert (first["image_id"], first["width"], first["height"]) == (1, 64, 64)
    assert 0 < len(first["detections"]) < len(first["before_nms"])
    one = first["detections"][0]
    assert one["category"] in CATEGORIES
    assert all(0 <= side <= 64 for side in one["bbox"])
    assert len(first["objects"]) >= 1
    for found in first["objects"]:
        best = found["best_iou"]
        if best is not None:
            assert best["iou"] >= max(each["iou"] for each in found["best_scores"])
            assert found["boxes"] >= len(found["best_scores"]) >= 1
    table = json.loads(out)
    assert [row["image"] for row in table["rows"]] == ["val image 0", "val image 1"]
    assert table["rows"][0]["objects"] == len(first["objects"])


def test_files_need_no_ground_truth(call: Call, tmp_path: Path) -> None:
    file = trained(tmp_path / "w.pt")
    (tmp_path / "other").mkdir()
    pictures = photo(tmp_path / "street.png"), photo(tmp_path / "other" / "street.jpg", (40, 70))
    code, _, err = call(
        *pictures, "--detector", "fcos-r50", "--weights", file, "--out", "seen", *SMALL
    )
    assert code == 0, err
    # Two of one name do not replace each other, and without objects there is no second picture.
    assert sorted(one.name for one in (tmp_path / "seen").iterdir()) == [
        *("predictions.json", "street-2.png", "street.png")
    ]
    images = json.loads((tmp_path / "seen" / "predictions.json").read_text())["images"]
    assert [(one["width"], one["height"]) for one in images] == [(90, 60), (40, 70)]
    assert all("objects" not in one and one["image_id"] is None for one in images)


def annotate(path: Path, names: dict[str, tuple[int, int]], classes: int = 2) -> str:
    content = {
        "images": [
            {"id": 5 + i, "file_name": name, "width": width, "height": height}
            for i, (name, (width, height)) in enumerate(names.items())
        ],
        "categories": [{"id": 3 * i + 1, "name": f"class {i}"} for i in range(classes)],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 4, "bbox": [5, 5, 40, 30], "area": 1200},
            {
                **{"id": 2, "image_id": 5, "category_id": 1, "bbox": [50, 20, 30, 30]},
                **{"area": 900, "iscrowd": 1},
            },
        ],
    }
    path.write_text(json.dumps(content))
    return str(path)


def test_annotations_give_files_their_objects_and_classes(call: Call, tmp_path: Path) -> None:
    file = trained(tmp_path / "w.pt", classes=2)
    truth = annotate(tmp_path / "val.json", {"street.png": (90, 60)})
    words = (photo(tmp_path / "street.png"), "--detector", "fcos-r50", "--weights", file)
    code, _, err = call(*words, "--annotations", truth, *SMALL)
    assert code == 0, err
    [image] = json.loads((tmp_path / "predictions" / "predictions.json").read_text())["images"]
    assert image["image_id"] == 5
    [one] = image["objects"]  # not the crowd
    assert (one["category"], one["bbox"]) == ("class 1", [5, 5, 40, 30])
    assert {each["category_id"] for each in image["before_nms"]} <= {1, 4}


def test_a_stored_row_brings_its_own_weights(call: Call, tmp_path: Path) -> None:
    table = load.table("tscode-table1")
    overrides = ("data.size=64", "data.val=2")
    made = plan.make(table, load.profile("smoke"), (1,), "FCOS", overrides)
    [task] = made.rows[0].train
    assert isinstance(task.cell, Cell)
    folder = Store(tmp_path / "kept").work(task.work)
    folder.mkdir(parents=True)
    trained(folder / "weights.pt")
    words = ("0", "--row", "tscode-table1:fcos", "--results", "kept", *SMALL)
    code, _, err = call(*words, "--seed", "1")
    assert code == 0, err
    content = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    assert content["detector"] == "FCOS"
    assert content["weights"].endswith(f"{task.work}/weights.pt")
    code, out, err = call(*words)  # seed 0 was not run
    assert (code, out) == (2, "")
    assert "detbench run tscode-table1 --rows FCOS --profile smoke" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gone.jpg",), "gone.jpg: no such file"),
        (("notes.txt",), "notes.txt: not an image that Pillow can read"),
        (("cut.png",), "cut.png: cannot be read as an image"),
        (("folder",), "folder is a folder"),
        (("2",), "image 2: shapes covered 64 px, val 2 has val images 0 to 1"),
        (("0", "--detector", "fcos-r51"), "did you mean 'fcos-r50'"),
        (("0", "--weights", "gone.pt"), "--weights gone.pt: no such file"),
        (("0", "--weights", "notes.txt"), "notes.txt"),
        (("0", "--weights", "few.pt"), "there are 12 classes in shapes covered 64 px, val 2"),
        (("0", "--row", "tscode-table1:FCOS"), "give --detector NAME with --weights FILE, or"),
        (("0", "--dataset", "coco"), "annotation file data/coco"),
        (("street.png", "--annotations", "gone.json"), "annotation file gone.json is not there"),
        (("street.png", "--annotations", "other.json"), "street.png is not in other.json"),
        (("street.png", "--annotations", "size.json"), "street.png is 90x60, but size.json"),
        (("0", "--out", "notes.txt"), "cannot write notes.txt"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    call: Call, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    trained(tmp_path / "w.pt")
    trained(tmp_path / "few.pt", classes=3)
    street = Path(photo(tmp_path / "street.png"))
    (tmp_path / "notes.txt").write_text("no image\n")
    (tmp_path / "cut.png").write_bytes(street.read_bytes()[:2000])
    (tmp_path / "folder").mkdir()
    annotate(tmp_path / "other.json", {"else.png": (90, 60)}, len(CATEGORIES))
    annotate(tmp_path / "size.json", {"street.png": (95, 64)}, len(CATEGORIES))
    given = dict(zip(words[1::2], words[2::2], strict=True))
    settings = {"--detector": "fcos-r50", "--weights": "w.pt"} | given
    if "--dataset" in given:
        small: tuple[str, ...] = ("--profile", "smoke")
    else:
        small = SMALL
    code, out, err = call(words[0], *(part for pair in settings.items() for part in pair), *small)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("detbench: ")]
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("tscode-table1", "give TABLE:ROW, as in tscode-table1:FCOS"),
        ("tscode-table1:FCOX", "has no such row, did you mean 'FCOS'? (rows: FCOS, FCOS + SCE"),
        ("tscode-table9:FCOS", "tscode-table9"),
    ],
)
def test_a_row_that_is_not_there(call: Call, row: str, message: str) -> None:
    code, out, err = call("0", "--row", row, *SMALL)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_weights_belong_to_a_detector_and_not_to_a_row(call: Call) -> None:
    assert "needs --weights FILE" in call("0", "--detector", "fcos-r50", *SMALL)[2]
    words = ("0", "--row", "tscode-table1:FCOS", "--weights", "w.pt")
    assert "--weights does not go with --row" in call(*words, *SMALL)[2]


def test_cocos_classes_are_known_where_coco_is_not(tmp_path: Path) -> None:
    file = photo(tmp_path / "a.png")
    found = source([file], None, Coco(kind="coco"), tmp_path)
    assert (len(found.names), found.names[0], found.names[-1]) == (80, "person", "toothbrush")
    assert (found.ids[0], found.ids[11], found.ids[-1]) == (1, 13, 90)
    with pytest.raises(DataError, match="is not there"):
        source(["0"], None, Coco(kind="coco"), tmp_path)


def test_a_file_called_by_a_number_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(photo(tmp_path / "7.png")).rename(tmp_path / "7")
    [subject] = source(["7"], None, Coco(kind="coco"), tmp_path).subjects()
    assert (subject.title, subject.objects) == ("7", None)
