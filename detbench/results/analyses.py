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
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detbench.errors import StoreError
from detbench.results.files import read, reading, writing
from detbench.results.inventory import TEMPORARY
from detbench.results.schema import Damaged

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


def whole(content: bytes, path: Path) -> tuple[Columns, dict[str, Any]]:
    """A whole table and its facts, checked.

    Raises:
        Damaged: it cannot be read, a fact is of another type, or it is not what its name says.
    """
    table, facts = _checked(content)
    if path.name != f"{_name(facts)}.parquet":
        raise Damaged("it is another analysis than its name says")
    return table, facts


def part(content: bytes, path: Path) -> tuple[Columns, dict[str, Any]]:
    """A part of a table and the table's facts, checked as ``whole`` does."""
    table, facts = _checked(content)
    if path.parent.name != f"{_name(facts)}.parts":
        raise Damaged("it is of another analysis than its folder says")
    return table, facts


def _name(facts: Mapping[str, Any]) -> str:
    return f"{facts['kind']}-{key(facts)}"


def _checked(content: bytes) -> tuple[Columns, dict[str, Any]]:
    table, said = from_bytes(content)
    for name, kinds in TYPES.items():
        if name not in said or type(said[name]) not in kinds:
            raise Damaged(f"what it says of '{name}' is missing, or of another type")
    facts = {name: said[name] for name in (*TYPES, *(one for one in MORE if one in said))}
    if any(type(facts[name]) not in MORE[name] for name in MORE if name in facts):
        raise Damaged("what it says of its source is of another type")
    return table, facts


def cell_of(facts: Mapping[str, Any]) -> str:
    """Digest of the stored cell that a table was measured of; empty of a file of weights that was
    given by its path, whose content is part of the key.
    """
    subject = str(facts["subject"])
    return "" if "@" in subject else subject


@dataclass(frozen=True)
class Taken:
    """What is to be done about one table of another store, as of ``merge.Merged``.

    Attributes:
        name: of its file, without ending.
        content: that is to be written.
    """

    name: str
    action: Literal["copied", "same", "kept", "replaced", "refused"]
    message: str = ""
    content: bytes = b""


@dataclass(frozen=True)
class Sides:
    """Digests of the cells that are done in two stores.

    Attributes:
        ours: here, before anything is copied.
        theirs: in the other store.
        fit: those whose numbers are the same in both, or will be.
    """

    ours: Collection[str]
    theirs: Collection[str]
    fit: Collection[str]


def merge(into: Path, source: Path, sides: Sides, theirs: bool) -> Iterator[Taken]:
    """What to do about each table of another store.

    One that is not here, or damaged here, is copied; of two that differ ours stays, unless
    ``theirs``. One of a cell that has other numbers here is of other weights: it is refused, and so
    is one of a cell that is here and not there, of which nothing tells.

    Raises:
        StoreError: a folder cannot be read.
    """
    for path in scan(source).whole:
        try:
            content = read(path)
            table, facts = whole(content, path)
        except (Damaged, StoreError) as error:
            there = "damaged there: " if isinstance(error, Damaged) else ""
            yield Taken(path.stem, "refused", f"{there}{error}")
            continue
        digest = cell_of(facts)
        if digest in sides.ours and digest not in sides.fit:
            yield Taken(path.stem, "refused", _unlike(digest, sides))
            continue
        yield _taken(into / FOLDER / path.name, table, content, theirs)


def _unlike(digest: str, sides: Sides) -> str:
    if digest in sides.theirs:
        return f"cell {digest[:12]} has other numbers here, of other weights"
    return f"cell {digest[:12]} is not there: nothing tells whether it is of the weights here"


def _taken(target: Path, table: Columns, content: bytes, theirs: bool) -> Taken:
    try:
        ours = whole(read(target), target)[0] if target.exists() else None
    except Damaged:
        return Taken(target.stem, "copied", "in place of a damaged file", content)
    if ours is None:
        return Taken(target.stem, "copied", content=content)
    if _checksum(ours) == _checksum(table):
        return Taken(target.stem, "same")
    said = "other numbers here and there"
    return Taken(target.stem, "replaced" if theirs else "kept", said, content if theirs else b"")


def discard(root: Path, digests: Collection[str]) -> None:
    """Remove the tables of some cells, and their parts, with those that do not say of which."""
    found = scan(root)
    parts = {path for folder in found.parts for path in folder.iterdir()}
    for path in (*found.whole, *sorted(parts)):
        facts = said(path)
        subject = str(facts.get("subject", ""))
        if subject in digests or (path in parts and not subject):
            with writing(path):
                path.unlink(missing_ok=True)


def said(path: Path) -> dict[str, Any]:
    """What a file says of itself, unchecked; nothing where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        facts = json.loads((pq.read_schema(path).metadata or {})[METADATA])
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return {}
    return facts if isinstance(facts, dict) else {}


def _checksum(table: Columns) -> str:
    """Of the columns' names, types and values, in order."""
    whole = hashlib.sha256()
    for name, column in table.items():
        plain = column.dtype == object
        kind = "text" if plain or column.dtype.kind == "U" else column.dtype.str
        whole.update(json.dumps([name, kind, len(column)]).encode())
        if plain and any(isinstance(one, np.ndarray) for one in column):
            for one in column:
                whole.update(json.dumps([one.dtype.str, one.shape]).encode())
                whole.update(np.ascontiguousarray(one).tobytes())
        elif kind == "text":
            whole.update(json.dumps(column.tolist(), default=repr).encode())
        else:
            whole.update(np.ascontiguousarray(column).tobytes())
    return whole.hexdigest()
