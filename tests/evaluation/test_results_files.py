from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from detbench.errors import DataError, StoreError
from detbench.evaluation import results

ONE = [{"image_id": 1, "category_id": 3, "bbox": [0.5, 1.25, 10.125, 7.0], "score": 0.123456789}]


@pytest.mark.parametrize("name", ["a.json", "deep/er/a.json.gz"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    results.write(path, ONE)
    assert results.read(path) == ONE
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_compressed_is_gzip_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    results.write(tmp_path / "a.json.gz", ONE)
    results.write(tmp_path / "b.json.gz", ONE)
    data = (tmp_path / "a.json.gz").read_bytes()
    assert json.loads(gzip.decompress(data)) == ONE
    assert data == (tmp_path / "b.json.gz").read_bytes()


@pytest.mark.parametrize("keep", [1, 15, 40])
def test_truncated_files_are_one_line(tmp_path: Path, keep: int) -> None:
    for name in ("a.json", "a.json.gz"):
        results.write(tmp_path / name, ONE * 50)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
        with pytest.raises(DataError, match=r"truncated or not JSON") as caught:
            results.read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        results.read(tmp_path / "none.json")
    with pytest.raises(DataError, match="cannot be read"):
        results.read(tmp_path)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.write(tmp_path / "a.json", ONE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no space left while writing"):
        results.write(tmp_path / "a.json", [])
    monkeypatch.undo()
    assert results.read(tmp_path / "a.json") == ONE
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
