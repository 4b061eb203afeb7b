"""What one stored number is, and its form in a parquet file.

A file holds the rows of one cell. Its metadata name the schema's version and a checksum of the
rows, so that an older file can be migrated, a newer one refused, and a damaged one noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

from detbench.errors import StoreError

SCHEMA_VERSION = 1
"""Raise it when the columns change, and add the step from the version before to MIGRATIONS."""

VERSION_KEY = b"detbench_schema"
CHECKSUM_KEY = b"detbench_sha256"

Kind = Literal["train-eval", "cost"]
Status = Literal["done", "failed", "skipped"]
KINDS: tuple[Kind, ...] = ("train-eval", "cost")
STATUSES: tuple[Status, ...] = ("done", "failed", "skipped")
PARTS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("recipe", "first"), (dict,)),
    **dict.fromkeys(("started", "ended", "device", "git", "detections"), (str,)),
}
"""Parts of protocol and provenance that are read -> the types they have."""


@dataclass(frozen=True)
class Measurement:
    """One number of one cell, with how it was measured.

    Attributes:
        digest: sha256 hex of everything that determines the cell's outcome.
        kind: ``train-eval`` or ``cost``.
        metric: ``AP``, ``APs``, ``gflops``, ...; ``cell`` in the only row of a failed cell.
        value: the number in ``unit``; none where it could not be measured: ``reason`` says why.
        unit: ``fraction`` (of 1), ``GFLOPs``, ``M`` (millions), ...
        protocol: data set, split, thresholds, counter, input: what another number has to share
            to be comparable.
        seed: of the cell; none where chance plays no part.
        status: ``done``, ``failed`` or ``skipped``.
        reason: why there is no value, in a sentence; else empty.
        provenance: recipe, versions, git commit, device, threads, times.
    """

    digest: str
    kind: Kind
    metric: str
    value: float | None
    unit: str
    protocol: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    status: Status = "done"
    reason: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)


LARGEST = 1 << 28
"""Bytes of a cell's rows in memory; a thousand rows of a long recipe are a tenth of it."""

FIELDS = frozenset(one.name for one in fields(Measurement))

Record = dict[str, Any]
"""A row as stored: the fields of ``Measurement`` with ``protocol`` and ``provenance`` as JSON."""

MIGRATIONS: dict[int, Callable[[list[Record]], list[Record]]] = {}
"""Version -> the function that brings that version's records to the next one."""


class Damaged(Exception):
    """A measurement file is truncated, garbled or not ours."""


def to_bytes(rows: list[Measurement]) -> bytes:
    """The parquet file of one cell's rows (at least one, all of one digest)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [_record(row) for row in rows]
    metadata = {
        VERSION_KEY: str(SCHEMA_VERSION).encode(),
        CHECKSUM_KEY: _checksum(records).encode(),
    }
    schema = pa.schema(
        [
            ("digest", pa.string()),
            ("kind", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("unit", pa.string()),
            ("protocol", pa.string()),
            ("seed", pa.int64()),
            ("status", pa.string()),
            ("reason", pa.string()),
            ("provenance", pa.string()),
        ],
        metadata=metadata,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records, schema=schema), sink, compression="zstd")
    return bytes(sink.getvalue())


def from_bytes(content: bytes, where: str) -> list[Measurement]:
    """Rows of a measurement file, brought to the present schema.

    Args:
        content: the whole file.
        where: its path, for messages.

    Raises:
        Damaged: the file cannot be read, or its rows are not those that were written.
        StoreError: it was written by a newer detbench.
    """
    metadata, records = _parse(content)
    version = _version(metadata)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{where} was written by a newer detbench (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}): upgrade detbench or use another --results folder"
        )
    if metadata.get(CHECKSUM_KEY, b"").decode("ascii", "replace") != _checksum(records):
        raise Damaged("its rows do not match its checksum")
    while version < SCHEMA_VERSION:
        if version not in MIGRATIONS:
            raise Damaged(f"no migration from schema {version}")
        records = MIGRATIONS[version](records)
        version += 1
    try:
        said: dict[str, Any] = {}
        found = [_measurement(record, said) for record in records]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Damaged(f"a row is not as it should be: {error}") from error
    for row in found:
        if fault := _fault(row):
            raise Damaged(f"a row is not as it should be: {fault}")
    return found


def _parse(content: bytes) -> tuple[dict[bytes, bytes], list[Record]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not read_table: that imports pandas.
        file = pq.ParquetFile(pa.BufferReader(content))
        _bounded(file.metadata, len(content))
        table = file.read(use_threads=False)
        records: list[Record] = table.to_pylist()
    # On garbled bytes pyarrow raises whatever it stumbles over: ArrowInvalid, OSError,
    # UnicodeDecodeError, ValueError, MemoryError. All mean the same here, and the caller names
    # the file to the user.
    except Exception as error:
        raise Damaged(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not records:
        raise Damaged("it has no rows")
    return dict(table.schema.metadata or {}), records


def _bounded(about: Any, size: int) -> None:
    """Refuse a file that says itself how large it would become, each row with its own texts."""
    groups = (about.row_group(index) for index in range(about.num_row_groups))
    unpacked = about.num_rows * sum(one.total_byte_size for one in groups)
    if unpacked > LARGEST:
        raise Damaged(
            f"its {size / 1e6:.1f} MB are up to {unpacked / 1e6:,.0f} MB in memory, and at most "
            f"{LARGEST / 1e6:,.0f} MB are read"
        )


def _version(metadata: dict[bytes, bytes]) -> int:
    try:
        return int(metadata[VERSION_KEY])
    except (KeyError, ValueError) as error:
        raise Damaged("it is not a measurement file of detbench") from error


def _checksum(records: list[Record]) -> str:
    """Of the rows as JSON: keys sorted, no spaces. Their long texts are mostly the same, so each is
    written once.
    """
    known: dict[str, str] = {}

    def written(value: Any) -> str:
        if value is None:
            return "null"
        if type(value) is int or (type(value) is float and math.isfinite(value)):
            return repr(value)
        if not isinstance(value, str):
            # A garbled file may hold types that JSON does not know; they are not what was written.
            return json.dumps(value, sort_keys=True, separators=(",", ":"), default=repr)
        if value not in known:
            known[value] = json.dumps(value)
        return known[value]

    rows = (
        ",".join(f"{written(name)}:{written(value)}" for name, value in sorted(one.items()))
        for one in records
    )
    text = "[{" + "},{".join(rows) + "}]"
    return hashlib.sha256(text.encode()).hexdigest()


def _record(row: Measurement) -> Record:
    record = asdict(row)
    for name in ("protocol", "provenance"):
        record[name] = json.dumps(record[name], sort_keys=True)
    return record


def _measurement(record: Record, said: dict[str, Any]) -> Measurement:
    """A row; ``said`` remembers what JSON says, which the rows of a cell mostly share."""
    if lacking := FIELDS - record.keys():
        raise KeyError(f"there is no column {', '.join(sorted(lacking))}")
    values = dict(record)
    for name in ("protocol", "provenance"):
        text = values[name]
        if text not in said:
            said[text] = _object(text)
        values[name] = said[text]
    return Measurement(**values)


def _fault(row: Measurement) -> str:
    """What a stored row has that none was written with; empty if nothing."""
    texts = (row.digest, row.kind, row.metric, row.unit, row.status, row.reason)
    if not all(isinstance(one, str) for one in texts):
        return "a text is none"
    if row.kind not in KINDS:
        return f"kind '{row.kind}' is none of {', '.join(KINDS)}"
    if row.status not in STATUSES:
        return f"status '{row.status}' is none of {', '.join(STATUSES)}"
    if not (row.value is None or (type(row.value) is float and math.isfinite(row.value))):
        return f"the value of {row.metric} is {row.value!r}, no finite number"
    if not (row.seed is None or type(row.seed) is int):
        return f"the seed is {row.seed!r}, no whole number"
    return ""


def _object(text: str) -> dict[str, Any]:
    """A protocol or provenance from its JSON.

    Raises:
        ValueError: it is none, or a part of it is of a type that its readers do not take.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("protocol and provenance are no objects")
    for name, kinds in PARTS.items():
        part = found.get(name)
        if part is not None and type(part) not in kinds:
            raise ValueError(f"{name} is {type(part).__name__}")
    for name in ("started", "ended"):
        datetime.fromisoformat(found.get(name) or "2026-01-01")
    return found
