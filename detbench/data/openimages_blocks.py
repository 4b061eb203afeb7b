"""The lines of OpenImages' CSV files, in blocks of columns. No torch.

pyarrow reads them; only where it cannot, or something is wrong, they are read line by line, to say
which line is wrong. Quotes mean nothing in them.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from detbench import inputs
from detbench.data.coco_check import Ints
from detbench.data.faults import MOST, RESTORE, Faults
from detbench.errors import DataError

Kinds = dict[str, type]
"""Columns that are read -> ``str``, ``float`` or ``int``."""

_BLOCK = 1 << 24
AS_IS: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
"""How a file is opened so that bytes that are no UTF-8 and ends of lines stay what they are."""
BYTES = ("\udc80", "\udcff")
"""From and to what such bytes become."""


def blocks(path: Path, kinds: Kinds, told: Faults) -> Iterator[tuple[Ints, Any]]:
    """Blocks of a CSV file's columns, each with the numbers of its lines.

    Raises:
        DataError: it cannot be read, lacks a column, or lines are none of the format and ``told``
            takes none, or no more of them.
    """
    import pyarrow as pa

    first = 2
    try:
        for batch in _opened(path, kinds):
            if batch.num_rows:
                yield np.arange(first, first + batch.num_rows), batch
            first += batch.num_rows
    except pa.ArrowInvalid as error:
        odd = dict(islice(_odd_lines(path, kinds, first), MOST + 1))
        if not odd:
            unreadable(path, error)
        for said in odd.values():
            told.add(said)
        yield from _sound(path, kinds, first, odd)
    except OSError as error:
        unreadable(path, error)


def _opened(path: Path, kinds: Kinds) -> Iterator[Any]:
    """Blocks of a CSV file's columns."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    _header(path, kinds)
    convert = arrow.ConvertOptions(
        column_types={name: getattr(pa, _TYPES[kind])() for name, kind in kinds.items()},
        include_columns=list(kinds),
        null_values=[],
    )
    with arrow.open_csv(
        path,
        read_options=arrow.ReadOptions(block_size=_BLOCK),
        parse_options=arrow.ParseOptions(ignore_empty_lines=False, quote_char=False),
        convert_options=convert,
    ) as file:
        yield from file


def _sound(
    path: Path, kinds: Kinds, first: int, odd: Collection[int]
) -> Iterator[tuple[Ints, Any]]:
    """Blocks of the lines from the ``first`` on that are not odd, with their numbers."""
    import pyarrow as pa

    gone = np.array(sorted(odd), np.int64)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        _copy(path, copy, lambda number: number == 1 or (number >= first and number not in odd))
        at = first
        try:
            for batch in _opened(copy, kinds):
                places = np.arange(at, at + batch.num_rows)
                # The k-th line that is gone moves all from it on by one.
                moved = np.searchsorted(gone - np.arange(len(gone)), places, side="right")
                if batch.num_rows:
                    yield places + moved, batch
                at += batch.num_rows
        except pa.ArrowInvalid as error:
            unreadable(path, error)


def _copy(path: Path, copy: Path, wanted: Callable[[int], bool]) -> None:
    """Some lines of a file, by their numbers."""
    try:
        with copy.open("w", **AS_IS) as file:
            file.writelines(line for number, line in _numbered(path) if wanted(number))
    except OSError as error:
        raise DataError(
            f"annotation file {path}: its sound lines cannot be copied into {copy.parent} "
            f"({error.strerror}): make room there, or set TMPDIR"
        ) from error


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its end and number; bytes that are no UTF-8 stay what they are."""
    with path.open(**AS_IS) as file:
        yield from enumerate(file, 1)


def _header(path: Path, kinds: Kinds) -> list[str]:
    """The names of all columns."""
    try:
        with inputs.opened(path), path.open(**AS_IS) as file:
            names = file.readline().rstrip("\r\n").split(",")
    except OSError as error:
        unreadable(path, error)
    if missing := [name for name in kinds if name not in names]:
        fail(path, 1, f"there is no column {missing[0]}")
    return names


def _odd_lines(path: Path, kinds: Kinds, first: int) -> Iterator[tuple[int, str]]:
    """Numbers of the lines from the ``first`` on that are none of the format, and what of them."""
    header = _header(path, kinds)
    places = [(name, header.index(name), kind) for name, kind in kinds.items()]
    for number, line in _numbered(path):
        if number < first:
            continue
        parts = line.rstrip("\r\n").split(",")
        if len(parts) != len(header):
            said = f"{shown(line)} has {len(parts)} fields, not {len(header)}"
        else:
            wrong = ((n, parts[at]) for n, at, kind in places if not _is_read(parts[at], kind))
            if (odd := next(wrong, None)) is None:
                continue
            what = "no UTF-8" if kinds[odd[0]] is str else "not a number"
            said = f"{odd[0]} is {shown(odd[1])}, {what}"
        yield number, said_of(path, number, said)


_TYPES = {str: "string", float: "float64", int: "int64"}
_PLAIN = re.compile(r"-?\d{1,15}(\.\d*)?", re.ASCII)


def _is_read(text: str, kind: type) -> bool:
    """Whether pyarrow reads a field."""
    import pyarrow as pa

    if kind is str:
        return text.isascii() or not any(BYTES[0] <= letter <= BYTES[1] for letter in text)
    text = text.strip(" \t")
    if _PLAIN.fullmatch(text) and (kind is float or "." not in text):
        return True
    try:
        pa.scalar(text).cast(getattr(pa, _TYPES[kind])())
    except pa.ArrowInvalid:
        return False
    return True


def shown(text: str) -> str:
    """A line or field as messages show it, cut if it is long; what is no UTF-8 as ``\\xff``."""
    text = text.rstrip("\r\n")
    text = text if len(text) <= 40 else text[:40] + "..."
    return repr(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def said_of(path: Path, line: int, problem: str) -> str:
    return f"annotation file {path}: line {line}: {problem}; {RESTORE}"


def fail(path: Path, line: int, problem: str) -> NoReturn:
    raise DataError(said_of(path, line, problem))


def unreadable(path: Path, error: Exception) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise DataError(
            f"annotation file {path} is not there; mend --data-root / DETBENCH_DATA"
        ) from None
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    raise DataError(f"annotation file {path} cannot be read ({said}); {RESTORE}") from None
