"""What one stored number is, and its form in a parquet file.

A file holds the rows of one cell. Its metadata name the schema's version and a checksum of the
rows, so that an older file can be migrated, a newer one refused, and a damaged one noticed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

from detbench.errors import StoreError

SCHEMA_VERSION = 1
"""Raise it when the columns change, and add the step from the version before to MIGRATIONS."""

VERSION_KEY = b"detbench_schema"
CHECKSUM_KEY = b"detbench_sha256"

Kind = Literal["train-eval", "cost", "latency"]
Status = Literal["done", "failed", "skipped"]
KINDS: tuple[Kind, ...] = ("train-eval", "cost", "latency")
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
        kind: ``train-eval``, ``cost`` or ``latency``.
        metric: ``AP``, ``APs``, ``gflops``, ...; ``cell`` in the only row of a failed cell.
        value: the number in ``unit``; none where it could not be measured: ``reason`` says why.
        unit: ``fraction`` (of 1), ``GFLOPs``, ``M`` (millions), ``ms``, ...
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

FIELDS = tuple(one.name for one in fields(Measurement))
OBJECTS = ("protocol", "provenance")
TEXTS = ("digest", "kind", "metric", "unit", "status", "reason", *OBJECTS)

Record = dict[str, Any]
"""A row as stored: the fields of ``Measurement`` with ``protocol`` and ``provenance`` as JSON."""

Columns = dict[str, list[Any]]
"""Rows by column."""

MIGRATIONS: dict[int, Callable[[list[Record]], list[Record]]] = {}
"""Version -> the function that brings that version's records to the next one."""


class Damaged(Exception):
    """A measurement file is truncated, garbled or not ours."""


def to_bytes(rows: list[Measurement]) -> bytes:
    """The parquet file of one cell's rows (at least one, all of one digest)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _columns(rows)
    metadata = {
        VERSION_KEY: str(SCHEMA_VERSION).encode(),
        CHECKSUM_KEY: _checksum(columns).encode(),
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
    made = pa.Table.from_pydict(columns, schema=schema)
    # Statistics hold the least and the greatest text of every column, a recipe twice, unpacked.
    pq.write_table(made, sink, compression="zstd", write_statistics=False)
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
    metadata, columns = _parse(content)
    version = _version(metadata)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{where} was written by a newer detbench (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}): upgrade detbench or use another --results folder"
        )
    if metadata.get(CHECKSUM_KEY, b"").decode("ascii", "replace") != _checksum(columns):
        raise Damaged("its rows do not match its checksum")
    while version < SCHEMA_VERSION:
        if version not in MIGRATIONS:
            raise Damaged(f"no migration from schema {version}")
        columns = _migrated(columns, MIGRATIONS[version])
        version += 1
    try:
        return _measurements(columns)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Damaged(f"a row is not as it should be: {error}") from error


def _parse(content: bytes) -> tuple[dict[bytes, bytes], Columns]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not read_table: that imports pandas.
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        _bounded(file.metadata, len(content))
        table = file.read(use_threads=False)
        # By column, not by row, here and below: a store has hundreds of thousands of rows.
        columns: Columns = table.to_pydict()
    # On garbled bytes pyarrow raises whatever it stumbles over: ArrowInvalid, OSError,
    # UnicodeDecodeError, ValueError, MemoryError. All mean the same here, and the caller names
    # the file to the user.
    except Exception as error:
        raise Damaged(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not table.num_rows:
        raise Damaged("it has no rows")
    return dict(table.schema.metadata or {}), columns


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


def _migrated(columns: Columns, step: Callable[[list[Record]], list[Record]]) -> Columns:
    rows = zip(*columns.values(), strict=True)
    records = step([dict(zip(columns, row, strict=True)) for row in rows])
    return {name: [one[name] for one in records] for name in records[0]}


def _checksum(columns: Columns) -> str:
    """Of the rows as a JSON list of objects: keys sorted, no spaces."""
    written = [_written(name, columns[name]) for name in sorted(columns)]
    text = "[{" + "},{".join(map(",".join, zip(*written, strict=True))) + "}]"
    return hashlib.sha256(text.encode()).hexdigest()


def _written(name: str, values: list[Any]) -> list[str]:
    """Each row's ``"name":value``; the long texts are mostly the same, so each is written once."""
    head = json.dumps(name) + ":"
    if set(map(type, values)) == {str}:
        known = {one: head + json.dumps(one) for one in set(values)}
        return [known[one] for one in values]
    return [head + _json(one) for one in values]


def _json(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return repr(value)
    # A garbled file may hold types that JSON does not know; they are not what was written.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=repr)


def _columns(rows: list[Measurement]) -> Columns:
    """What is stored of rows; what they share is written as JSON once."""
    columns: Columns = {name: [getattr(row, name) for row in rows] for name in FIELDS}
    for name in OBJECTS:
        said = {id(one): one for one in columns[name]}
        texts = {key: json.dumps(one, sort_keys=True) for key, one in said.items()}
        columns[name] = [texts[id(one)] for one in columns[name]]
    return columns


def _measurements(columns: Columns) -> list[Measurement]:
    """The rows.

    Raises:
        KeyError, TypeError, ValueError: a column is missing, or has what none is written with.
    """
    if lacking := set(FIELDS) - columns.keys():
        raise KeyError(f"there is no column {', '.join(sorted(lacking))}")
    if len(columns) > len(FIELDS):
        raise TypeError(f"there is a column {', '.join(sorted(columns.keys() - set(FIELDS)))}")
    if fault := _fault(columns):
        raise ValueError(fault)
    read = dict(columns)
    for name in OBJECTS:
        said = {text: _object(text) for text in set(columns[name])}
        read[name] = [said[text] for text in columns[name]]
    return [Measurement(*row) for row in zip(*(read[name] for name in FIELDS), strict=True)]


def _fault(columns: Columns) -> str:
    """What stored rows have that none were written with; empty if nothing."""
    for name in TEXTS:
        if set(map(type, columns[name])) != {str}:
            return "a text is none"
    for name, known in (("kind", KINDS), ("status", STATUSES)):
        if odd := set(columns[name]).difference(known):
            return f"{name} '{min(odd)}' is none of {', '.join(known)}"
    for metric, value in zip(columns["metric"], columns["value"], strict=True):
        if not (value is None or (type(value) is float and math.isfinite(value))):
            return f"the value of {metric} is {value!r}, no finite number"
    for seed in columns["seed"]:
        if not (seed is None or type(seed) is int):
            return f"the seed is {seed!r}, no whole number"
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
