"""The folder of ``detbench train``: one training at a time, and other files are not replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Call

from detbench.training import loop

SETTINGS = (
    *("data.train=8", "data.val=3", "data.size=64", "training.iterations=2", "training.batch=2"),
    *("training.weights=none", "training.input.short=64", "training.input.long=64"),
)
TRAIN = ["train", "fcos-r50", "--profile", "smoke", "--out", "here"]
TRAIN += [part for one in SETTINGS for part in ("--set", one)]


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_step", lambda *_: pytest.fail("it trained"))


HOLD = """
import sys
from pathlib import Path
from detbench.results.files import Lock
lock = Lock(Path("here/lock"))
assert lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("never")
def test_a_second_training_into_a_folder_is_refused_in_one_line(call: Call) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        code, out, err = call(*TRAIN)
        other.stdin.close()
    said = "detbench: here: another process trains there: wait for it, or choose another folder"
    assert (code, out, err.splitlines()[-1]) == (2, "", said)


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("weights.pt", "mine"),
        ("detections.json.gz", "mine"),
        ("curve.jsonl", "mine"),
        ("first.json", '{"mine": 1}'),
        ("lock", "mine"),
    ],
)
def test_what_is_not_of_a_training_is_not_replaced(
    call: Call, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / name
    path.write_text(text)
    code, _, err = call(*TRAIN)
    assert (code, path.read_text()) == (2, text)
    said = f"here/{name} is there already, and is not of this training: choose another folder"
    assert said in err.splitlines()[-1]


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize("name", ["lock", "curve.jsonl", "weights.pt", "checkpoint.pt"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_file_is_said_before_the_training(
    call: Call, tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / "here" / name
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    code, _, err = call(*TRAIN)
    assert code == 2
    assert f"here/{name}: a " in err.splitlines()[-1]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.usefixtures("never")
def test_a_file_in_place_of_the_folder(call: Call, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("mine")
    code, _, err = call(*TRAIN)
    assert (code, err.splitlines()[-1]) == (2, "detbench: here: a file: name a folder")


def test_what_a_killed_training_left_is_taken_over(call: Call, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "curve.jsonl").write_text('{"iteration": 1, "lr": 0.1, "total": 2.0}\n{"itera')
    (here / "first.json").write_text('{"losses": {}}')
    (here / "lock").touch()
    assert call(*TRAIN)[0] == 0
    assert len((here / "curve.jsonl").read_text().splitlines()) == 2
    assert not (here / "lock").exists()
