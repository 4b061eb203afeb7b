"""OpenImages' released files as columns of numbers (Kuznetsova et al. 2020). No torch.

Boxes are CSV with a header, of which ImageID, LabelName, XMin, XMax, YMin, YMax and IsGroupOf are
read and any others are not: sides are shares of the image's, IsGroupOf is 1 for a box of several
objects, 0, or -1 where nobody said. Image-level labels are CSV with ImageID, LabelName and
Confidence: 1 where a human says that the class is there, 0 where it is not. Classes are pairs
``/m/...,name`` in the order of their labels.

Files are read in blocks and checked as columns; only where pyarrow cannot read one, or something is
wrong in it, line by line, to say which.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from detbench import inputs
from detbench.data.coco_check import Floats, Ints
from detbench.data.columns import distinct
from detbench.data.faults import MOST, RESTORE, Faults
from detbench.errors import DataError

Ids = NDArray[np.uint64]
Flags = NDArray[np.bool_]

ID_DIGITS = 16
EXCESS = 0.01
"""By how much of an image's side a box may leave it; released ones do by rounding."""
FARTHEST = 10.0
"""By how much where boxes outside are clipped or dropped: what is farther is no share."""

_AS_IS: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
"""How a file is opened so that bytes that are no UTF-8 and ends of lines stay what they are."""
_SIDES = ("XMin", "XMax", "YMin", "YMax")
_BLOCK = 1 << 24
_HEX = np.full(256, 255, np.uint8)
_HEX[[ord(digit) for digit in "0123456789abcdef"]] = range(16)


@dataclass(frozen=True)
class Boxes:
    """A file of boxes, in its order.

    Attributes:
        images: (n,), their ids.
        labels: (n,), positions of classes.
        sides: (n, 4), XMin, XMax, YMin, YMax as shares.
        group: (n,), whether of a group of objects.
    """

    images: Ids
    labels: Ints
    sides: Floats
    group: Flags


def boxes(
    path: Path, classes: dict[str, int], excess: float = EXCESS, faults: list[str] | None = None
) -> Boxes:
    """Read a file of boxes.

    Args:
        classes: position of each class by its LabelName.
        excess: by how much of an image's side a box may leave it.
        faults: takes a sentence on each line that is wrong, which is then left out.

    Raises:
        DataError: the first thing that is wrong, with its line; with ``faults``, only what is wrong
            with the whole file.
    """
    kinds = {"ImageID": str, "LabelName": str, **dict.fromkeys(_SIDES, float), "IsGroupOf": int}

    def take(batch: Any, fail: _Failing) -> tuple[NDArray[Any], ...]:
        images = _ids(batch.column("ImageID"), fail)
        labels = _labels(batch.column("LabelName"), classes, fail)
        sides = _sides(batch, fail, excess)
        group: Ints = batch.column("IsGroupOf").to_numpy()
        fail.where(np.abs(group) > 1, "IsGroupOf is {}, not 0, 1 or -1", group)
        return images, labels, sides, group == 1

    parts: list[list[NDArray[Any]]] = [[], [], [], []]
    for found in _taken(path, kinds, take, faults):
        for part, column in zip(parts, found, strict=True):
            part.append(column)
    if not parts[0]:
        _fail(path, 1, "there is no box after it")
    return Boxes(*(_joined(part) for part in parts))


def image_ids(path: Path) -> tuple[Ids, int]:
    """The images that a file of boxes is about, ascending, and how many boxes it has.

    Raises:
        DataError: the first thing that is wrong, with its line.
    """
    found, count = list[Ids](), 0

    def take(batch: Any, fail: _Failing) -> Ids:
        return _ids(batch.column("ImageID"), fail)

    for ids in _taken(path, {"ImageID": str}, take):
        found.append(distinct(ids))
        count += len(ids)
    return distinct(np.concatenate(found)) if found else np.zeros(0, np.uint64), count


def image_labels(
    path: Path, classes: dict[str, int], faults: list[str] | None = None
) -> tuple[Ids, Ints, Flags]:
    """Image, position of the class, and whether it is there, (v,) each, in the file's order.

    Arguments and errors as of ``boxes``.
    """
    kinds = {"ImageID": str, "LabelName": str, "Confidence": float}

    def take(batch: Any, fail: _Failing) -> tuple[Ids, Ints, Flags]:
        images = _ids(batch.column("ImageID"), fail)
        labels = _labels(batch.column("LabelName"), classes, fail)
        sure: Floats = batch.column("Confidence").to_numpy()
        fail.where((sure != 0) & (sure != 1), "Confidence is {}, not 1 or 0, as humans say", sure)
        return images, labels, sure == 1

    found = list(_taken(path, kinds, take, faults))
    if not found:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, bool)
    images, labels, there = zip(*found, strict=True)
    return np.concatenate(images), np.concatenate(labels), np.concatenate(there)


def class_names(path: Path, faults: list[str] | None = None) -> dict[str, str]:
    """LabelName -> name of each class, in the order of the file; a header is passed over.

    Args:
        faults: as of ``boxes``.

    Raises:
        DataError: the first thing that is wrong, with its line; with ``faults``, only what is wrong
            with the whole file.
    """
    found: dict[str, str] = {}
    told = Faults(path, faults)
    try:
        with inputs.opened(path), path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            for row in lines:
                number = lines.line_num
                if number == 1 and row[:1] == ["LabelName"]:
                    continue
                if len(row) != 2 or not row[0].startswith("/") or not row[1].strip():
                    said = f"{_shown(','.join(row))} is no class as in /m/0bt9lr,Dog"
                    told.add(_said(path, number, said))
                elif row[0] in found:
                    told.add(_said(path, number, f"{row[0]} occurs twice"))
                else:
                    found[row[0]] = row[1].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        _unreadable(path, error)
    if not found:
        _fail(path, 1, "there is no class")
    return found


def line_of(path: Path, image: str) -> int:
    """The first line of a CSV file that is about an image; 1 if none is."""
    with path.open("rb") as file:
        wanted = image.encode()
        return next((number for number, line in enumerate(file, 1) if wanted in line), 1)


# --- reading --------------------------------------------------------------------------------------


def _batches(path: Path, kinds: dict[str, type], told: Faults) -> Iterator[tuple[Ints, Any]]:
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
            _unreadable(path, error)
        for said in odd.values():
            told.add(said)
        yield from _sound(path, kinds, first, odd)
    except OSError as error:
        _unreadable(path, error)


def _opened(path: Path, kinds: dict[str, type]) -> Iterator[Any]:
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
    path: Path, kinds: dict[str, type], first: int, odd: Collection[int]
) -> Iterator[tuple[Ints, Any]]:
    """Blocks of the lines from the ``first`` on that are not odd, with their numbers."""
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        with copy.open("w", **_AS_IS) as file:
            file.writelines(
                line
                for number, line in _numbered(path)
                if number == 1 or (number >= first and number not in odd)
            )
        gone = np.array(sorted(odd), np.int64)
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
            _unreadable(path, error)


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its end and number; bytes that are no UTF-8 stay what they are."""
    with path.open(**_AS_IS) as file:
        yield from enumerate(file, 1)


def _header(path: Path, kinds: dict[str, type]) -> list[str]:
    """The names of all columns."""
    try:
        with inputs.opened(path), path.open(**_AS_IS) as file:
            names = file.readline().rstrip("\r\n").split(",")
    except OSError as error:
        _unreadable(path, error)
    if missing := [name for name in kinds if name not in names]:
        _fail(path, 1, f"there is no column {missing[0]}")
    return names


def _odd_lines(path: Path, kinds: dict[str, type], first: int) -> Iterator[tuple[int, str]]:
    """Numbers of the lines from the ``first`` on that are none of the format, and what of them."""
    header = _header(path, kinds)
    places = [(name, header.index(name), kind) for name, kind in kinds.items()]
    for number, line in _numbered(path):
        if number < first:
            continue
        parts = line.rstrip("\r\n").split(",")
        said = f"{_shown(line)} has {len(parts)} fields, not {len(header)}"
        if not line.isascii() and any("\udc80" <= letter <= "\udcff" for letter in line):
            said = f"{_shown(line)} is no UTF-8"
        elif len(parts) == len(header):
            wrong = ((n, parts[at]) for n, at, kind in places if not _is_read(parts[at], kind))
            if (odd := next(wrong, None)) is None:
                continue
            said = f"{odd[0]} is {_shown(odd[1])}, not a number"
        yield number, _said(path, number, said)


_TYPES = {str: "string", float: "float64", int: "int64"}
_PLAIN = re.compile(r"-?\d{1,15}(\.\d*)?", re.ASCII)


def _is_read(text: str, kind: type) -> bool:
    """Whether pyarrow reads a field."""
    import pyarrow as pa

    text = text.strip(" \t")
    if kind is str or (_PLAIN.fullmatch(text) and (kind is float or "." not in text)):
        return True
    try:
        pa.scalar(text).cast(getattr(pa, _TYPES[kind])())
    except pa.ArrowInvalid:
        return False
    return True


Taken = TypeVar("Taken")


def _taken(
    path: Path,
    kinds: dict[str, type],
    take: Callable[[Any, _Failing], Taken],
    faults: list[str] | None = None,
) -> Iterator[Taken]:
    """What ``take`` makes of each block; with ``faults``, of its sound rows, until there are more
    faults than anyone reads.
    """
    told = Faults(path, faults)
    for numbers, block in _batches(path, kinds, told):
        batch, lines = block, numbers
        while True:
            try:
                found = take(batch, _Failing(path, lines))
            except _BadRows as error:
                for said in error.every():
                    told.add(said)
                batch, lines = batch.filter(~error.bad), lines[~error.bad]
            else:
                yield found
                break


class _BadRows(DataError):
    """Rows of a block are wrong.

    Args:
        bad: (n,).
        sentence: on one of them, by its row.
    """

    def __init__(self, bad: Flags, sentence: Callable[[int], str]) -> None:
        super().__init__(sentence(int(bad.argmax())))
        self.bad, self._sentence = bad, sentence

    def every(self) -> list[str]:
        """A sentence on each, as far as anyone reads."""
        return [self._sentence(int(row)) for row in np.flatnonzero(self.bad)[: MOST + 1]]


@dataclass(frozen=True)
class _Failing:
    """Errors of a block whose rows are of these ``lines``, (n,)."""

    path: Path
    lines: Ints

    def where(self, bad: Flags, said: str, *columns: Any) -> None:
        """Raise ``_BadRows`` if any row is bad.

        Args:
            bad: (n,).
            said: with a pair of braces for the row's value in each of the columns.
        """

        def sentence(row: int) -> str:
            values = (column[row] for column in columns)
            texts = (_shown(one.as_py()) if hasattr(one, "as_py") else f"{one:g}" for one in values)
            return _said(self.path, int(self.lines[row]), said.format(*texts))

        if bad.any():
            raise _BadRows(bad, sentence)


def _ids(column: Any, fail: _Failing) -> Ids:
    """Numbers of image ids, which are 16 hexadecimal digits."""
    import pyarrow.compute as pc

    said = f"{{}} is no image's id of {ID_DIGITS} hexadecimal digits"
    lengths: Ints = pc.binary_length(column).to_numpy(zero_copy_only=False)
    fail.where(lengths != ID_DIGITS, said, column)
    _, offsets, content = column.buffers()
    start = int(np.frombuffer(offsets, np.int32)[column.offset])
    text = np.frombuffer(content, np.uint8, ID_DIGITS * len(column), start)
    digits = _HEX[text].reshape(-1, ID_DIGITS)
    fail.where(digits.max(axis=1) > 15, said, column)
    return (digits[:, ::2] << 4 | digits[:, 1::2]).view(">u8")[:, 0].astype(np.uint64)


def _labels(column: Any, classes: dict[str, int], fail: _Failing) -> Ints:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: Ints = pc.fill_null(pc.index_in(column, pa.array(list(classes))), -1).to_numpy()
    fail.where(found < 0, f"LabelName {{}} is none of the {len(classes)} classes", column)
    return found.astype(np.int64)


def _sides(batch: Any, fail: _Failing, excess: float) -> Floats:
    found: Floats = np.stack([batch.column(name).to_numpy() for name in _SIDES], axis=1)
    for name, own in zip(_SIDES, found.T, strict=True):
        outside = ~((own >= -excess) & (own <= 1 + excess))  # not a number too
        fail.where(outside, f"{name} is {{}}, no share of the image's side from 0 to 1", own)
    for low, high in ((0, 1), (2, 3)):
        ends: tuple[Floats, Floats] = (found[:, high], found[:, low])
        turned: Flags = np.less(*ends)
        fail.where(turned, f"{_SIDES[high]} {{}} is less than {_SIDES[low]} {{}}", *ends)
    return found


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Blocks as one; they are forgotten."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _shown(text: str) -> str:
    text = text.rstrip("\r\n")
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _said(path: Path, line: int, problem: str) -> str:
    return f"annotation file {path}: line {line}: {problem}; {RESTORE}"


def _fail(path: Path, line: int, problem: str) -> NoReturn:
    raise DataError(_said(path, line, problem))


def _unreadable(path: Path, error: Exception) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise DataError(
            f"annotation file {path} is not there; mend --data-root / DETBENCH_DATA"
        ) from None
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    raise DataError(f"annotation file {path} cannot be read ({said}); {RESTORE}") from None
