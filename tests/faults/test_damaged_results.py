"""A results file truncated at any length, garbled at any byte, of an older or a newer schema."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_cell
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detbench.cli.main import main
from detbench.errors import StoreError
from detbench.results import schema
from detbench.results.schema import Damaged, Measurement
from detbench.results.store import Store

A, B = "a" * 64, "b" * 64


def _row(digest: str) -> Measurement:
    return Measurement(digest, "train-eval", "AP", 0.25, "fraction", {"images": 4}, 0)


@pytest.fixture
def store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Store:
    caplog.set_level(logging.CRITICAL, "detbench")
    store = Store(tmp_path / "results")
    store.add([_row(A)])
    store.add([_row(B)])
    return store


def _path(store: Store, digest: str = B) -> Path:
    return store.cells / f"train-eval-{digest}.parquet"


def _judge(content: bytes) -> None:
    """Garbled content is damaged, or refused in one line; it is never taken for other numbers."""
    said = ""
    try:
        assert schema.from_bytes(content, "file") == [_row(B)]
    except Damaged as error:  # the store treats that as missing
        said = f"damaged: {error}"
    except StoreError as error:  # the version's own digit was garbled to a newer one
        said = str(error)
    assert not said or said.startswith(("damaged: ", "file was written by a newer detbench"))


def test_truncated_at_every_length(store: Store) -> None:
    content = _path(store).read_bytes()
    for length in range(len(content)):
        with pytest.raises(Damaged):
            schema.from_bytes(content[:length], "file")
        if length % 100 == 0:
            _path(store).write_bytes(content[:length])
            assert store.status(B) == "missing"
    assert store.status(A) == "done"


def test_garbled_at_every_byte(store: Store) -> None:
    content = _path(store).read_bytes()
    for place in range(len(content)):
        garbled = bytearray(content)
        garbled[place] ^= 0xFF
        _judge(bytes(garbled))


@pytest.mark.parametrize("size", [8, 64, 512])
def test_regions_of_zeros(store: Store, size: int) -> None:
    content = _path(store).read_bytes()
    for place in range(0, len(content), size):
        _judge(content[:place] + bytes(size) + content[place + size :])


@pytest.mark.parametrize("pattern", ["*.parquet", "*.json.gz", "*"])
def test_the_same_command_measures_again_what_was_damaged(tmp_path: Path, pattern: str) -> None:
    root = tmp_path / "results"
    assert made_cell.run(root) == 0
    whole = made_cell.content(root)
    for path in Store(root).cells.glob(pattern):
        path.write_bytes(path.read_bytes()[:50])
    digest = made_cell.TASK.digest
    if pattern == "*.json.gz":
        # The numbers are whole, so nothing runs; whoever needs the detections is told.
        with pytest.raises(StoreError, match=r"is damaged.*--fresh"):
            Store(root).detections(digest)
        Store(root).discard(digest, made_cell.TASK.work)
    assert made_cell.run(root) == 0
    assert made_cell.content(root) == whole


def _older(rows: list[dict[str, Any]]) -> bytes:
    """A file as a version 0 wrote it: AP in percent, and no reasons."""
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    about = {
        schema.VERSION_KEY: b"0",
        schema.CHECKSUM_KEY: hashlib.sha256(text.encode()).hexdigest().encode(),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(about), sink)
    return bytes(sink.getvalue())


def _record() -> dict[str, Any]:
    names = ("digest", "kind", "metric", "seed", "status")
    record = {name: getattr(_row(B), name) for name in names}
    empty = {"protocol": '{"images": 4}', "provenance": "{}"}
    return record | empty | {"value": 25.0, "unit": "percent"}


def _migrate(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    change = {"unit": "fraction", "reason": ""}
    return [one | change | {"value": one["value"] / 100} for one in records]


def test_an_older_schema_is_migrated_as_it_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _older([_record()])
    _path(store).write_bytes(content)
    assert store.status(B) == "missing"
    monkeypatch.setitem(schema.MIGRATIONS, 0, _migrate)
    assert store.rows([B]) == [_row(B)]
    assert _path(store).read_bytes() == content
    # Damage is noticed before a migration could hide it.
    garbled = content.replace(b"percent", b"per_ent")
    assert garbled != content
    _path(store).write_bytes(garbled)
    assert Store(store.root).status(B) == "missing"


def test_a_migration_that_leaves_something_out_is_noticed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _path(store).write_bytes(_older([_record()]))
    monkeypatch.setitem(schema.MIGRATIONS, 0, lambda records: [{"digest": B}] * len(records))
    assert store.status(B) == "missing"


def test_a_newer_schema_is_refused_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measuring again would overwrite what a newer detbench wrote."""
    root = tmp_path / "results"
    assert made_cell.run(root) == 0
    [path] = Store(root).cells.glob("*.parquet")
    row, *_ = schema.from_bytes(path.read_bytes(), "")
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    newer = schema.to_bytes([replace(row, value=0.5)])
    monkeypatch.undo()
    path.write_bytes(newer)
    with pytest.raises(StoreError, match="was written by a newer detbench"):
        made_cell.run(root)
    assert path.read_bytes() == newer
    capsys.readouterr()
    words = ["tscode-table1", "--profile", "smoke", "--rows", "FCOS", "--results", str(root)]
    words += [f"--set={change}" for change in made_cell.SMALL]
    with pytest.raises(SystemExit) as ended:
        main(["report", *words])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert any(line.startswith(f"detbench: {path} was written by a newer") for line in lines)
