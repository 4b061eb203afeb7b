"""WIDER FACE's annotations (Yang et al. 2016), in the columns of COCO's. No torch.

``wider_face_<split>_bbx_gt.txt``: of each image its name, how many faces it has, and of each face
x, y, w, h in pixels and six attributes; an image without faces has one line of zeros. Which faces
of the val split count in which setting is in the evaluation tools' ``ground_truth``, MATLAB files
that list faces by their place. Choices:

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
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from detbench import inputs
from detbench.data import images
from detbench.data.coco_check import Floats, Ints, Table
from detbench.errors import DataError

FACE = (1, "face")
SETTINGS = ("easy", "medium", "hard")
"""A face that counts in setting k has bit k of its mark."""

_FIELDS = 10  # x, y, w, h, blur, expression, illumination, invalid, occlusion, pose
_INVALID = 7
_LARGEST = 10**9
_MAT_HEADER, _MAT_PACKED = 128, 15  # bytes before the variables; the kind of packed ones
_NAME = re.compile(r"[^/\\]+/[^/\\]+\.jpg", re.IGNORECASE)
_APART = 1.0  # pixels between the text's and the lists' boxes, of which one may have rounded
_FORMAT = "the format is a name, a number of faces, and a line of 10 whole numbers for each"
_RESTORE = "restore the file"


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
    marks = None if lists is None else _marks(lists, faces, source)
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


def parse(path: Path) -> Faces:
    """The faces of an annotation file.

    Raises:
        DataError: the first thing that is wrong, with its line.
    """
    lines = _lines(path)
    names, counts = list[str](), list[int]()
    rows: list[list[int]] = []
    at = 0
    while at < len(lines):
        name = lines[at].strip()
        if not (_NAME.fullmatch(name) and name.isprintable()):
            _fail(path, at, f"{_shown(name)} is no image's name as in event/file.jpg")
        count = _count(lines, at + 1, path)
        first = at + 2
        at = first + count
        if at > len(lines):
            _fail(path, len(lines) - 1, f"the file ends within the {count} faces of {name}")
        rows += [_numbers(lines[line], line, path) for line in range(first, at)]
        names.append(name)
        counts.append(count)
        if not count and at < len(lines) and not any(map(int, _plain(lines[at]))):
            at += 1  # the line of zeros
    if not names:
        raise DataError(f"annotation file {path} is empty; {_RESTORE}")
    twice, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"annotation file {path}: {twice} occurs twice; {_RESTORE}")
    table = np.array(rows, np.int64).reshape(-1, _FIELDS)
    boxes = table[:, :4].astype(np.float64)
    return Faces(names, np.array(counts, np.int64), boxes, table[:, _INVALID] != 0)


def _lines(path: Path) -> list[str]:
    try:
        return inputs.text(path).rstrip().splitlines()
    except FileNotFoundError:
        raise DataError(
            f"annotation file {path} is not there; mend --data-root / DETBENCH_DATA"
        ) from None
    except OSError as error:
        raise DataError(f"annotation file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"annotation file {path} is no text; {_RESTORE}") from None


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
        found = [int(part) for part in text.split()]
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
    raise DataError(f"annotation file {path}: line {line + 1}: {problem}; {_FORMAT}: {_RESTORE}")


def _sizes(folder: Path, names: Sequence[str]) -> Ints:
    """Width and height of every image, (m, 2); 0 where it is not there."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = pool.map(lambda name: images.size(folder / name) or (0, 0), names)
        return np.array(list(found), np.int64).reshape(-1, 2)


# --- which faces count ----------------------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    """The MATLAB files: all faces, then those of each setting."""
    return [folder / f"wider_{part}_val.mat" for part in ("face", *SETTINGS)]


def _marks(folder: Path, faces: Faces, source: Path) -> Ints:
    """The mark of each face of the val split, (n,)."""
    every, *settings = files(folder)
    content = _mat(every, ("event_list", "file_list", "face_bbx_list"))
    events = [_text(one, every) for one in content["event_list"]]
    listed = _cells(content["file_list"], every, len(events))
    held = _cells(content["face_bbx_list"], every, [len(one) for one in listed])
    places = {
        f"{event}/{_text(one, every)}.jpg": (row, column)
        for row, event in enumerate(events)
        for column, one in enumerate(listed[row])
    }
    _together(faces, places, held, every, source)
    marks = np.zeros(len(faces.boxes), np.int64)
    starts = np.cumsum(faces.counts) - faces.counts
    for bit, path in enumerate(settings):
        chosen = _cells(_mat(path, ("gt_list",))["gt_list"], path, [len(one) for one in listed])
        for name, count, start in zip(faces.names, faces.counts, starts, strict=True):
            row, column = places[name]
            marks[start + _rows(chosen[row][column], int(count), name, path)] |= 1 << bit
    return marks


def _together(
    faces: Faces,
    places: dict[str, tuple[int, int]],
    held: list[list[Any]],
    every: Path,
    source: Path,
) -> None:
    """Check that the lists are about the faces of the annotation file."""
    if odd := sorted(set(faces.names) ^ set(places)):
        here, there = (every, source) if odd[0] in places else (source, every)
        raise DataError(
            f"{odd[0]} is in {here} and not in {there}; take both from one release of WIDER FACE"
        )
    ends = np.cumsum(faces.counts)
    for name, count, end in zip(faces.names, faces.counts, ends, strict=True):
        row, column = places[name]
        try:
            boxes = np.asarray(held[row][column], np.float64).reshape(-1, 4)
        except (TypeError, ValueError):
            _damaged(every, f"the faces of {name} are no boxes")
        own = faces.boxes[end - count : end]
        if not count and not boxes.any():
            continue
        if len(boxes) != count or not (np.abs(boxes - own) <= _APART).all():
            raise DataError(
                f"{every}: the faces of {name} are not those in {source}; take both from one "
                f"release of WIDER FACE"
            )


def _rows(chosen: Any, count: int, name: str, path: Path) -> Ints:
    """The places, from 0, of an image's faces that a list names from 1."""
    found = np.asarray(chosen).ravel()
    if not len(found):
        return np.zeros(0, np.int64)
    if found.dtype.kind not in "iuf" or not ((found >= 1) & (found <= count)).all():
        _damaged(path, f"it names a face of {name} that is not among its {count}")
    return found.astype(np.int64) - 1


def _mat(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """The cells of a MATLAB file's variables."""
    from scipy.io import loadmat

    try:
        data = inputs.content(path)
    except FileNotFoundError:
        raise DataError(
            f"ground truth list {path} is not there; unpack WIDER FACE's eval_tools.zip"
        ) from None
    except OSError as error:
        raise DataError(f"ground truth list {path} cannot be read: {error.strerror}") from None
    try:
        _check_unpacked(data)
        content = loadmat(BytesIO(data), variable_names=list(names))
    except inputs.TooLarge as error:
        _damaged(path, str(error))
    except Exception:  # over a damaged file scipy raises what comes
        _damaged(path, "it is no MATLAB file of version 5")
    if missing := [name for name in names if name not in content]:
        _damaged(path, f"it has no '{missing[0]}'")
    return {name: list(np.asarray(content[name]).ravel()) for name in names}


def _check_unpacked(data: bytes) -> None:
    """Raise ``TooLarge`` if the packed variables of a MATLAB file come to more than is read."""
    place, total, limit = _MAT_HEADER, 0, inputs.bound(len(data))
    while place + 8 <= len(data) and total <= limit:
        kind, size = struct.unpack_from("<II", data, place)
        part = data[place + 8 : place + 8 + size]
        if kind == _MAT_PACKED:
            total += len(zlib.decompressobj().decompress(part, limit + 1 - total))
        place += 8 + size
    inputs.check_bound(total, len(data))


def _cells(cells: list[Any], path: Path, wanted: int | list[int]) -> list[list[Any]]:
    """Cells of each event, of which there are ``wanted``, or so many in each."""
    found = [list(np.asarray(one).ravel()) for one in cells]
    counts = len(found) if isinstance(wanted, int) else [len(one) for one in found]
    if counts != wanted:
        _damaged(path, "its events have other numbers of images than wider_face_val.mat lists")
    return found


def _text(cell: Any, path: Path) -> str:
    parts = np.asarray(cell).ravel()
    if len(parts) != 1 or not isinstance(parts[0], str):
        _damaged(path, "the name of an event or image is no text")
    return str(parts[0])


def _damaged(path: Path, problem: str) -> NoReturn:
    raise DataError(f"ground truth list {path}: {problem}; {_RESTORE} from eval_tools.zip")
