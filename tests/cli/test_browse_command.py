"""``detbench data browse``: pages of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from made_coco import make_coco
from PIL import Image
from typer.testing import CliRunner

from detbench.cli import browse
from detbench.data.kinds import Shapes
from detbench.errors import DataError, RecipeError
from detbench.recipe import resolve
from detbench.report import pictures

Call = Callable[..., list[str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command; what it prints, line by line."""
    app = typer.Typer()
    app.command()(browse.command)

    def run(*words: str) -> list[str]:
        done = CliRunner().invoke(app, words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    return run


def test_pages_of_the_embedded_data_set(call: Call) -> None:
    pages = call("--profile", "smoke", "--count", "5", "--per-page", "4", "--columns", "2")
    assert pages == ["browse/shapes-val-001.png", "browse/shapes-val-002.png"]
    sizes = []
    for page in pages:
        with Image.open(page) as picture:
            sizes.append(picture.size)
    assert sizes[0][0] > sizes[1][0]  # two columns, and the last image alone
    assert sizes[0][1] > 1.5 * sizes[1][1]


def test_training_scenes_drawn_by_seed_are_named() -> None:
    drawn = Shapes(kind="shapes", size=48, train=3, val=2, variant="easy", scenes="by-seed")
    assert browse._title(drawn, "train") == "shapes easy 48 px, train, seed 0"
    assert browse._title(drawn, "val") == "shapes easy 48 px, val 2"


def test_training_images_are_not_named_after_the_val_split() -> None:
    own = resolve.parse_dataset("coco:train.json:images:val.json:images")
    assert browse._title(own, "train") == "COCO JSON train.json, train"
    assert browse._title(own, "val") == "val.json"
    coco = resolve.parse_dataset("coco")
    assert browse._title(coco, "train") == "COCO train2017 / val2017, train"


def test_every_image_is_on_one_page_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    real = pictures.sheet

    def spy(images, names, title, columns):  # type: ignore[no-untyped-def]
        titles.extend(name for _, _, name in images)
        return real(images, names, title, columns)

    monkeypatch.setattr(pictures, "sheet", spy)
    call("--profile", "smoke", "--count", "5", "--per-page", "2", "--start", "3", "--columns", "8")
    assert titles == ["3", "4", "5", "6", "7"]


def test_coco_with_crowds_and_empty_images(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_coco(tmp_path, images=8)
    seen = []
    real = pictures.sheet

    def spy(images, names, title, columns):  # type: ignore[no-untyped-def]
        seen.extend(images)
        return real(images, names, title, columns)

    monkeypatch.setattr(pictures, "sheet", spy)
    [page] = call("coco", "--data-root", str(root), "--split", "train", "--out", "sheets")
    assert page == "sheets/coco-train-001.png"
    assert len(seen) == 8
    assert seen[-1][2].endswith("(no objects)")
    assert seen[-2][1].crowd.tolist() == [True]
    assert {objects.mark for _, objects, _ in seen} == {"crowd"}


def test_images_with_a_class_only(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = pictures.sheet

    def spy(images, names, title, columns):  # type: ignore[no-untyped-def]
        seen.extend((names, objects) for _, objects, _ in images)
        return real(images, names, title, columns)

    monkeypatch.setattr(pictures, "sheet", spy)
    call("--profile", "smoke", "--classes", "cross, ring", "--count", "6")
    assert len(seen) == 6
    for names, objects in seen:
        assert {names[label] for label in objects.boxed.labels} & {"cross", "ring"}


def test_what_the_user_can_mend(call: Call) -> None:
    with pytest.raises(DataError, match=r"instances_train2017\.json is not there"):
        call("coco")
    with pytest.raises(RecipeError, match="--dataset 'cocoa': unknown, did you mean 'coco'"):
        call("cocoa")
    with pytest.raises(RecipeError, match=r"no class 'cat' \(classes: triangle"):
        call("--profile", "smoke", "--classes", "cat")
    with pytest.raises(RecipeError, match="--start 2000: no images from there on"):
        call("--profile", "smoke", "--start", "2000")
    with pytest.raises(RecipeError, match="--profile paper has no data set of its own"):
        call("--profile", "paper")


def test_images_as_epochs_train_on_them(call: Call, tmp_path: Path) -> None:
    words = ("--profile", "smoke", "--count", "2", "--per-page", "4", "--augmented", "3")
    plain = call(*words)
    assert plain == [
        "browse/shapes-train-augmented-001.png",
        "browse/shapes-train-augmented-002.png",
    ]
    pages = [Path(path).read_bytes() for path in plain]
    change = 'training.input.augment=[{ name = "RandomInvert", arguments = { p = 1.0 } }]'
    assert call(*words, "--set", change) == plain
    assert [Path(path).read_bytes() for path in plain] != pages
    with pytest.raises(RecipeError, match=r"nothing is trained: data and training\.input apply"):
        call(*words, "--set", "training.batch=3")
