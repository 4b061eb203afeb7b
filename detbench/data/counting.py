"""How big a split is, without reading it whole. No torch.

Objects are counted by the key that each annotation has, which takes a second for COCO where parsing
takes many; whether a file is sound is for ``inspect`` to tell.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from detbench import inputs
from detbench.data.kind import Entry
from detbench.errors import DataError

if TYPE_CHECKING:
    from detbench.data.openimages_files import Files

_IMAGE, _OBJECT = (re.compile(rb'"%s"\s*:' % key) for key in (b"file_name", b"category_id"))
_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_CHUNK = 1 << 24
_LONGEST = 64  # of what the patterns match, white space included


def of_json(name: str, split: str, file: Path, folder: Path) -> Entry:
    """A split of one annotation file in COCO's JSON and a folder of images."""
    if not file.is_file():
        return Entry(name, split, str(file), None, None, "annotation file")
    try:
        images, objects = count(file)
    except OSError as error:
        return Entry(name, split, str(file), None, None, f"cannot be read: {error.strerror}")
    if not folder.is_dir():
        return Entry(name, split, str(file), images, objects, f"image folder {folder}")
    there = sum(entry.is_file() for entry in os.scandir(folder))
    # Images may lie in folders of their own; then a listing tells nothing.
    lacking = images - there if there else 0
    return Entry(name, split, str(file), images, objects, _some(lacking, "image"))


def of_voc_list(name: str, split: str, problem: str | None, folder: Path, path: Path) -> Entry:
    """An image list of Pascal VOC.

    Args:
        problem: why it cannot be used, as of ``DataSet.why_missing``.
        folder: of its year.
        path: of the list.
    """
    if problem:
        what = problem.partition(" is not there")[0].replace(f" {path}", "")
        return Entry(name, split, str(path), None, None, what)
    try:
        names = inputs.text(path, errors="replace").split()
        objects = 0
        lacking = 0
        for image in names:
            try:
                text = inputs.content(folder / "Annotations" / f"{image}.xml")
            except (FileNotFoundError, ValueError):  # the latter: no name of a file
                lacking += 1
                continue
            objects += text.count(b"<object>")
    except OSError as error:
        return Entry(name, split, str(path), None, None, f"cannot be read: {error.strerror}")
    return Entry(name, split, str(path), len(names), objects, _some(lacking, "annotation file"))


def of_faces(name: str, split: str, file: Path, folder: Path, lists: list[Path]) -> Entry:
    """A split of WIDER FACE: its annotation file, its folder of images, the lists that it needs."""
    if not file.is_file():
        return Entry(name, split, str(file), None, None, "annotation file")
    from detbench.data.coco_check import missing_files
    from detbench.data.widerface_files import parse

    try:
        found = parse(file)
        lacking = len(missing_files(folder, found.names)) if folder.is_dir() else 0
    except DataError as error:
        return Entry(name, split, str(file), None, None, str(error))
    away = f"image folder {folder}" if not folder.is_dir() else _some(lacking, "image")
    gone = next((f"ground truth list {path}" for path in lists if not path.is_file()), "")
    return Entry(name, split, str(file), len(found.names), len(found.boxes), away or gone)


def of_yolo(name: str, split: str, file: Path, root: Path) -> Entry:
    """A split of a YOLO folder: its images, and the lines of their labels."""
    from detbench.data.yolo_files import label_of
    from detbench.data.yolo_yaml import listed_images, parse

    try:
        images = listed_images(parse(file, root), split).files
    except DataError as error:
        return Entry(name, split, str(file), None, None, str(error))
    objects = 0
    for path in map(label_of, images):
        try:
            objects += sum(bool(line.strip()) for line in inputs.content(path).splitlines())
        except FileNotFoundError:
            continue
        except OSError as error:
            said = f"{path} cannot be read: {error.strerror}"
            return Entry(name, split, str(file), len(images), None, said)
    return Entry(name, split, str(file), len(images), objects)


def of_open_images(name: str, split: str, files: Files) -> Entry:
    """A split of OpenImages: its boxes, and the images that they are on."""
    gone = next((path for path in files.annotations if not path.is_file()), None)
    if gone is not None:
        return Entry(name, split, str(files.boxes), None, None, f"annotation file {gone}")
    import numpy as np

    from detbench.data.openimages_csv import image_ids
    from detbench.data.openimages_files import scan

    try:
        wanted, boxes = image_ids(files.boxes)
        there = scan(files.images).ids if files.images.is_dir() else wanted[:0]
    except DataError as error:
        return Entry(name, split, str(files.boxes), None, None, str(error))
    away = f"image folder {files.images}" if not files.images.is_dir() else ""
    lacking = len(np.setdiff1d(wanted, there, assume_unique=True))
    return Entry(
        *(name, split, str(files.boxes), len(wanted), boxes), away or _some(lacking, "image")
    )


def _some(count: int, what: str) -> str:
    """``3 images``; empty for none."""
    return f"{count} {what}{'s' if count > 1 else ''}" if count > 0 else ""


def names(file: Path) -> list[str]:
    """The file names that a COCO annotation file lists, by their keys.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    content = inputs.unpacked(inputs.content(file))
    return [json.loads(one) for one in _NAME.findall(content)]


def count(file: Path) -> tuple[int, int]:
    """Images and annotations that a COCO annotation file lists, by their keys.

    Raises:
        OSError: it cannot be read.
    """
    counts = [0, 0]
    tail = b""
    with inputs.opened(file) as content:
        while chunk := content.read(_CHUNK):
            text = tail + chunk
            for which, pattern in enumerate((_IMAGE, _OBJECT)):
                # What lies in the tail as a whole has been counted with the chunk before.
                counts[which] += sum(one.end() > len(tail) for one in pattern.finditer(text))
            tail = text[-_LONGEST:]
    return counts[0], counts[1]
