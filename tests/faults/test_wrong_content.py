"""Stored files with a right checksum and a content that no detbench wrote.

Seen: tracebacks of sorting, rounding and dates in `results list`, `report` and `check`. Right: they
are damaged files, whose cells count as missing, and are told in a line.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import asdict
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

A = "a" * 64
Change = Callable[[dict[str, Any]], dict[str, Any]]


def record(digest: str = A) -> dict[str, Any]:
    row = Measurement(digest, "train-eval", "AP", 0.25, "fraction", {"images": 4}, 0)
    plain = asdict(row)
    return plain | {name: json.dumps(plain[name]) for name in ("protocol", "provenance")}


def file(records: list[dict[str, Any]]) -> bytes:
    """A file of these rows, with the checksum that they have."""
    columns = {name: [one[name] for one in records] for name in records[0]}
    about = {
        schema.VERSION_KEY: str(schema.SCHEMA_VERSION).encode(),
        schema.CHECKSUM_KEY: schema._checksum(columns).encode(),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records).replace_schema_metadata(about), sink)
    return bytes(sink.getvalue())


def without(name: str) -> Change:
    return lambda one: {key: value for key, value in one.items() if key != name}


def with_(**more: Any) -> Change:
    return lambda one: one | more


CHANGES = {
    "text as a number": with_(value="0.25"),
    "infinite": with_(value=float("inf")),
    "not a number": with_(value=float("nan")),
    "whole number": with_(value=1),
    "text as a seed": with_(seed="0"),
    "fraction as a seed": with_(seed=0.5),
    "unknown status": with_(status="finished"),
    "unknown kind": with_(kind="train"),
    "number as a text": with_(metric=7),
    "no JSON": with_(protocol="{"),
    "a list as protocol": with_(protocol="[1]"),
    "a number as provenance": with_(provenance="3"),
    "a list as recipe": with_(provenance='{"recipe": [1]}'),
    "a number as device": with_(provenance='{"device": 5}'),
    "no time": with_(provenance='{"ended": "yesterday"}'),
    "a number as time": with_(provenance='{"started": 5}'),
    "no value": without("value"),
    "no seed": without("seed"),
    "no status": without("status"),
    "no provenance": without("provenance"),
    "another column": with_(more=1),
}


def test_as_it_is_written_it_is_read() -> None:
    assert schema.from_bytes(file([record()]), "")[0].value == 0.25


@pytest.mark.parametrize("name", CHANGES)
def test_it_is_damaged(name: str) -> None:
    with pytest.raises(Damaged) as error:
        schema.from_bytes(file([CHANGES[name](record())]), "")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("found", [5, {"a": 1}, [1], [{"image_id": 1}]])
@pytest.mark.parametrize("odd", ["score", "bbox", "image_id"])
def test_odd_detections_are_damaged(tmp_path: Path, found: Any, odd: str) -> None:
    box = {"image_id": 1, "category_id": 2, "bbox": [0.5, 1, 2, 3], "score": 0.25}
    store = Store(tmp_path)
    store.add([Measurement(A, "train-eval", "AP", 0.25, "fraction")])
    path = store.cells / f"train-eval-{A}.detections.json.gz"
    for content in (found, [box | {odd: "1"}], [box | {odd: [float("inf")] * 4}]):
        path.write_bytes(gzip.compress(json.dumps(content).encode()))
        with pytest.raises(StoreError, match="is damaged"):
            store.detections(A)


def test_commands_say_so_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = made_cell.TASK.digest
    store = Store(tmp_path)
    store.cells.mkdir()
    path = store.cells / f"train-eval-{digest}.parquet"
    path.write_bytes(file([CHANGES["text as a seed"](record(digest))]))
    for command, code in (("list", 0), ("verify", 1)):
        with pytest.raises(SystemExit) as ended:
            main(["results", command, "--results", str(tmp_path)])
        assert ended.value.code == code
        assert "damaged" in "".join(capsys.readouterr())
    assert store.status(digest) == "missing"
