"""The YOLO layout's data.yaml, lists and labels: refused in one line, or read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_yolo import make_yolo
from malformed import budget, damaged, judge

from detbench.data.kinds import Yolo
from detbench.errors import DataError

YAML = b"""path: .
train: [images/train, own.txt]
val: images/val
nc: 3
names:
  0: a
  1: b
  2: c
"""
LABEL = b"0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.75 0.25 0.25 0.75\n"
LIST = b"./images/val/val-0.png\nimages/val/val-1.png\n"

numbers = st.one_of(
    st.floats(-2, 3).map(str),
    st.sampled_from(["nan", "inf", "-inf", "1e400", "0x1", "1_0", "", "a", "-0", "9" * 400]),
)
lines = st.lists(numbers, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("yolo")
    make_yolo(root, images=2)
    return root


def _yolo(folder: Path, yaml: bytes = YAML, label: bytes = LABEL, listed: bytes = LIST) -> bool:
    (folder / "data.yaml").write_bytes(yaml)
    (folder / "labels" / "train" / "train-0.txt").write_bytes(label)
    (folder / "own.txt").write_bytes(listed)
    data = Yolo(kind="yolo", file=str(folder / "data.yaml"))

    def use() -> None:
        if problem := data.why_missing(Path("/nowhere")):
            raise DataError(problem)
        table = data.whole("train", Path("/nowhere"))
        assert np.isfinite(table.boxes).all()
        assert np.isfinite(table.areas).all()
        assert (table.boxes[:, 2:] > 0).all()
        data.table("val", Path("/nowhere"))
        data.settled(Path("/nowhere"))

    return judge(use, "data.yaml", "train-0.txt", "own.txt", str(folder))


def test_what_these_tests_damage_is_sound(folder: Path) -> None:
    assert _yolo(folder)


@budget(60, 1500)
@given(label=st.lists(lines, max_size=4).map("\n".join).map(str.encode))
def test_numbers_of_labels(folder: Path, label: bytes) -> None:
    _yolo(folder, label=label)


@budget(60, 1000)
@given(label=damaged(LABEL))
@example(b"\xef\xbb\xbf" + LABEL)
@example(b"0 0.5 0.5 0.25 0.5\r\n")
@example("٠ 0.5 0.5 0.25 0.5\n".encode())
@example(b"0 " + b"0.5 " * 100_000)
def test_bytes_of_labels(folder: Path, label: bytes) -> None:
    _yolo(folder, label=label)


@budget(80, 1500)
@given(yaml=damaged(YAML))
@example(b"names: [a, b, c]\ntrain: images/train\nval: images/val\npath: ~nobody-of-that-name/x\n")
@example(b"names: {0: a, 0.0: b}\ntrain: images/train\nval: images/val\n")
@example(b"names: {0: a, .nan: b}\ntrain: images/train\nval: images/val\n")
@example(b"names: ['a\\n', b, c]\ntrain: images/train\nval: images/val\n")
@example(b"names: [a, b, c]\ntrain: 'images/train\\n'\nval: images/val\n")
@example(b"? [a]\n: b\n")
@example(b"? {a: b}\n: b\n")
@example(b"a: &a [*a]\nnames: *a\n")
@example(b"names: 2001-01-01\n")
@example(b"names: !!set {a}\ntrain: x\nval: x\n")
@example(b"names: " + b"9" * 6000)
def test_bytes_of_data_yaml(folder: Path, yaml: bytes) -> None:
    _yolo(folder, yaml=yaml)


@budget(40, 600)
@given(listed=damaged(LIST) | st.binary(max_size=20) | st.text(max_size=9).map(str.encode))
@example(b"../../../etc/passwd\n")
@example(b"a\x00b.png\n")
@example(b"a" * 5_000 + b".png\n")
@example(b"~/x.png\n")
@example(b"\x1b[2J.png\n")
def test_image_lists(folder: Path, listed: Any) -> None:
    _yolo(folder, listed=listed)
