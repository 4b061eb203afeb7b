"""WIDER FACE's annotations (Yang et al. 2016), in the columns of COCO's. No torch.

``wider_face_<split>_bbx_gt.txt``: of each image its name, how many faces it has, and of each face
x, y, w, h in pixels and six attributes; an image without faces has one line of zeros. Which faces
of the val split count in which setting: ``widerface_lists``. Choices:

- An ``invalid`` face is not learnt from and becomes COCO's crowd; WIDER FACE's own AP, which goes
  by the lists alone, does not know it.
- Boxes may have no area or leave their image, as the released ones do; what is less than a pixel
  or outside is not learnt from.
- The files do not say how large images are: that is read from the images' heads.
- Ids are positions, from 1: of images in the order of the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from detbench import inputs
from detbench.data import images
from detbench.data.coco_check import Floats, Ints, Table
from detbench.data.faults import RESTORE, Faults
from detbench.data.widerface_lists import marks_of
from detbench.errors import DataError

FACE = (1, "face")

_FIELDS = 10  # x, y, w, h, blur, expression, illumination, invalid, occlusion, pose
_INVALID = 7
_LARGEST = 10**9
_NAME = re.compile(r"[^/\\]+/[^/\\]+\.jpg", re.IGNORECASE)
_FORMAT = "the format is a name, a number of faces, and a line of 10 whole numbers for each"


@dataclass(frozen=True)
class Faces:
    """An annotation file.

    Attributes:
        names: of the m images, ``<event>/<file>.jpg``.
        counts: (m,), faces of each.
        boxes: (n, 4), x, y, w, h; ordered by image.
        invalid: (n,).
    """

    names: list[str]
    counts: Ints
    boxes: Floats
    invalid: NDArray[np.bool_]


def read(source: Path, folder: Path, lists: Path | None = None) -> Table:
    """Read and check a split.

    Args:
        source: its annotation file.
        folder: of the images. One that is not there has size 0x0; opening the split refuses that.
        lists: folder of the val split's lists.

    Raises:
        DataError: the first thing that is wrong, with its file, in one line.
    """
    faces = parse(source)
    marks = None if lists is None else marks_of(lists, faces, source, Faults(source))
    return _table(source, folder, faces, marks)


def sifted(source: Path, folder: Path, lists: Path | None) -> tuple[Table | None, list[str]]:
    """What is sound of a split, and a sentence on everything that is not; no table where nothing
    can be read. The lists are compared only with an annotation file that has no fault.
    """
    faults: list[str] = []
    try:
        faces = parse(source, faults)
    except DataError as error:
        return None, [*faults, str(error)]
    marks = None
    if lists is not None and not faults:
        try:
            marks = marks_of(lists, faces, source, Faults(lists, faults))
        except DataError as error:
            faults.append(str(error))
    return _table(source, folder, faces, marks), faults


def _table(source: Path, folder: Path, faces: Faces, marks: Ints | None) -> Table:
    count = len(faces.boxes)
    return Table(
        categories=[FACE],
        image_ids=np.arange(1, len(faces.names) + 1),
        image_sizes=_sizes(folder, faces.names),
        file_names=faces.names,
        ids=np.arange(1, count + 1),
        image_rows=np.repeat(np.arange(len(faces.names)), faces.counts),
        labels=np.zeros(count, np.int64),
        boxes=faces.boxes,
        areas=faces.boxes[:, 2] * faces.boxes[:, 3],
        crowd=faces.invalid.astype(np.int64),
        sources=(source,),
        marks=marks,
    )


def parse(path: Path, faults: list[str] | None = None) -> Faces:
    """The faces of an annotation file.

    Args:
        faults: takes a sentence on every face and image that is wrong, which is then left out.

    Raises:
        DataError: the first thing that is wrong, with its line; with ``faults``, that the file
            cannot be read, that nothing of it is left, or that there are more.
    """
    names, counts = list[str](), list[int]()
    rows: list[list[int]] = []
    seen: set[str] = set()
    told = Faults(path, faults)
    for at, name, faces in _blocks(path, _lines(path), told):
        if name in seen:
            told.add(f"annotation file {path}: line {at + 1}: {name} occurs twice; {RESTORE}")
            continue
        seen.add(name)
        names.append(name)
        counts.append(len(faces))
        rows += faces
    if not names:
        raise DataError(faults.pop() if faults else f"annotation file {path} is empty; {RESTORE}")
    table = np.array(rows, np.int64).reshape(-1, _FIELDS)
    boxes = table[:, :4].astype(np.float64)
    return Faces(names, np.array(counts, np.int64), boxes, table[:, _INVALID] != 0)


def _blocks(
    path: Path, lines: list[str], told: Faults
) -> Iterator[tuple[int, str, list[list[int]]]]:
    """Line, name and faces of each image; after a fault of the format, from the next name on."""
    at = 0
    while at < len(lines):
        start, at = at, _next_name(lines, at + 1)
        try:
            name, count = _name(lines[start], start, path), _count(lines, start + 1, path)
            end = start + 2 + count
            if at < min(end, len(lines)):
                _fail(path, at, f"{_shown(lines[at])} is no face")
            if end > len(lines):
                said = f"the file ends within the {count} faces of {name}"
                _fail(path, len(lines) - 1, said)
        except DataError as error:
            told.add(str(error))
            continue
        found = (_face(lines[k], k, path, told) for k in range(start + 2, end))
        yield start, name, [one for one in found if one is not None]
        at = end
        if not count and at < len(lines) and not any(part.strip("0") for part in _plain(lines[at])):
            at += 1  # the line of zeros


def _next_name(lines: list[str], start: int) -> int:
    """The first line from there on that is an image's name; their number if none is."""
    return next((k for k in range(start, len(lines)) if _is_name(lines[k])), len(lines))


def _is_name(line: str) -> bool:
    name = line.strip()
    return bool(_NAME.fullmatch(name)) and name.isprintable()


def _name(line: str, at: int, path: Path) -> str:
    if not _is_name(line):
        _fail(path, at, f"{_shown(line.strip())} is no image's name as in event/file.jpg")
    return line.strip()


def _face(line: str, at: int, path: Path, told: Faults) -> list[int] | None:
    try:
        return _numbers(line, at, path)
    except DataError as error:
        told.add(str(error))
        return None


def _lines(path: Path) -> list[str]:
    try:
        text = inputs.text(path, "utf-8-sig").rstrip()
        return text.split("\n") if text else []
    except FileNotFoundError:
        raise DataError(
            f"annotation file {path} is not there; mend --data-root / DETBENCH_DATA"
        ) from None
    except OSError as error:
        raise DataError(f"annotation file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"annotation file {path} is no text; {RESTORE}") from None


def _count(lines: list[str], line: int, path: Path) -> int:
    if line >= len(lines):
        _fail(path, line - 1, "the file ends before this image's number of faces")
    text = lines[line].strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        _fail(path, line, f"{_shown(text)} is no number of faces")
    return int(text)


def _plain(line: str) -> list[str]:
    """The ten numbers of a line; one that is not 0 where it has anything else."""
    parts = line.split()
    if len(parts) == _FIELDS and all(part.isascii() and part.isdecimal() for part in parts):
        return parts
    return ["1"]


def _numbers(text: str, line: int, path: Path) -> list[int]:
    """One face."""
    try:
        plain = text.isascii() and "_" not in text
        found = [int(part) for part in text.split()] if plain else []
    except ValueError:
        found = []
    if len(found) != _FIELDS or max(map(abs, found)) > _LARGEST:
        _fail(path, line, f"{_shown(text)} is no face")
    if min(found[2:4]) < 0:
        _fail(path, line, f"{_shown(text)} is a face of negative size")
    return found


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _fail(path: Path, line: int, problem: str) -> NoReturn:
    raise DataError(f"annotation file {path}: line {line + 1}: {problem}; {_FORMAT}: {RESTORE}")


def _sizes(folder: Path, names: Sequence[str]) -> Ints:
    """Width and height of every image, (m, 2); 0 where it is not there."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = pool.map(lambda name: images.size(folder / name) or (0, 0), names)
        return np.array(list(found), np.int64).reshape(-1, 2)
