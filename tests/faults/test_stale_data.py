"""A cell is its annotations' content, whatever path they lie at."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from detbench.data import content
from detbench.data.kinds import Coco, CocoJson, Data, Voc
from detbench.errors import DataError, WeightsError
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest, training
from detbench.recipe.experiment import Cell
from detbench.results.store import Store
from detbench.runner import plan
from detbench.training.host import Host

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_coco import make_coco
from made_voc import make_voc

TABLE = "tscode-table1"


@pytest.fixture(autouse=True)
def _memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def planned(data: Data, root: Path) -> Cell:
    made = plan.make(
        load.table(TABLE), load.profile("smoke"), (0,), "FCOS", (), plan.DataSource(data, root)
    )
    [task] = made.rows[0].train
    assert isinstance(task.cell, Cell)
    assert task.digest == digest(task.cell)
    assert task.work == training(task.cell)
    return task.cell


def both(cell: Cell) -> tuple[str, str]:
    return digest(cell), training(cell)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with ``train.json``, ``val.json`` and ``images``."""
    root = make_coco(tmp_path / "made", images=4)
    folder = tmp_path / "own"
    (folder / "images").mkdir(parents=True)
    for name in ("train", "val"):
        shutil.copy(root / f"coco/annotations/instances_{name}2017.json", folder / f"{name}.json")
        for image in (root / f"coco/{name}2017").iterdir():
            shutil.copy(image, folder / "images")
    return folder


def pair(folder: Path, end: str = "json", val: str = "val") -> CocoJson:
    return CocoJson(
        kind="coco-json",
        annotations=str(folder / f"train.{end}"),
        images=str(folder / "images"),
        val_annotations=str(folder / f"{val}.{end}"),
        val_images=str(folder / "images"),
    )


def change(path: Path) -> None:
    """Another box, in as many bytes, with the times of before."""
    stat, text = path.stat(), path.read_text()
    found = json.loads(text)
    side = f"{found['annotations'][0]['bbox'][2]}"
    other = side[:-1] + ("1" if side[-1] != "1" else "2")
    path.write_text(text.replace(side, other, 1))
    assert path.stat().st_size == stat.st_size
    assert path.read_text() != text
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_other_annotations_are_another_cell(own: Path) -> None:
    before = both(planned(pair(own), own))
    assert both(planned(pair(own), own)) == before
    change(own / "train.json")
    after = both(planned(pair(own), own))
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_other_val_annotations_are_evaluated_and_not_trained_for(own: Path) -> None:
    before = both(planned(pair(own), own))
    change(own / "val.json")
    after = both(planned(pair(own), own))
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize("how", ["copied", "moved images", "linked", "packed", "relative"])
def test_the_same_annotations_elsewhere_are_the_same_cell(
    own: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = both(planned(pair(own), own))
    there, data = tmp_path / "there", pair(own)
    if how == "copied":
        shutil.copytree(own, there)
        data = pair(there)
    elif how == "moved images":
        (own / "images").rename(there)
        data = data.model_copy(update={"images": str(there), "val_images": str(there)})
    elif how == "linked":
        there.symlink_to(own)
        data = pair(there)
    elif how == "packed":
        for name in ("train", "val"):
            packed = gzip.compress((own / f"{name}.json").read_bytes())
            (own / f"{name}.json.gz").write_bytes(packed)
        data = pair(own, "json.gz")
        assert len(data.open("val", own)) == len(pair(own).open("val", own))
    else:
        monkeypatch.chdir(own)
        data = pair(Path())
    assert both(planned(data, tmp_path)) == before


def test_the_same_path_in_another_folder_is_another_cell(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own, tmp_path / "there")
    change(tmp_path / "there" / "train.json")
    found = []
    for folder in (own, tmp_path / "there"):
        monkeypatch.chdir(folder)
        found.append(both(planned(pair(Path()), folder)))
    assert found[0] != found[1]


def test_without_a_val_pair_the_train_pair_counts_for_both(own: Path) -> None:
    alone = pair(own).model_copy(update={"val_annotations": None, "val_images": None})
    assert both(planned(alone, own)) == both(planned(pair(own, val="train"), own))


def test_public_names_stand_for_what_was_seen_first(tmp_path: Path) -> None:
    """So stored results survive, and are found on a machine without the data set."""
    data = Coco(kind="coco")
    without = both(planned(data, tmp_path / "nowhere"))
    root = make_coco(tmp_path / "first", images=2)
    assert both(planned(data, root)) == without
    assert both(planned(data, make_coco(tmp_path / "again", images=2))) == without
    other = make_coco(tmp_path / "other", images=2, seed=1)
    assert both(planned(data, other))[1] != without[1]
    file = root / "coco/annotations/instances_val2017.json"
    text = file.read_text()
    change(file)
    changed = both(planned(data, root))
    assert changed[0] != without[0]
    assert changed[1] == without[1]
    file.write_text(text)
    assert both(planned(data, root)) == without


def test_a_devkit_is_its_lists_and_annotations(tmp_path: Path) -> None:
    data, root = Voc(kind="voc"), make_voc(tmp_path, images=3)
    before = both(planned(data, root))
    devkit = root / "VOCdevkit" / "VOC2007"
    listed = (devkit / "ImageSets/Main/trainval.txt").read_text()
    shorter = "\n".join(listed.split()[:-1]) + "\n"
    for file, text in (
        (devkit / "ImageSets/Main/trainval.txt", shorter),
        (devkit / f"Annotations/{listed.split()[0]}.xml", None),
    ):
        was = file.read_text()
        file.write_text(text or was.replace("<difficult>1", "<difficult>0"))
        assert both(planned(data, root))[1] != before[1]
        file.write_text(was)
        assert both(planned(data, root)) == before
    # An annotation that no list names is nothing of it.
    (devkit / "Annotations" / "unlisted.xml").write_text("<annotation/>")
    assert both(planned(data, root)) == before


def test_what_changes_after_planning_is_an_error(own: Path) -> None:
    cell = planned(pair(own), own)
    boxes = cell.data.truth(own).boxes
    change(own / "val.json")
    with pytest.raises(DataError, match=r"val\.json: the val annotations are not those") as caught:
        cell.data.truth(own)
    assert "\n" not in str(caught.value)
    assert "changed since this was planned: the same command plans again" in str(caught.value)
    with pytest.raises(DataError):
        cell.data.open("val", own)
    assert (planned(pair(own), own).data.truth(own).boxes != boxes).any()


def test_hashes_are_remembered_until_a_file_changes(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_SETTLED_S", -1.0)
    read: list[Path] = []
    hashed = content._hash
    monkeypatch.setattr(content, "_hash", lambda path: read.append(path) or hashed(path))
    file = own / "train.json"
    first = content.of_files([file])
    assert content.of_files([file]) == first
    assert read == [file]
    change(file)
    assert content.of_files([file]) != first
    assert len(read) == 2


def test_a_memory_that_is_damaged_or_cannot_be_written_costs_time_alone(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = both(planned(pair(own), own))
    memory = tmp_path / "state" / "detbench" / "annotations.json"
    for damage in ("", "[]", '{"hashes": 1}', '{"hashes": {"a": 1}, "names": []}'):
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(damage)
        assert both(planned(pair(own), own)) == expected
    monkeypatch.setenv("XDG_STATE_HOME", str(own / "train.json"))
    assert both(planned(pair(own), own)) == expected


def test_a_training_does_not_go_on_with_other_annotations(own: Path, tmp_path: Path) -> None:
    from detbench.training import loop

    quick = ("training.iterations=3", "training.batch=2", "training.input.short=[64]")
    quick += ("training.checkpoint_every=0.0001",)

    def cell() -> Cell:
        made = resolve.cell("fcos-r50", "smoke", 0, quick, pair(own)).settled(own).cell
        assert made is not None
        return made

    class Cut(Exception):
        pass

    def cut(at: object) -> None:
        raise Cut

    before, work = cell(), tmp_path / "work"
    work.mkdir()
    with pytest.raises(Cut):
        loop.train(before, work, Host(own, torch.device("cpu"), cut))
    assert (work / loop.CHECKPOINT).exists()
    text = (own / "train.json").read_text()
    change(own / "train.json")
    with pytest.raises(DataError, match="train annotations are not those"):
        loop.train(before, work, Host(own, torch.device("cpu"), lambda _: None))
    with pytest.raises(WeightsError):
        loop.train(cell(), work, Host(own, torch.device("cpu"), lambda _: None))
    store = Store(tmp_path / "store")
    assert store.work(training(cell())) != store.work(training(before))
    (own / "train.json").write_text(text)
    loop.train(cell(), work, Host(own, torch.device("cpu"), lambda _: None))
