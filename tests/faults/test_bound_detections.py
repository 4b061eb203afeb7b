"""Detections that are not those which a cell's numbers were measured from.

Seen: a file that was swapped with another cell's, or written by another measurement of the same
cell, was compared and reported as the cell's own. Right: whoever reads it says so, without scoring.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detbench.errors import DataError, StoreError
from detbench.evaluation import results
from detbench.results import prune, schema, verify
from detbench.results.merge import merge
from detbench.results.schema import Measurement
from detbench.results.store import Store

A, B = "a" * 64, "b" * 64
BOX = {"image_id": 1, "category_id": 2, "bbox": [0.5, 1, 2, 3], "score": 0.25}


def row(digest: str, value: float = 0.25) -> Measurement:
    return Measurement(digest, "train-eval", "AP", value, "fraction", seed=0)


def path(store: Store, digest: str = A) -> Path:
    return store.cells / f"train-eval-{digest}.detections.json.gz"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The detections of two cells, swapped."""
    made = Store(tmp_path / "results")
    made.add([row(A)], [BOX])
    made.add([row(B)], [BOX | {"score": 0.5}])
    path(made, A).rename(tmp_path / "aside")
    path(made, B).rename(path(made, A))
    (tmp_path / "aside").rename(path(made, B))
    return made


def test_a_swapped_file_is_an_error_for_whoever_reads_it(store: Store) -> None:
    with pytest.raises(StoreError, match="not the detections that its numbers were measured from"):
        store.detections(A)
    with pytest.raises(DataError, match="not the detections that its numbers were measured from"):
        results.read(path(store))


def test_verify_finds_it_without_scoring(store: Store) -> None:
    found = {one.path.name: one.status for one in verify.verify(store.root)}
    assert [found[path(store, one).name] for one in (A, B)] == ["bad", "bad"]
    assert list(found.values()).count("ok") == 2


def test_merge_refuses_it_and_prune_moves_it_aside(store: Store, tmp_path: Path) -> None:
    assert {one.action for one in merge(tmp_path / "other", store.root)} == {"refused"}
    moved = {one.path for one in prune.plan(store.root) if one.action == "move"}
    assert moved == {path(store, A), path(store, B)}


def test_files_that_go_together_stay_so_when_copied(tmp_path: Path) -> None:
    made = Store(tmp_path / "results")
    made.add([row(A)], [BOX])
    shutil.copytree(made.root, tmp_path / "copy")
    assert Store(tmp_path / "copy").detections(A) == [BOX]
    assert {one.status for one in verify.verify(tmp_path / "copy")} == {"ok"}


def test_numbers_of_before_take_the_detections_beside_them(store: Store) -> None:
    """They hold no hash."""
    file = store.cells / f"train-eval-{A}.parquet"
    file.write_bytes(schema.to_bytes([row(A)]))
    assert store.detections(A) == [BOX | {"score": 0.5}]
