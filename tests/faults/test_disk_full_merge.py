"""A disk that fills up while stores are merged: what was here stays, and merging again ends it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from faulty_disk import Disk

from detbench.errors import StoreError
from detbench.results import merge
from detbench.results.schema import Measurement
from detbench.results.store import Store

NEW, CONFLICT, LACKING = "a" * 64, "b" * 64, "c" * 64


def _add(root: Path, digest: str, value: float, detections: bool = True) -> None:
    row = Measurement(digest, "train-eval", "AP", value, "fraction", {"images": 4}, 0)
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": value}]
    Store(root).add([row], found if detections else None)


def _content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "cells").iterdir()}


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Ours and another one: a cell that is new, one that differs, one without detections here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for digest in (NEW, CONFLICT, LACKING):
        _add(theirs, digest, 0.5)
    _add(ours, CONFLICT, 0.25)
    _add(ours, LACKING, 0.5, detections=False)
    return ours, theirs


def test_every_write_of_a_merge_may_fail(stores: tuple[Path, Path], tmp_path: Path) -> None:
    ours, theirs = stores
    known = {CONFLICT: {0.25, 0.5}, LACKING: {0.5}}
    number, failed = 0, True
    while failed:
        number += 1
        root = shutil.copytree(ours, tmp_path / f"disk{number}")
        disk, said = Disk(root, number), "no space left while writing"
        with disk.mounted():
            try:
                list(merge.merge(root, theirs, theirs=True))
            except StoreError as error:
                said = str(error)
        assert said.startswith("no space left while writing")
        failed = bool(disk.failed)
        # A name cannot be refused on a disk that took the file, so nothing of ours is gone.
        if disk.done[-1][0] != "replace":
            for digest, values in known.items():
                stored = Store(root).get(digest)
                assert stored is not None
                assert stored.value("AP") in values
        list(merge.merge(root, theirs, theirs=True))
        assert _content(root) == _content(theirs)
    assert number > 20
