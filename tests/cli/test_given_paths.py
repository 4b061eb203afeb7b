"""What users give for files: devices and pipes to write to, empty and impossible names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import Call
from made_coco import make_coco
from made_yolo import make_yolo

from detbench import inputs
from detbench.data.convert import write_file
from detbench.errors import StoreError
from detbench.results.files import write_atomic

ODD = ("pipe", "null", "stdout")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with a pipe, a link to a device, and one to a process's stream."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    return tmp_path


@pytest.mark.parametrize("name", ODD)
def test_no_file_is_no_target(odd: Path, name: str) -> None:
    before = (odd / name).lstat()
    with pytest.raises(StoreError, match=f"{name} is no regular file, but a .*: name a file"):
        write_atomic(odd / name, b"x")
    with pytest.raises(inputs.NoFile):
        write_file(odd / name, b"x")
    assert (odd / name).lstat().st_ino == before.st_ino
    assert sorted(os.listdir(odd)) == sorted(ODD)


def test_a_link_to_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").read_bytes() == b"new"
    assert (tmp_path / "file").read_bytes() == b"old"


def test_commands_refuse_pipes(call: Call, tmp_path: Path) -> None:
    make_coco(tmp_path / "data", images=4)
    os.mkfifo(tmp_path / "pipe.toml")
    code, _, err = call("copy", "tscode-table1", "pipe.toml", "--force")
    assert (code, err.count("\n")) == (2, 1)
    assert "is no regular file, but a named pipe" in err
    target = tmp_path / "out" / "annotations" / "instances_val.json"
    target.parent.mkdir(parents=True)
    os.mkfifo(target)
    words = ("data", "convert", "coco", "out", "--split", "val", "--data-root", "data", "--force")
    code, _, err = call(*words)
    assert (code, err.strip().count("\n")) == (2, 0)
    assert "is no regular file, but a named pipe" in err
    assert target.is_fifo()


def test_an_image_that_is_a_pipe_is_not_waited_for(call: Call, tmp_path: Path) -> None:
    make_coco(tmp_path / "data", images=4)
    image = next(iter(sorted((tmp_path / "data" / "coco" / "val2017").iterdir())))
    image.unlink()
    os.mkfifo(image)
    words = ("data", "convert", "coco", "out", "--split", "val", "--data-root", "data")
    code, _, err = call(*words, "--copy-images")
    assert code == 2
    assert f"image {image.relative_to(tmp_path)} cannot be read: a named pipe" in err


@pytest.mark.parametrize(
    "words",
    [
        ("report", "tscode-table1", "--output", ""),
        ("report", "tscode-table1", "--plots="),
        ("claims", "--output", ""),
        ("list", "--results", ""),
        ("data", "list", "--data-root", ""),
        ("data", "convert", "shapes", ""),
        ("data", "browse", "shapes", "--out", ""),
        ("results", "merge", ""),
        ("copy", "tscode-table1", ""),
    ],
)
def test_an_empty_path_is_a_line(call: Call, words: tuple[str, ...]) -> None:
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "it is empty: name a path" in err


@pytest.mark.parametrize("name", ["x" * 5000 + ".jpg", "a\0b.jpg"])
def test_a_name_of_no_file_is_a_missing_image(call: Call, tmp_path: Path, name: str) -> None:
    make_coco(tmp_path / "data", images=4)
    file = tmp_path / "data" / "coco" / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = name
    content["images"][1]["file_name"] = "gone.jpg"
    file.write_text(json.dumps(content))
    for more in ((), ("--no-images",)):
        code, out, _ = call(
            "data", "check", "coco", "--data-root", "data", "--format", "json", *more
        )
        [_, val] = [one for one in json.loads(out) if one["split"] != "both"]
        assert (code, len(val["problems"])) == (1, 2)
        assert all(one.endswith(" is not there") for one in val["problems"])
    for command in ("convert", "split"):
        code, _, err = call("data", command, "coco", "out", "--data-root", "data", "--split", "val")
        assert code == 2
        assert "2 of the 4 images" in err


def test_a_yolo_list_with_a_name_of_no_file(call: Call, tmp_path: Path) -> None:
    make_yolo(tmp_path / "y")
    long = "x" * 300 + ".png"
    (tmp_path / "y" / "val.txt").write_text(f"images/val/val-0.png\nimages/val/{long}\ngone.png\n")
    (tmp_path / "y" / "data.yaml").write_text(
        "train: images/train\nval: val.txt\nnames: [apple, pear, plum]\n"
    )
    code, out, _ = call("data", "check", "yolo:y/data.yaml", "--format", "json")
    found = {one["split"]: one["problems"] for one in json.loads(out)}
    assert code == 1
    assert [one.endswith(" is not there") for one in found["val"][:2]] == [True, True]
