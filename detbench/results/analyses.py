"""The files that ``detbench analyze`` leaves in a store: read, checked and merged.

    <root>/analyses/<kind>-<key>.parquet          one training's table; whole or not there
    <root>/analyses/<kind>-<key>.parts/           images that are done: an interrupted one goes on
    <root>/analyses/<kind>-<key>.lock             held while it is measured

The key is a hash of the facts that the table depends on, which stand in the file's metadata with a
checksum of its columns; files of before there was one are read without it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench.errors import StoreError
from detbench.results.files import read, reading, write_atomic, writing
from detbench.results.inventory import TEMPORARY
from detbench.results.schema import Damaged

log = logging.getLogger("detbench")
Columns = dict[str, NDArray[Any]]
FOLDER = "analyses"
METADATA = b"detbench_analysis"
CHECKSUM = b"detbench_sha256"
LARGEST = 1 << 30
"""Bytes of a table's columns in memory."""
TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "revision": (int,),
    "subject": (str,),
    "settings": (dict,),
    "images": (int, type(None)),
    "image_seed": (int, type(None)),
}
"""Facts that a table depends on -> their types."""
MORE: dict[str, tuple[type, ...]] = {"source": (str, list)}
"""Those that tables of some kinds depend on too: which detections or times they were made of."""
_NAME = re.compile(r"[a-z0-9-]+-[0-9a-f]{32}\.(parquet|parts|lock)")


@dataclass(frozen=True)
class Found:
    """What is in the folder, by names.

    Attributes:
        whole: tables.
        parts: folders of tables that are not whole.
        temporary: what a writer left that was killed, or that writes just now.
        odd: what is none of ours.
    """

    whole: tuple[Path, ...] = ()
    parts: tuple[Path, ...] = ()
    temporary: tuple[Path, ...] = ()
    odd: tuple[Path, ...] = ()


def scan(root: Path) -> Found:
    """List a store's analyses.

    Raises:
        StoreError: the folder cannot be read.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        return Found()
    found: dict[str, list[Path]] = {"parquet": [], "parts": [], "lock": [], "tmp": [], "": []}
    with reading(folder):
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            ending = match[1] if match and not path.is_symlink() else ""
            if TEMPORARY.fullmatch(path.name):
                ending = "tmp"
            elif path.is_dir() != (ending == "parts"):
                ending = ""
            found[ending].append(path)
    names = ("parquet", "parts", "tmp", "")
    return Found(*(tuple(found[name]) for name in names))


def key(facts: Mapping[str, Any]) -> str:
    """Of a table, in its file's name."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def to_bytes(table: Columns, facts: Mapping[str, Any]) -> bytes:
    """The parquet file of a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.table({name: pa.array(column) for name, column in table.items()})
    said = {METADATA: json.dumps(facts, sort_keys=True).encode()}
    said[CHECKSUM] = _checksum(table).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(made.replace_schema_metadata(said), sink, compression="zstd")
    return bytes(sink.getvalue())


def from_bytes(content: bytes) -> tuple[Columns, dict[str, Any]]:
    """A table and what its file says of it.

    Raises:
        Damaged: it cannot be read, or is not what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        about = file.metadata
        size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if size > LARGEST:
            raise Damaged(f"it is {size / 1e6:,.0f} MB in memory, more than is read")
        made = file.read(use_threads=False)
        said = made.schema.metadata or {}
        facts = json.loads(said[METADATA])
        table = {name: _column(made[name].combine_chunks()) for name in made.column_names}
    except Damaged:
        raise
    # On garbled bytes pyarrow raises whatever it stumbles over, as in ``schema``.
    except Exception as error:
        raise Damaged(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(facts, dict):
        raise Damaged("what it says of itself is no object")
    if CHECKSUM in said and said[CHECKSUM].decode("ascii", "replace") != _checksum(table):
        raise Damaged("its columns do not match its checksum")
    return table, facts


def _column(array: Any) -> NDArray[Any]:
    """A column of pyarrow's, whose own ``to_numpy`` imports pandas."""
    from pyarrow import types

    if types.is_primitive(array.type) and not array.null_count:
        dtype = np.dtype(array.type.to_pandas_dtype())
        if types.is_boolean(array.type) or not len(array):  # packed bits; no buffer
            return np.array(array.to_pylist(), dtype)
        start = dtype.itemsize * array.offset
        return np.frombuffer(array.buffers()[1], dtype, len(array), start).copy()
    found = np.empty(len(array), object)
    found[:] = array.to_pylist()
    if types.is_list(array.type):
        item = array.type.value_type.to_pandas_dtype()
        for place, one in enumerate(found):
            found[place] = np.array(one, item)
    return found


def whole(content: bytes, path: Path) -> dict[str, Any]:
    """The facts of a whole table's file, checked.

    Raises:
        Damaged: it cannot be read, a fact is of another type, or it is not what its name says.
    """
    _, said = from_bytes(content)
    for name, kinds in TYPES.items():
        if name not in said or type(said[name]) not in kinds:
            raise Damaged(f"what it says of '{name}' is missing, or of another type")
    facts = {name: said[name] for name in (*TYPES, *(one for one in MORE if one in said))}
    if any(type(facts[name]) not in MORE[name] for name in MORE if name in facts):
        raise Damaged("what it says of its source is of another type")
    if path.name != f"{facts['kind']}-{key(facts)}.parquet":
        raise Damaged("it is another analysis than its name says")
    return facts


def cell_of(facts: Mapping[str, Any]) -> str:
    """Digest of the stored cell that a table was measured of; empty of a file of weights that was
    given by its path, whose content is part of the key.
    """
    subject = str(facts["subject"])
    return "" if "@" in subject else subject


def merge(into: Path, source: Path, ours: Collection[str], fit: Collection[str]) -> list[Path]:
    """Copy the tables that are sound there and not here.

    One of a cell that has other numbers here is of other weights: it is left there, which is warned
    of, and so is a damaged one.

    Args:
        ours: digests of the cells that are done here.
        fit: those that have the numbers of the other store.

    Returns:
        The files that are new here.

    Raises:
        StoreError: a folder cannot be read or written.
    """
    copied = []
    for path in scan(source).whole:
        target = into / FOLDER / path.name
        try:
            content = read(path)
            digest = cell_of(whole(content, path))
            if target.exists() and _sound(target):
                continue
        except (Damaged, StoreError) as error:
            log.warning("warning: %s is left there: it is damaged: %s", path, error)
            continue
        if digest in ours and digest not in fit:
            log.warning(
                "warning: %s is left there: cell %s has other numbers here, of other weights",
                *(path, digest[:12]),
            )
            continue
        write_atomic(target, content)
        copied.append(target)
    return copied


def discard(root: Path, digests: Collection[str]) -> None:
    """Remove the tables of some cells."""
    for path in scan(root).whole if digests else ():
        with suppress(Damaged), writing(path):
            if cell_of(whole(read(path), path)) in digests:
                path.unlink(missing_ok=True)


def _sound(path: Path) -> bool:
    try:
        whole(read(path), path)
    except Damaged:
        return False
    return True


def _checksum(table: Columns) -> str:
    """Of the columns' names, types and values, in order."""
    whole = hashlib.sha256()
    for name, column in table.items():
        plain = column.dtype == object
        kind = "text" if plain or column.dtype.kind == "U" else column.dtype.str
        whole.update(json.dumps([name, kind, len(column)]).encode())
        if kind == "text":
            whole.update(json.dumps(column.tolist(), default=repr).encode())
        else:
            whole.update(np.ascontiguousarray(column).tobytes())
    return whole.hexdigest()
