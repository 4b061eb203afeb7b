"""Tables of the kinds that lay maps over objects: lines of objects, of mean maps and of pictures.

A line of an object has numbers; one of a mean map the sums over an image's objects, so that the
table stays small whatever the data set; one of a picture an object's maps and the pixels around it,
of the first images alone. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from detbench.analysis.kind import Analysis, Columns, Flags, Floats, Measured, Settings
from detbench.analysis.summary import Lines

OBJECT, MEAN, PICTURE = "object", "mean map", "picture"
OWN = "own level"
"""The part that stands for the level which an object is told from."""


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        what: ``OBJECT``, ``MEAN`` or ``PICTURE``.
        part: of the detector.
        label, area: of the object.
        numbers: of an object; those that are missing are not a number.
        arrays: of a map or picture.
        png: pixels of a picture, empty where the line before has them.
    """

    what: str
    part: str
    label: int = 0
    area: float = 0.0
    numbers: Mapping[str, float] = field(default_factory=dict)
    arrays: Sequence[Floats] = ()
    png: bytes = b""


def table(image: int, names: Sequence[str], lines: Sequence[Line]) -> Columns:
    """The lines of an image as columns.

    Args:
        names: of the numbers.
    """
    values, pixels = np.empty(len(lines), object), np.empty(len(lines), object)
    for place, one in enumerate(lines):
        values[place], pixels[place] = pack(one.arrays), one.png
    nan = float("nan")
    numbers = [[one.numbers.get(name, nan) for name in names] for one in lines]
    rows = np.array(numbers, np.float64).reshape(-1, len(names))
    return {
        "image": np.full(len(lines), image, np.int64),
        "what": np.array([one.what for one in lines], object),
        "part": np.array([one.part for one in lines], object),
        "label": np.array([one.label for one in lines], np.int64),
        "area": np.array([one.area for one in lines], np.float64),
        **{name: rows[:, place] for place, name in enumerate(names)},
        "values": values,
        "png": pixels,
    }


def pack(arrays: Sequence[Floats]) -> Floats:
    """Arrays of any shapes one after another, each behind its number of axes and its shape."""
    parts = [np.array([one.ndim, *one.shape, *one.ravel()], np.float32) for one in arrays]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def unpack(values: Floats) -> list[Floats]:
    """What ``pack`` was given, as float64 of single precision."""
    found, at = [], 0
    while at < len(values):
        axes = int(values[at])
        shape = tuple(int(one) for one in values[at + 1 : at + 1 + axes])
        at += 1 + axes
        size = int(np.prod(shape))
        found.append(np.asarray(values[at : at + size], np.float64).reshape(shape))
        at += size
    return found


def pictured(place: int, settings: Settings, areas: Floats) -> int:
    """Which object of an image is drawn, the largest of the first images; -1 of others."""
    return int(areas.argmax()) if place < settings["pictures"] and len(areas) else -1


def of_objects(analysis: Analysis, part: str, group: str, *names: str) -> Lines:
    """The lines of a part's objects that have all of some numbers."""

    def lines(table: Columns) -> Flags:
        chosen: Flags = analysis.groups.lines(group, table) & (table["what"] == OBJECT)
        chosen &= table["part"] == part
        for name in names:
            chosen &= np.isfinite(table[name])
        return chosen

    return lines


def parts(analysis: Analysis, what: str = OBJECT) -> list[str]:
    """Of which parts there are lines, in the order of the first row that has them."""
    every = (
        part
        for row in analysis.rows
        for one in row.tables
        for part in one["part"][one["what"] == what].tolist()
    )
    return list(dict.fromkeys(every))


@dataclass(frozen=True)
class Mean:
    """Both tasks' mean maps.

    Attributes:
        cls, loc: not a number at a cell that no object has.
        count: of the objects.
    """

    cls: Floats
    loc: Floats
    count: int


def mean_map(row: Measured, part: str) -> Mean | None:
    """The means over all objects and seeds; none where the row has no such part."""
    total: list[Floats] = []
    for one in row.tables:
        own = (one["what"] == MEAN) & (one["part"] == part)
        total += [np.stack(unpack(values)) for values in one["values"][own]]
    if not total:
        return None
    count, cls, loc = np.sum(total, axis=0)
    empty = np.full(count.shape, np.nan)
    cls, loc = (np.divide(one, count, out=empty.copy(), where=count > 0) for one in (cls, loc))
    return Mean(cls, loc, int(count.max(initial=0)))


@dataclass(frozen=True)
class Picture:
    """An object of an image, of the first seed.

    Attributes:
        image: its id.
        label: of the object.
        png: pixels around it.
        parts: arrays by part.
    """

    image: int
    label: int
    png: bytes
    parts: Mapping[str, list[Floats]]


def pictures(row: Measured) -> Iterator[Picture]:
    """Those that the row has, in the order of the images."""
    one = row.tables[0]
    own = np.flatnonzero(one["what"] == PICTURE)
    for image in dict.fromkeys(one["image"][own].tolist()):
        places = own[one["image"][own] == image]
        arrays = {one["part"][at]: unpack(one["values"][at]) for at in places.tolist()}
        first = int(places[0])
        yield Picture(image, int(one["label"][first]), one["png"][first], arrays)
