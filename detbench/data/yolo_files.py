"""The YOLO folder layout, in the columns of COCO's, as Ultralytics' pages document it. No torch.

``data.yaml`` says where images are (``path``, ``train``, ``val``: folders, lists of images, or
several of either) and what classes are called (``names``). The label of an image has its name with
``.txt``, and ``labels`` in place of the last folder called ``images``. Each line is an object:

- ``class cx cy w h``, centre and size of its box as shares of the image's width and height;
- ``class x1 y1 x2 y2 ...``, a polygon of three points or more: its box is the polygon's extent, its
  mask the polygon (of lines with five numbers, none), its area the polygon's.

Choices:

- An image without a label, or with an empty one, has no object.
- Photographs are turned as their EXIF says, as programs that use this layout do: where that changes
  the sides, their size is that of the turned image; where it only mirrors or upends, they are
  refused, as pixels are read as stored then (``images``).
- ``path`` is relative to the folder of ``data.yaml``, or to the data folder if it is only there; a
  place that begins with ``../`` and leads nowhere is looked for without it: Roboflow writes such.
- Ids are positions: of images in the order of their names, from 1, of classes from 0.
- Key points (``kpt_shape``) are refused. Nothing that ``data.yaml`` names is downloaded or run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detbench import inputs
from detbench.data import images
from detbench.data.box_rule import EXCESS, BoxRule
from detbench.data.coco_check import Table
from detbench.data.segmentations import Damaged, Segmentations
from detbench.data.segmentations import parse as parse_polygons
from detbench.data.yolo_yaml import Layout, listed_images
from detbench.errors import DataError

LARGEST = inputs.FREE
"""Bytes of the largest label file that is read."""

_FARTHEST = 10.0  # shares; beyond, they are pixels
_FARTHEST_POINT = 1.0  # shares outside the image: pycocotools would walk along every pixel
_LINE = "a line is: class cx cy w h, or: class x1 y1 x2 y2 x3 y3 ..., shares of the image"


@dataclass
class _Objects:
    """What label files hold: a row an object, in the order of the images."""

    rows: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    polygons: list[list[list[float]] | None] = field(default_factory=list)


@dataclass(frozen=True)
class _Line:
    """An object: its class, xywh box and area in pixels, and polygon, if it has one."""

    label: int
    box: tuple[float, float, float, float]
    area: float
    polygon: list[float] | None


def label_of(image: Path) -> Path:
    """Where the label of an image is, if it has one."""
    # As text: of a hundred thousand images pathlib takes many seconds.
    before, found, name = str(image).rpartition(f"{os.sep}images{os.sep}")
    text = f"{before}{os.sep}labels{os.sep}{name}" if found else name
    return Path(os.path.splitext(text)[0] + ".txt")


def read(layout: Layout, split: str, rule: BoxRule, masks: bool = False) -> Table:
    """Read and check a split.

    Raises:
        DataError: the first thing that is wrong, in one line.
    """
    table, faults = sifted(layout, split, rule, masks)
    if faults or table is None:
        raise DataError(faults[0])
    return table


def sifted(
    layout: Layout, split: str, rule: BoxRule, masks: bool = True
) -> tuple[Table | None, list[str]]:
    """A split less the images and lines that are at fault, and a sentence for each fault; no table
    where no image is left.
    """
    try:
        found = listed_images(layout, split)
    except DataError as error:
        return None, [str(error)]
    files, sizes, faults = _sized(found.files, found.faults)
    if not files:
        return None, faults
    objects = _Objects()
    for row, (file, size) in enumerate(zip(files, sizes, strict=True)):
        faults += _labelled(file, size, row, len(layout.names), rule, objects)
    return _table(layout, files, np.array(sizes, np.int64), objects, rule, masks), faults


def strays(layout: Layout, split: str) -> list[str]:
    """Label files that belong to no image, and those that two images share; a sentence each."""
    files = listed_images(layout, split).files
    labels: dict[Path, Path] = {}
    said = []
    for file in files:
        first = labels.setdefault(label_of(file), file)
        if first != file:
            said.append(f"label file {label_of(file)}: both {first} and {file} have it; remove one")
    for place in layout.places[split]:
        if place.is_dir():
            folder = label_of(place / "x").parent
            names = sorted(folder.rglob("*.txt"))
            said += [
                f"label file {name} has no image; remove it, or restore the image"
                for name in names
                if name not in labels and name.name != "classes.txt"
            ]
    return said


def _sized(
    files: Sequence[Path], known: Iterable[str]
) -> tuple[list[Path], list[tuple[int, int]], list[str]]:
    """The images whose heads can be read, with width and height, and what is wrong with others."""

    def look(file: Path) -> tuple[int, int] | str:
        try:
            gone = "is a link that leads nowhere" if os.path.islink(file) else "is not there"
            return images.upright_size(file) or f"image {file} {gone}"
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        sizes = list(pool.map(look, files))
    pairs = list(zip(files, sizes, strict=True))
    sound = [(file, size) for file, size in pairs if not isinstance(size, str)]
    faults = [*known, *(size for size in sizes if isinstance(size, str))]
    return [file for file, _ in sound], [size for _, size in sound], faults


def _labelled(
    image: Path, size: tuple[int, int], row: int, classes: int, rule: BoxRule, objects: _Objects
) -> Iterator[str]:
    """Add an image's objects; what is wrong with its label file, in sentences."""
    path = label_of(image)
    try:
        if path.stat().st_size > LARGEST:
            yield f"label file {path} has more than {LARGEST} bytes, the bound of what is read"
            return
        lines = inputs.text(path, "utf-8-sig").splitlines()
    except FileNotFoundError:
        if path.is_symlink():
            yield f"label file {path} is a link that leads nowhere"
        return
    except OSError as error:
        yield f"label file {path} cannot be read: {error.strerror}"
        return
    except UnicodeDecodeError:
        yield f"label file {path} is no text; restore the file"
        return
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = _line(line.split(), size, classes, rule)
        except ValueError as error:
            yield f"label file {path}: line {number}: {error}"
            continue
        objects.rows.append(row)
        objects.labels.append(found.label)
        objects.boxes.append(found.box)
        objects.areas.append(found.area)
        objects.polygons.append(None if found.polygon is None else [found.polygon])


def _line(words: list[str], size: tuple[int, int], classes: int, rule: BoxRule) -> _Line:
    """An object; ``ValueError`` says what is wrong in it."""
    if len(words) != 5 and (len(words) < 7 or len(words) % 2 == 0):
        raise ValueError(f"it has {len(words)} numbers; {_LINE}")
    numbers = [_number(word) for word in words]
    label = int(numbers[0])
    if label != numbers[0] or not 0 <= label < classes:
        raise ValueError(f"class {_shown(words[0])} is none of the {classes}, 0 to {classes - 1}")
    far = _FARTHEST if len(words) == 5 else _FARTHEST_POINT
    odd = next((one for one in numbers[1:] if not -far <= one <= 1 + far), None)
    if odd is not None:
        raise ValueError(f"{odd:g} is no share of the image, 0 to 1, as pixels are not; {_LINE}")
    width, height = size
    if len(words) == 5:
        cx, cy, w, h = numbers[1:]
        if w < 0 or h < 0:
            raise ValueError(f"its box has a negative size ({w:g} x {h:g})")
        box = ((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height)
        found = _Line(label, box, box[2] * box[3], None)
    else:
        found = _of_polygon(label, numbers[1:], width, height)
    _check_box(found.box, size, rule)
    return found


def _of_polygon(label: int, shares: list[float], width: int, height: int) -> _Line:
    xs, ys = [x * width for x in shares[::2]], [y * height for y in shares[1::2]]
    box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    pairs = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True)
    area = abs(sum(x * v - u * y for x, y, u, v in pairs)) / 2
    flat = [one for point in zip(xs, ys, strict=True) for one in point]
    return _Line(label, box, area, flat)


def _check_box(
    box: tuple[float, float, float, float], size: tuple[int, int], rule: BoxRule
) -> None:
    x, y, w, h = box
    said = f"[{x:g}, {y:g}, {w:g}, {h:g}] in pixels of {size[0]}x{size[1]}"
    if rule.no_area is None and (w == 0 or h == 0):
        raise ValueError(
            f"its box has no area ({said}); mend or remove it, or set data.no_area to drop"
        )
    far = min(x, y) < -EXCESS or x + w > size[0] + EXCESS or y + h > size[1] + EXCESS
    if rule.outside is None and far:
        raise ValueError(
            f"its box reaches more than {EXCESS:g} pixels outside its image ({said}); mend or "
            "remove it, or set data.outside to clip or drop"
        )


def _number(word: str) -> float:
    try:
        found = inputs.number(word)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{_shown(word)} is no number; {_LINE}")
    return found


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _table(
    layout: Layout,
    files: Sequence[Path],
    sizes: np.ndarray[Any, np.dtype[np.int64]],
    objects: _Objects,
    rule: BoxRule,
    masks: bool,
) -> Table:
    rows = np.array(objects.rows, np.int64)
    boxes = np.array(objects.boxes, np.float64).reshape(-1, 4)
    done = rule.apply(boxes, np.array(objects.areas, np.float64), sizes[rows])
    kept = np.flatnonzero(done.kept)
    polygons = [objects.polygons[row] for row in kept.tolist()] if masks else []
    return Table(
        categories=list(enumerate(layout.names)),
        image_ids=np.arange(1, len(files) + 1),
        image_sizes=sizes,
        file_names=[layout.name_of(file) for file in files],
        ids=np.arange(1, len(kept) + 1),
        image_rows=rows[kept],
        labels=np.array(objects.labels, np.int64)[kept],
        boxes=done.boxes[kept],
        areas=done.areas[kept],
        crowd=np.zeros(len(kept), np.int64),
        sources=(layout.file,),
        masks=_polygons(polygons, sizes[rows[kept]]) if masks else None,
        edited=done.edited,
    )


def _polygons(
    polygons: list[list[list[float]] | None], sizes: np.ndarray[Any, np.dtype[np.int64]]
) -> Segmentations:
    try:
        return parse_polygons(polygons, sizes[:, ::-1])
    except Damaged as error:  # every line was checked
        raise AssertionError(error) from error
