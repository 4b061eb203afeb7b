"""Which faces of WIDER FACE's val split count in which setting: the evaluation tools' lists.

``wider_face_val.mat`` lists events, images and faces, ``wider_<setting>_val.mat`` the places of
those that count, MATLAB files of cells within cells.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from detbench import inputs
from detbench.data.faults import RESTORE, Faults
from detbench.errors import DataError

if TYPE_CHECKING:
    from detbench.data.coco_check import Ints
    from detbench.data.widerface_files import Faces

SETTINGS = ("easy", "medium", "hard")
"""A face that counts in setting k has bit k of its mark."""

_MAT_HEADER, _MAT_PACKED = 128, 15  # bytes before the variables; the kind of packed ones
_APART = 1.0  # pixels between the text's and the lists' boxes, of which one may have rounded


def files(folder: Path) -> list[Path]:
    """The MATLAB files: all faces, then those of each setting."""
    return [folder / f"wider_{part}_val.mat" for part in ("face", *SETTINGS)]


def marks_of(folder: Path, faces: Faces, source: Path, told: Faults) -> Ints:
    """The mark of each face of the val split, (n,); where faults are listed, 0 for the faces of an
    image that has one.
    """
    every, *settings = files(folder)
    content = mat(every, ("event_list", "file_list", "face_bbx_list"))
    events = [_text(one, every) for one in content["event_list"]]
    listed = _cells(content["file_list"], every, len(events))
    held = _cells(content["face_bbx_list"], every, [len(one) for one in listed])
    places = {
        f"{event}/{_text(one, every)}.jpg": (row, column)
        for row, event in enumerate(events)
        for column, one in enumerate(listed[row])
    }
    odd = _together(faces, places, held, (every, source), told)
    marks = np.zeros(len(faces.boxes), np.int64)
    starts = np.cumsum(faces.counts) - faces.counts
    for bit, path in enumerate(settings):
        chosen = _cells(mat(path, ("gt_list",))["gt_list"], path, [len(one) for one in listed])
        for name, count, start in zip(faces.names, faces.counts, starts, strict=True):
            if name in odd:
                continue
            row, column = places[name]
            try:
                rows = _rows(chosen[row][column], int(count), name, path)
            except DataError as error:
                told.add(str(error))
                continue
            marks[start + rows] |= 1 << bit
    return marks


def _together(
    faces: Faces,
    places: dict[str, tuple[int, int]],
    held: list[list[Any]],
    files: tuple[Path, Path],
    told: Faults,
) -> set[str]:
    """Images whose faces in the lists, the first of the files, are not the annotation file's."""
    every, source = files
    odd = set(faces.names) ^ set(places)
    for name in sorted(odd):
        here, there = (every, source) if name in places else (source, every)
        told.add(
            f"{name} is in {here} and not in {there}; take both from one release of WIDER FACE"
        )
    ends = np.cumsum(faces.counts)
    for name, count, end in zip(faces.names, faces.counts, ends, strict=True):
        if name in odd:
            continue
        row, column = places[name]
        try:
            boxes = np.asarray(held[row][column], np.float64).reshape(-1, 4)
        except (TypeError, ValueError):
            odd.add(name)
            told.add(_damage(every, f"the faces of {name} are no boxes"))
            continue
        own = faces.boxes[end - count : end]
        if not count and not boxes.any():
            continue
        if len(boxes) != count or not (np.abs(boxes - own) <= _APART).all():
            odd.add(name)
            told.add(
                f"{every}: the faces of {name} are not those in {source}; take both from one "
                f"release of WIDER FACE"
            )
    return odd


def _rows(chosen: Any, count: int, name: str, path: Path) -> Ints:
    """The places, from 0, of an image's faces that a list names from 1."""
    found = np.asarray(chosen).ravel()
    if not len(found):
        return np.zeros(0, np.int64)
    if found.dtype.kind not in "iuf" or not ((found >= 1) & (found <= count)).all():
        _damaged(path, f"it names a face of {name} that is not among its {count}")
    return found.astype(np.int64) - 1


def mat(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
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


def _damage(path: Path, problem: str) -> str:
    return f"ground truth list {path}: {problem}; {RESTORE} from eval_tools.zip"


def _damaged(path: Path, problem: str) -> NoReturn:
    raise DataError(_damage(path, problem))
