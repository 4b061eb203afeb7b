"""The clock set back by years, and files from the future: nothing but what is printed depends on
it, neither locks nor resuming, the time left, or what is done.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

import made_cell
import pytest
from faulty_disk import Disk

from detbench.errors import StoreError
from detbench.recipe import catalogue
from detbench.results.files import Lock
from detbench.results.store import Store
from detbench.runner.display import Estimate

YEAR = 365 * 24 * 3600.0


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock shows an hour less than the one before."""
    start = time.time()
    looks = itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: start - 3600.0 * next(looks))


def _age(root: Path, seconds: float) -> None:
    for path in root.rglob("*"):
        os.utime(path, (time.time() + seconds,) * 2)


@pytest.mark.parametrize("seconds", [-30 * YEAR, 30 * YEAR])
@pytest.mark.usefixtures("backwards")
def test_a_run_resumes_to_the_same_bits_and_then_has_nothing_to_do(
    tmp_path: Path, seconds: float
) -> None:
    assert made_cell.run(tmp_path / "whole") == 0
    root = tmp_path / "results"
    disk = Disk(root)
    with disk.mounted():
        made_cell.run(tmp_path / "results")
    half = Disk(tmp_path / "half", len(disk.done) // 2)
    with half.mounted(), pytest.raises(StoreError):
        made_cell.run(tmp_path / "half")
    _age(tmp_path / "half", seconds)
    assert list((tmp_path / "half").rglob("checkpoint.pt"))
    assert made_cell.run(tmp_path / "half") == 0
    assert made_cell.content(tmp_path / "half") == made_cell.content(tmp_path / "whole")
    _age(tmp_path / "half", seconds)
    store = Store(tmp_path / "half")
    before = {path: path.stat().st_mtime_ns for path in store.cells.iterdir()}
    assert store.status(made_cell.TASK.digest) == "done"
    assert made_cell.run(tmp_path / "half") == 0
    assert {path: path.stat().st_mtime_ns for path in store.cells.iterdir()} == before


@pytest.mark.usefixtures("backwards")
def test_locks_are_not_kept_by_dates(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire()
    _age(tmp_path, -30 * YEAR)  # however old, it is held
    began = time.monotonic()
    assert not second.acquire(0.1)
    assert 0.1 <= time.monotonic() - began < 20
    threading.Timer(0.1, first.release).start()
    assert second.acquire(20)
    second.release()


@pytest.mark.usefixtures("backwards")
def test_the_time_left_is_never_negative() -> None:
    estimate = Estimate(1, [10.0, 12.0])
    assert estimate.left([(100.0, None)], 1) == pytest.approx(11 / 1)
    assert estimate.left([(1.0, 3.0)], 0) == 3.0


def test_a_recipe_with_an_older_date_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of recipes is known by their dates being equal, not by being later."""
    recipe = tmp_path / "recipes" / "own.toml"
    recipe.parent.mkdir()
    recipe.write_text("id = 'a'")
    monkeypatch.setattr(catalogue.load, "root", lambda: recipe.parent)
    key = catalogue.key()
    recipe.write_text("id = 'b'")
    os.utime(recipe, (1.0, 1.0))
    assert catalogue.key() != key
