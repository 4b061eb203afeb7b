"""OpenImages' released files as columns of numbers (Kuznetsova et al. 2020). No torch.

Boxes are CSV with a header, of which ImageID, LabelName, XMin, XMax, YMin, YMax and IsGroupOf are
read and any others are not: sides are shares of the image's, IsGroupOf is 1 for a box of several
objects, 0, or -1 where nobody said. Image-level labels are CSV with ImageID, LabelName and
Confidence: 1 where a human says that the class is there, 0 where it is not. Classes are pairs
``/m/...,name`` in the order of their labels.

Files are read in blocks (``openimages_blocks``) and checked as columns.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detbench import inputs
from detbench.data.coco_check import Floats, Ints
from detbench.data.columns import distinct
from detbench.data.faults import MOST, Faults
from detbench.data.openimages_blocks import (
    AS_IS,
    BYTES,
    Kinds,
    blocks,
    fail,
    said_of,
    shown,
    unreadable,
)
from detbench.errors import DataError

Ids = NDArray[np.uint64]
Flags = NDArray[np.bool_]

ID_DIGITS = 16
EXCESS = 0.01
"""By how much of an image's side a box may leave it; released ones do by rounding."""
FARTHEST = 10.0
"""By how much where boxes outside are clipped or dropped: what is farther is no share."""

_SIDES = ("XMin", "XMax", "YMin", "YMax")
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
    if not parts[0] and not faults:
        fail(path, 1, "there is no box after it")
    if not parts[0]:
        none = (np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, bool))
        return Boxes(*none)
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
    names: set[str] = set()
    told = Faults(path, faults)
    try:
        with inputs.opened(path), path.open(**AS_IS) as file:
            for number, row in _rows(path, csv.reader(file, strict=True), told):
                if number == 1 and row[:1] == ["LabelName"]:
                    continue
                if said := _no_class(row):
                    told.add(said_of(path, number, said))
                elif row[0] in found:
                    told.add(said_of(path, number, f"{row[0]} occurs twice"))
                elif row[1].strip() in names:
                    told.add(said_of(path, number, f"a class before it is called {row[1]!r} too"))
                else:
                    found[row[0]] = row[1].strip()
                    names.add(found[row[0]])
    except OSError as error:
        unreadable(path, error)
    if not found and not told.count:
        fail(path, 1, "there is no class")
    return found


def _rows(path: Path, lines: Any, told: Faults) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV reader with their lines' numbers; ``told`` takes those that are no CSV."""
    while True:
        try:
            row = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            told.add(said_of(path, lines.line_num, str(error)))
        else:
            yield lines.line_num, row


def _no_class(row: list[str]) -> str:
    """Why a row is no class; empty if it is one."""
    text = ",".join(row)
    if any(BYTES[0] <= letter <= BYTES[1] for letter in text):
        return f"{shown(text)} is no UTF-8"
    if len(row) != 2 or not row[0].startswith("/") or not row[1].strip():
        return f"{shown(text)} is no class as in /m/0bt9lr,Dog"
    return ""


def line_of(path: Path, image: str) -> int:
    """The first line of a CSV file that is about an image; 1 if none is."""
    with path.open("rb") as file:
        wanted = image.encode()
        return next((number for number, line in enumerate(file, 1) if wanted in line), 1)


Taken = TypeVar("Taken")


def _taken(
    path: Path,
    kinds: Kinds,
    take: Callable[[Any, _Failing], Taken],
    faults: list[str] | None = None,
) -> Iterator[Taken]:
    """What ``take`` makes of each block; with ``faults``, of its sound rows, until there are more
    faults than anyone reads.
    """
    told = Faults(path, faults)
    for numbers, block in blocks(path, kinds, told):
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
            texts = (shown(one.as_py()) if hasattr(one, "as_py") else f"{one:g}" for one in values)
            return said_of(self.path, int(self.lines[row]), said.format(*texts))

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
