"""Merging stores whose trainings of one cell came out differently.

Seen: `merge --theirs --work` left our weights beside their numbers, put their weights beside ours,
and wrote through links. Right: numbers and weights are always of one training, and what is written
at the same time by another process is never half of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from detbench import temporary
from detbench.errors import StoreError
from detbench.results import files, inventory, prune
from detbench.results import merge as merging
from detbench.results.files import Lock, cells_lock, write_atomic
from detbench.results.merge import merge
from detbench.results.merge_work import REPLACED, merge_work
from detbench.results.schema import Measurement
from detbench.results.store import Store

A = "a" * 64


def store(root: Path, value: float, weights: str | None) -> Store:
    made = Store(root)
    box = {"image_id": 1, "category_id": 2, "bbox": [0.5, 1, 2, 3], "score": value}
    made.add([Measurement(A, "train-eval", "AP", value, "fraction", seed=0)], [box])
    if weights is not None:
        folder = made.work(A)
        folder.mkdir(parents=True)
        for name in ("weights.pt", "curve.jsonl", "log.txt"):
            (folder / name).write_text(weights)
    return made


def merged(ours: Store, theirs: Store, take: bool = True) -> list[str]:
    found: list[str] = [one.action for one in merge(ours.root, theirs.root, take)]
    list(merge_work(ours.root, theirs.root))
    return found


def weights(made: Store) -> str | None:
    path = made.work(A) / "weights.pt"
    return path.read_text() if path.exists() else None


def test_their_numbers_come_with_their_weights(tmp_path: Path) -> None:
    ours, theirs = store(tmp_path / "a", 0.1, "ours"), store(tmp_path / "b", 0.2, "theirs")
    (ours.work(A) / "checkpoint.pt").write_text("ours")
    assert merged(ours, theirs) == ["replaced"]
    found = {path.name: path.read_text() for path in ours.work(A).iterdir()}
    assert found == {
        "lock": "",
        "weights.pt": "theirs",
        "curve.jsonl": "theirs",
        "log.txt": "theirs",
        REPLACED: "ours",
    }


def test_their_numbers_without_their_weights_have_none(tmp_path: Path) -> None:
    ours, theirs = store(tmp_path / "a", 0.1, "ours"), store(tmp_path / "b", 0.2, None)
    assert merged(ours, theirs) == ["replaced"]
    assert weights(ours) is None


@pytest.mark.parametrize("ours_have", ["ours", None])
def test_our_numbers_keep_our_weights_or_none(tmp_path: Path, ours_have: str | None) -> None:
    ours, theirs = store(tmp_path / "a", 0.1, ours_have), store(tmp_path / "b", 0.2, "theirs")
    assert merged(ours, theirs, take=False) == ["kept"]
    assert weights(ours) == ours_have


def test_equal_numbers_take_the_weights_that_lack(tmp_path: Path) -> None:
    ours, theirs = store(tmp_path / "a", 0.1, None), store(tmp_path / "b", 0.1, "theirs")
    ours.work(A).mkdir(parents=True)
    (ours.work(A) / "checkpoint.pt").write_text("ours")
    assert merged(ours, theirs) == ["same"]
    assert weights(ours) == "theirs"
    assert not (ours.work(A) / "checkpoint.pt").exists()


def test_what_a_run_trains_is_not_replaced(tmp_path: Path) -> None:
    ours, theirs = store(tmp_path / "a", 0.1, "ours"), store(tmp_path / "b", 0.2, "theirs")
    lock = Lock(ours.work(A) / "lock")
    assert lock.acquire()
    assert merged(ours, theirs) == ["kept"]
    lock.release()
    assert weights(ours) == "ours"


@pytest.mark.parametrize("which", ["weights.pt", "folder", "target"])
def test_no_link_is_followed(tmp_path: Path, which: str) -> None:
    ours, theirs = store(tmp_path / "a", 0.1, None), store(tmp_path / "b", 0.1, "theirs")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "weights.pt").write_text("secret")
    if which == "weights.pt":
        (theirs.work(A) / which).unlink()
        (theirs.work(A) / which).symlink_to(secret / which)
    elif which == "folder":
        theirs.work(A).rename(tmp_path / "moved")
        theirs.work(A).symlink_to(secret)
    else:
        (secret / "weights.pt").unlink()
        ours.work(A).parent.mkdir()
        ours.work(A).symlink_to(secret)
    merged(ours, theirs)
    assert weights(ours) is None
    assert list(secret.iterdir()) == ([] if which == "target" else [secret / "weights.pt"])


def test_a_link_that_leads_nowhere_is_no_file(tmp_path: Path) -> None:
    made = store(tmp_path, 0.1, None)
    (made.cells / f"train-eval-{'b' * 64}.parquet").symlink_to(tmp_path / "gone")
    assert [one.digest for one in inventory.scan(tmp_path).cells] == [A]
    assert list(made.listing()) == [A]
    assert made.status("b" * 64) == "missing"


def test_writing_a_cell_waits_for_whoever_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = store(tmp_path / "a", 0.1, None), store(tmp_path / "b", 0.2, None)
    lock = cells_lock(ours.root)
    assert lock.acquire()
    monkeypatch.setattr(files, "CELLS_PATIENCE_S", 0.05)
    with pytest.raises(StoreError, match="another process has been writing"):
        merged(ours, theirs)
    with pytest.raises(StoreError, match="another process has been writing"):
        ours.add([Measurement(A, "train-eval", "AP", 0.3, "fraction", seed=0)], [])
    lock.release()
    assert merged(ours, theirs) == ["replaced"]


def test_a_cell_that_was_written_meanwhile_is_decided_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Store(tmp_path / "a"), store(tmp_path / "b", 0.2, None)
    take = merging.locked

    def after_another(lock: Lock) -> AbstractContextManager[None]:
        ours.add([Measurement(A, "train-eval", "AP", 0.7, "fraction", seed=0)], [])
        return take(lock)

    monkeypatch.setattr(merging, "locked", after_another)
    assert merged(ours, theirs) == ["replaced"]
    ours.discard(A)
    assert merged(ours, theirs, take=False) == ["kept"]
    stored = ours.get(A)
    assert stored is not None
    assert stored.value("AP") == 0.7


def aside(path: Path, host: str, pid: int, start: str) -> Path:
    found = path.with_name(f".{path.name}.{host}.{pid}.{start}.tmp")
    found.write_text("x")
    return found


def test_temporary_files_of_the_living_and_the_dead(tmp_path: Path) -> None:
    """Seen: in another container, or once its number was given away, a writer was taken for dead,
    or for alive. Right: host and start are in the name, and what another host left is old first.
    """
    path, pid = tmp_path / "cells" / "f", os.getppid()
    path.parent.mkdir()
    host, own, _ = temporary.beside(path).name.split(".")[2:5]
    start = temporary._start(pid)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = [aside(path, host, pid, start), aside(path, "node2-0123abcd", gone.pid, "77")]
    dead = [aside(path, host, pid, "1"), aside(path, host, gone.pid, start)]
    old = aside(path, "node3-0123abcd", pid, start)
    os.utime(old, (time.time() - 2 * temporary.DEAD_S,) * 2)
    assert int(own) == os.getpid()
    assert {one for one in path.parent.iterdir() if temporary.orphaned(one)} == {*dead, old}
    assert {one.path for one in prune.plan(tmp_path)} == {*dead, old}
    write_atomic(path, b"content")
    assert set(path.parent.iterdir()) == {path, *alive}
