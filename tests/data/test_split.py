"""Parting a set into train and val that share no image."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detbench.data import shared
from detbench.data.kinds import CocoJson, Shapes
from detbench.data.split import Parted, Rule, choose, split
from detbench.errors import DataError


def test_classes_are_shared_out_in_proportion() -> None:
    rng = np.random.default_rng(0)
    count = 2000
    rows, labels = rng.integers(0, count - 100, 9000), rng.zipf(1.6, 9000) % 12
    groups = np.arange(count)
    val = choose(groups, rows, labels.astype(np.int64), 0.2, 3)
    assert abs(val.sum() - 0.2 * count) <= 1
    for label in range(12):
        images = np.unique(rows[labels == label])
        assert abs(val[images].sum() - 0.2 * len(images)) <= 3
    assert abs(val[count - 100 :].sum() - 20) <= 1  # those without an object
    assert (choose(groups, rows, labels.astype(np.int64), 0.2, 3) == val).all()
    assert (choose(groups, rows, labels.astype(np.int64), 0.2, 4) != val).any()


def test_a_random_half_does_worse_at_rare_classes() -> None:
    """What stratifying is for: each of 20 classes of ten images has 4 to 6 in each half, which a
    random half has for one seed of thousands.
    """
    rows, labels = np.arange(200), np.repeat(np.arange(20), 10)
    val = choose(np.arange(200), rows, labels, 0.5, 0)
    counts = val.reshape(20, 10).sum(axis=1)
    assert counts.min() >= 4
    assert counts.max() <= 6
    assert val.sum() == 100


def test_groups_are_never_parted_and_no_object_is_fine() -> None:
    groups = np.repeat(np.arange(30), 10)
    val = choose(groups, np.zeros(0, np.int64), np.zeros(0, np.int64), 0.3, 0)
    assert val.shape == (30,)
    assert val.sum() == 9


def made(folder: Path, names: list[str]) -> CocoJson:
    """Images of noise with an object of one of two classes each."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    content: dict[str, Any] = {
        "info": {"year": 2020},
        "licenses": ["x"],
        "images": [
            {"id": 90 - i, "width": 8, "height": 8, "file_name": n} for i, n in enumerate(names)
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 90 - i, "category_id": 3 + 2 * (i % 2), "bbox": [1, 1, 4, 4]}
            for i in range(len(names))
        ],
    }
    (folder / "all.json").write_text(json.dumps(content))
    return CocoJson(
        kind="coco-json", annotations=str(folder / "all.json"), images=str(folder / "images")
    )


def parted(data: CocoJson, out: Path, rule: Rule) -> tuple[Parted, list[set[str]]]:
    done = split(data, Path("/nowhere"), "train", out, rule, force=True)
    contents = [json.loads(one.annotations.read_text()) for one in done.written]
    assert all(one["licenses"] == ["x"] and one["info"]["year"] == 2020 for one in contents)
    for one in contents:
        ids = {image["id"] for image in one["images"]}
        assert {found["image_id"] for found in one["annotations"]} == ids
    return done, [{image["file_name"] for image in one["images"]} for one in contents]


def test_every_image_is_on_one_side(tmp_path: Path) -> None:
    names = [f"{index}.png" for index in range(20)]
    data = made(tmp_path, names)
    done, (train, val) = parted(data, tmp_path / "out", Rule(0.25))
    assert train | val == set(names)
    assert not train & val
    assert 4 <= len(val) <= 6
    assert (done.groups, done.copies, done.lacking) == (20, 0, [])
    assert parted(data, tmp_path / "out", Rule(0.25))[1] == [train, val]
    assert parted(data, tmp_path / "out", Rule(0.25, seed=1))[1] != [train, val]


@pytest.mark.parametrize("seed", range(4))
def test_one_file_copies_links_and_frames_stay_together(tmp_path: Path, seed: int) -> None:
    names = [f"clip{index // 4}_{index % 4}.png" for index in range(40)]
    data = made(tmp_path, [*names, "a/x.png", "a/../a/x.png", "copy.png", "link.png"])
    images = tmp_path / "images"
    shutil.copy(images / "clip3_2.png", images / "copy.png")
    (images / "link.png").unlink()
    os.symlink(images / "clip7_0.png", images / "link.png")
    done, (train, val) = parted(data, tmp_path / "out", Rule(0.3, seed, r"^(clip\d+|[a-z]+)"))
    for side in (train, val):
        assert len({"a/x.png", "a/../a/x.png"} & side) in (0, 2)
        assert ("copy.png" in side) == ("clip3_0.png" in side)
        assert ("link.png" in side) == ("clip7_3.png" in side)
        for clip in range(10):
            assert len({f"clip{clip}_{frame}.png" for frame in range(4)} & side) in (0, 4)
    assert done.groups == 11
    assert done.copies == 3
    apart = parted(data, tmp_path / "out", Rule(0.3, seed, content=False))[0]
    assert (apart.groups, apart.copies) == (43, 0)


def test_what_cannot_be_parted_is_one_line(tmp_path: Path) -> None:
    data = made(tmp_path, ["a1.png", "a2.png", "b.png"])
    root, out = Path("/nowhere"), tmp_path / "out"
    for rule, said in (
        (Rule(group="("), "no regular expression"),
        (Rule(group=r"a\d"), "1 of 3 names of images do not have it, for example b.png"),
        (Rule(group="."), "nothing would be left for"),
        (Rule(group=r"\.png"), "3 images in 1 groups cannot be parted at 0.2"),
    ):
        if said.startswith("nothing"):
            rule = Rule(group=r"png$")
        with pytest.raises(DataError) as caught:
            split(data, root, "train", out, rule, force=False)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not out.exists()
    with pytest.raises(DataError, match="shapes is drawn"):
        split(Shapes(kind="shapes"), root, "train", out, Rule(), force=False)
    split(data, root, "train", out, Rule(0.4), force=False)
    with pytest.raises(DataError, match="is there already"):
        split(data, root, "train", out, Rule(0.4), force=False)


def test_copies_by_size_middle_and_all(tmp_path: Path) -> None:
    texts = [b"a" * 9000, b"a" * 8999 + b"b", b"a" * 4500 + b"b" + b"a" * 4499, b"a" * 9000, b"a"]
    for index, text in enumerate(texts):
        (tmp_path / str(index)).write_bytes(text)
    os.mkfifo(tmp_path / "pipe")
    paths = [str(tmp_path / name) for name in ("0", "1", "2", "3", "4", "gone", "pipe", "pipe")]
    assert shared.copies(paths) == [[0, 3]]


def test_what_splits_share(tmp_path: Path) -> None:
    for name, text in (("a", b"one"), ("b", b"two"), ("c", b"one"), ("d", b"six")):
        (tmp_path / name).write_bytes(text)
    train, val = (shared.places(tmp_path, names) for names in ("ab", "bcd"))
    assert shared.sentences([train, val], content=False) == [
        f"1 of the 3 val images are train images too, for example {tmp_path}/b"
    ]
    assert shared.sentences([train, val], content=True)[1:] == [
        "1 of the 3 val images are copies of train images, for example "
        f"{tmp_path}/c of {tmp_path}/a"
    ]
    assert shared.sentences([train], content=True) == []
