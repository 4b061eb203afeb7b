"""A disk that fills up during any write of a run: one line, and then the same command goes on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import made_cell
import namespace
import pytest
from faulty_disk import Disk

from detbench.errors import StoreError
from detbench.results.store import Store

FULL = os.environ.get("DETBENCH_FUZZ") == "full"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an undisturbed run leaves."""
    root = tmp_path_factory.mktemp("whole") / "results"
    assert made_cell.run(root) == 0
    return made_cell.content(root)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def _writes(root: Path) -> list[int]:
    """Numbers of the operations to fail: all, or of torch's many small writes first and last."""
    disk = Disk(root)
    with disk.mounted():
        assert made_cell.run(root) == 0
    last = len(disk.done)
    numbers = range(1, last + 1)
    if FULL:
        return list(numbers)
    alike = [{*disk.done[number - 2 : number + 1]} for number in numbers]
    return [n for n, names in zip(numbers, alike, strict=True) if len(names) > 1 or n in (1, last)]


def _fail_at(number: int, root: Path, once: bool, whole: dict[str, Any]) -> str:
    """Run with that write failing, then without; what was said."""
    disk, said = Disk(root, number, once), ""
    with disk.mounted():
        try:
            assert made_cell.run(root) == 0
        except StoreError as error:
            said = str(error)
    assert disk.failed
    # A full disk is no property of the cell: it must never be stored as failed.
    assert Store(root).status(made_cell.TASK.digest) in ("missing", "done")
    assert made_cell.run(root) == 0
    assert made_cell.content(root) == whole
    assert not list(root.rglob("*.tmp"))
    return said


@pytest.mark.parametrize("once", [False, True], ids=["from then on", "once"])
def test_every_write_may_fail(tmp_path: Path, whole: dict[str, Any], once: bool) -> None:
    """Each write of a cell in turn; results afterwards equal an undisturbed run's bit for bit."""
    numbers = _writes(tmp_path / "counted")
    assert len(numbers) > 50
    said = set()
    for number in numbers:
        root = tmp_path / str(number)
        said.add(_fail_at(number, root, once, whole))
        shutil.rmtree(root)
    assert any(line.startswith("no space left while writing") for line in said)
    assert all(not line or line.startswith("no space left while writing") for line in said)


@pytest.mark.skipif(bool(namespace.why_not()), reason=namespace.why_not())
def test_a_real_disk_that_is_full_and_then_has_room(tmp_path: Path) -> None:
    """The runner and its cells as processes, where 0 to 3 pages are free."""
    said = namespace.run("small_disk.py", str(tmp_path)).splitlines()
    assert len(said) == 3
    assert all(line.startswith("no space left while writing") for line in said)
