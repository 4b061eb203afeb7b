import sys
from pathlib import Path

import pytest

from detbench.data.kinds import Coco, CocoJson, Shapes
from detbench.errors import DataError

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_coco import make_coco

SHAPES = Shapes(kind="shapes", size=128, val=250, variant="easy")
COCO = Coco(kind="coco")


def test_shapes_are_always_there():
    assert SHAPES.why_missing(Path("/nowhere")) is None


def test_coco_is_missing_until_all_of_it_is_there(tmp_path):
    for part in (
        "coco/annotations/instances_train2017.json",
        "coco/train2017",
        "coco/annotations/instances_val2017.json",
        "coco/val2017",
    ):
        reason = COCO.why_missing(tmp_path)
        assert reason.startswith(
            f"{'annotation file' if part.endswith('json') else 'image folder'} "
            f"{tmp_path / part} is not there; put COCO below"
        )
        assert "--data-root" in reason
        if part.endswith("json"):
            (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / part).write_text("{}")
        else:
            (tmp_path / part).mkdir()
    assert COCO.why_missing(tmp_path) is None


def test_a_pair_is_relative_to_the_current_directory(tmp_path, monkeypatch):
    spec = CocoJson(kind="coco-json", annotations="a.json", images="pictures")
    monkeypatch.chdir(tmp_path)
    assert spec.why_missing(Path("/elsewhere")).startswith("annotation file a.json is not")
    Path("a.json").touch()
    Path("pictures").mkdir()
    assert spec.why_missing(Path("/elsewhere")) is None
    home = CocoJson(kind="coco-json", annotations="~/a.json", images="/x", val_images="/y")
    assert home.where("train", Path()) == (Path.home() / "a.json", Path("/x"))
    assert home.where("val", Path()) == (Path.home() / "a.json", Path("/y"))


@pytest.mark.parametrize(
    ("spec", "limit", "label"),
    [
        (SHAPES, None, "shapes easy 128 px, val 250"),
        (SHAPES, 20, "shapes easy 128 px, val 20"),
        (
            SHAPES.model_copy(update={"scenes": "by-seed"}),
            20,
            "shapes easy 128 px, val 20, training scenes drawn by seed",
        ),
        (SHAPES, 900, "shapes easy 128 px, val 250"),
        (COCO, None, "COCO val2017"),
        (COCO, 100, "COCO val2017, first 100"),
        (CocoJson(kind="coco-json", annotations="d/a.json", images="d"), None, "a.json"),
    ],
)
def test_labels(spec, limit, label):
    assert spec.label(limit) == label


def test_evaluation_on_the_training_images_is_told():
    one = CocoJson(kind="coco-json", annotations="a.json", images="x")
    assert one.seen_in_training.startswith("evaluated on the training images: a.json comes")
    assert one.model_copy(update={"val_annotations": "a.json"}).seen_in_training
    assert one.model_copy(update={"val_annotations": "b.json"}).seen_in_training is None
    assert Coco(kind="coco").seen_in_training is None


def test_check_reads_annotations_and_looks_for_images(tmp_path):
    SHAPES.check(tmp_path)
    make_coco(tmp_path, images=2)
    COCO.check(tmp_path)
    picture = next((tmp_path / "coco" / "val2017").iterdir())
    picture.unlink()
    with pytest.raises(DataError, match=f"1 of the 2 images .*, for example {picture.name}"):
        COCO.check(tmp_path)
    file = tmp_path / "coco" / "annotations" / "instances_train2017.json"
    file.write_text(file.read_text()[:-9])
    with pytest.raises(DataError, match=r"train2017\.json is truncated"):
        COCO.check(tmp_path)


def test_asking_imports_no_torch(no_torch, tmp_path):
    code = "import detbench.recipe.experiment, detbench.data.coco_check"
    done = no_torch.run(code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.modules
