"""OpenImages' annotations and images, in the columns of COCO's. No torch.

Its CSV files are read once, and so are its images' heads, as boxes are shares of sizes that the
files do not say. What comes of them is kept (``columns``) by the content of the files, and by the
name, size and time of every image; it is mapped into memory and shared by processes. Choices:

- A box of a group of objects (``IsGroupOf``) is COCO's crowd: not learnt from.
- Images are those that files name, in the order of their ids; their own ids are positions, from 1.
- Ids of classes are positions in the file of classes, from 1.
- A class is verified in an image where a label or a box says that it is there, or a label that it
  is not; then so are the classes above it, or those below it (``evaluation.openimages``).
"""

from __future__ import annotations

import hashlib
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from detbench.data import columns, content, hierarchy, images
from detbench.data import openimages_csv as released
from detbench.data.box_rule import AS_ANNOTATED, BoxRule
from detbench.data.coco_check import Ints, Table, check_folder
from detbench.data.hierarchy import Others, expanded, turned
from detbench.errors import DataError

SUFFIX = ".jpg"
_METHOD = "1"  # of what is kept; another one's is made anew
_SETTLED_S = 2.0
_AT_ONCE = 4096


@dataclass(frozen=True)
class Files:
    """Of a split.

    Attributes:
        boxes, classes: see ``openimages_csv``.
        labels, hierarchy: likewise; none where no class is verified, as in training.
        images: folder of the images, themselves or in folders of their own (``train_0`` to
            ``train_f``, as the archives unpack).
    """

    boxes: Path
    classes: Path
    images: Path
    labels: Path | None = None
    hierarchy: Path | None = None

    @property
    def annotations(self) -> list[Path]:
        """All but the images."""
        every = (self.boxes, self.classes, self.labels, self.hierarchy)
        return [path for path in every if path is not None]


@dataclass(frozen=True)
class Found:
    """Images of a folder.

    Attributes:
        folders: names of those in it, as in ``train_0/``; the first is itself, without a name.
        ids: (m,), ascending.
        facts: (m, 3), place of the folder, size in bytes, and time of the last change in ns.
    """

    folders: list[str]
    ids: NDArray[np.uint64]
    facts: Ints


class Names(Sequence[str]):
    """File names of images, made when they are asked for.

    Args:
        ids: (m,).
        folders: see ``Found``.
        where: (m,), place of each image's folder; -1 where it is in none.
    """

    def __init__(self, ids: NDArray[np.uint64], folders: list[str], where: Ints) -> None:
        self._ids, self._folders, self._where = ids, folders, where

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Names: ...

    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return Names(self._ids[index], self._folders, self._where[index])
        folder = self._folders[max(0, int(self._where[index]))]
        return f"{folder}{int(self._ids[index]):016x}{SUFFIX}"


def read(files: Files, rule: BoxRule = AS_ANNOTATED) -> Table:
    """Read and check a split; ``rule`` says what becomes of boxes outside or without area.

    Images that are not there have size 0x0; ``require`` refuses that.

    Raises:
        DataError: the first thing that is wrong, with its file and line.
    """
    known = _known(files)
    excess = _excess(rule)
    far = "" if rule.outside is None else " far"
    text = f"{_METHOD}{far} {content.of_files(files.annotations)}"
    key = hashlib.sha256(text.encode()).hexdigest()
    place = f"{files.boxes.absolute()} annotations{far}"
    parts = columns.find(place, key)
    if parts is None:
        parts = columns.keep(place, key, _annotations(files, known, excess))
    found = scan(files.images)
    facts = _facts(parts["images"], found)
    sized = _sized(files, key, parts, found, facts)
    return _table(files, known, parts, sized, _names(parts, found, facts), rule)


def sifted(files: Files, rule: BoxRule) -> tuple[Table | None, list[str]]:
    """What is sound of a split, and a sentence on each line of its CSV files that is not; no table
    where a file as a whole is at fault, or that of the classes, by which others are read. Of a
    split with faults nothing is kept.
    """
    with suppress(DataError):
        return read(files, rule), []
    faults: list[str] = []
    try:
        known = _known(files, faults)
    except DataError as error:
        return None, [*faults, str(error)]
    if faults:
        return None, faults
    try:
        parts: columns.Columns = dict(_annotations(files, known, _excess(rule), faults))
    except DataError as error:
        return None, [*faults, str(error), *_of_labels(files.labels, known, str(error))]
    found = scan(files.images)
    facts = _facts(parts["images"], found)
    sized = dict(_measured(files, parts, found.folders, facts))
    return _table(files, known, parts, sized, _names(parts, found, facts), rule), faults


def _of_labels(path: Path | None, known: _Known, said: str) -> list[str]:
    """What is wrong with the labels, where boxes before them could not be read, as is ``said``."""
    found: list[str] = []
    if path is not None and str(path) not in said:
        try:
            released.image_labels(path, known.places, found)
        except DataError as error:
            found.append(str(error))
    return found


@dataclass(frozen=True)
class _Known:
    """Classes.

    Attributes:
        names: by their LabelName, in the order of their labels.
        above: of each, those above it; none where that is not read.
    """

    names: dict[str, str]
    above: tuple[Ints, ...] | None

    @property
    def places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}


def _known(files: Files, faults: list[str] | None = None) -> _Known:
    check_folder(files.images)
    known = _Known(released.class_names(files.classes, faults), None)
    if files.hierarchy is None or faults:
        return known
    return replace(known, above=hierarchy.read(files.hierarchy, known.places))


def _excess(rule: BoxRule) -> float:
    return released.EXCESS if rule.outside is None else released.FARTHEST


def _names(parts: columns.Columns, found: Found, facts: Ints) -> Names:
    return Names(parts["images"], found.folders, facts[:, 0])


def _table(
    files: Files,
    known: _Known,
    parts: columns.Columns,
    sized: columns.Columns,
    names: Names,
    rule: BoxRule,
) -> Table:
    count = len(parts["labels"])
    table = Table(
        categories=list(enumerate(known.names.values(), 1)),
        image_ids=np.arange(1, len(names) + 1),
        image_sizes=sized["sizes"],
        file_names=names,
        ids=np.arange(1, count + 1),
        image_rows=parts["rows"],
        labels=parts["labels"],
        boxes=sized["boxes"],
        areas=sized["areas"],
        crowd=parts["crowd"],
        sources=(files.boxes,),
        verified=parts.get("verified"),
        ancestors=known.above,
    )
    if rule == AS_ANNOTATED:
        return table
    sides = table.image_sizes[table.image_rows].astype(np.float64)
    return rule.to_table(table, released.EXCESS * sides)


def require(table: Table, files: Files) -> Table:
    """The table, if all of its images are there.

    Raises:
        DataError: one is not, with the line that names it.
    """
    missing = np.flatnonzero((table.image_sizes == 0).any(axis=1))
    if not len(missing):
        return table
    name = Path(table.file_names[int(missing[0])]).stem
    sources = [path for path in (files.boxes, files.labels) if path is not None]
    lines = ((path, released.line_of(path, name)) for path in sources)
    path, line = next((one for one in lines if one[1] > 1), (files.boxes, 1))
    raise DataError(
        f"annotation file {path}: line {line}: image {name}{SUFFIX} is not in {files.images}, and "
        f"{len(missing)} of {len(table.image_ids)} are not; restore them or name the right folder"
    )


def scan(folder: Path) -> Found:
    """The images of a folder and of those in it, by their names, sizes and times; not opened.

    Of two of the same name, the first is taken: of the folder itself, then by name.
    """
    inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    folders = ["", *(f"{name}/" for name in inside)]
    ids, facts = array("Q"), array("q")
    for place, name in enumerate(folders):
        for entry in os.scandir(folder / name):
            stem = entry.name.removesuffix(SUFFIX)
            if len(stem) == released.ID_DIGITS != len(entry.name) and _is_hex(stem):
                stat = entry.stat()
                ids.append(int(stem, 16))
                facts.extend((place, stat.st_size, stat.st_mtime_ns))
    numbers, first = np.unique(np.frombuffer(ids, np.uint64), return_index=True)
    return Found(folders, numbers, np.frombuffer(facts, np.int64).reshape(-1, 3)[first])


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdef" for digit in text)


def _annotations(
    files: Files, known: _Known, excess: float, faults: list[str] | None = None
) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Columns of the CSV files, boxes in the order of their images' ids; ``faults`` as there."""
    boxes = released.boxes(files.boxes, known.places, excess, faults)
    labelled = None
    if files.labels is not None:
        labelled = released.image_labels(files.labels, known.places, faults)
    every = boxes.images if labelled is None else np.concatenate((boxes.images, labelled[0]))
    named = columns.distinct(every)
    del every
    order = np.argsort(boxes.images, kind="stable")
    rows = np.searchsorted(named, boxes.images[order])
    yield "images", named
    yield "rows", rows.astype(np.int64)
    yield "labels", boxes.labels[order]
    yield "crowd", boxes.group[order].astype(np.int64)
    yield "sides", boxes.sides[order]
    above = known.above
    if labelled is not None and above is not None:
        images, labels, there = labelled
        said = np.searchsorted(named, images).astype(np.int64)
        codes = (
            _verified(rows.astype(np.int64), boxes.labels[order], above),
            _verified(said[there], labels[there], above),
            _verified(said[~there], labels[~there], turned(above)),
        )
        yield (
            "verified",
            np.stack(np.divmod(columns.distinct(np.concatenate(codes)), len(above)), axis=1),
        )


def _verified(images: Ints, labels: Ints, others: Others) -> Ints:
    """One number for each image and label, and for each of its ``others``, (k,), ascending."""
    rows, known = expanded(labels, others)
    return columns.distinct(images[rows] * len(others) + known)


def _facts(wanted: NDArray[Any], found: Found) -> Ints:
    """Of each wanted image its facts, (m, 3); -1 where it is not among those found."""
    if not len(found.ids):
        return np.full((len(wanted), 3), -1)
    place = np.minimum(np.searchsorted(found.ids, wanted), len(found.ids) - 1)
    return np.where((found.ids[place] == wanted)[:, None], found.facts[place], -1)


def _sized(
    files: Files, key: str, parts: columns.Columns, found: Found, facts: Ints
) -> columns.Columns:
    """Columns that depend on how large images are."""
    state = hashlib.sha256(f"{key} {files.images.absolute()} {found.folders}".encode())
    state.update(facts.tobytes())
    place = f"{files.boxes.absolute()} {files.images.absolute()}"
    kept = columns.find(place, state.hexdigest())
    if kept is not None:
        return kept
    made = _measured(files, parts, found.folders, facts)
    if facts[:, 2].max(initial=0) / 1e9 > time.time() - _SETTLED_S:
        return dict(made)  # a further change might leave the time as it is
    return columns.keep(place, state.hexdigest(), made)


def _measured(
    files: Files, parts: columns.Columns, folders: list[str], facts: Ints
) -> Iterator[tuple[str, NDArray[np.generic]]]:
    names = Names(parts["images"], folders, facts[:, 0])
    sizes = np.zeros((len(names), 2), np.int64)
    there = np.flatnonzero(facts[:, 0] >= 0)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for first in range(0, len(there), _AT_ONCE):
            rows = there[first : first + _AT_ONCE]
            look = partial(_size, files.images, names)
            sizes[rows] = list(pool.map(look, rows.tolist()))
    boxes = parts["sides"][:, [0, 2, 1, 3]]
    boxes[:, 2:] -= boxes[:, :2]
    for first in range(0, len(boxes), _AT_ONCE * 256):
        some = slice(first, first + _AT_ONCE * 256)
        boxes[some] *= np.tile(sizes[parts["rows"][some]], 2)
    yield "sizes", sizes
    yield "boxes", boxes
    yield "areas", boxes[:, 2] * boxes[:, 3]


def _size(folder: Path, names: Names, row: int) -> tuple[int, int]:
    return images.size(folder / names[row]) or (0, 0)
