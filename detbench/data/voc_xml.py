"""Pascal VOC's annotations (Everingham et al. 2010), in the columns of COCO's. No torch.

The development kit's layout, ``VOC<year>/{Annotations,ImageSets/Main,JPEGImages}``. Choices, all as
MMDetection makes them (``datasets/xml_style.py`` and its converter of VOC to COCO), as Decoupled
R-CNN's numbers were made with it:

- Corners count pixels from 1. One is taken off all four, so that (1, 1, w, h), the whole image,
  becomes xyxy (0, 0, w - 1, h - 1): a box is a pixel narrower and lower than what it covers. VOC's
  own AP adds that pixel again (``evaluation/voc.py``). Fractions of a pixel, of which VOC2012 has a
  few, are dropped.
- Difficult objects are not learnt from and become COCO's crowds. So COCO's AP counts neither a
  detection of one nor its absence; it takes a detection for one by the share of the detection's
  area that lies inside, and any number of them, VOC's own AP by the best IoU of all objects.
- Ids are positions: images in the order of the lists, categories in the alphabet's, both from 0.

Unlike there, a class outside VOC's 20 is an error and not skipped, and small objects are learnt
from (MMDetection 3's configuration leaves out those under 32 pixels).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from detbench import inputs
from detbench.data.box_rule import AS_ANNOTATED, EXCESS, BoxRule
from detbench.data.coco_check import Table, one_line
from detbench.errors import DataError

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_LABELS = {name: label for label, name in enumerate(CLASSES)}


@dataclass(frozen=True)
class _Object:
    """An annotated object: label, xyxy from 0, whether it is difficult."""

    label: int
    box: tuple[int, int, int, int]
    difficult: bool


_Annotated = tuple[tuple[int, int], list[_Object]]
"""Width and height of an image, and its objects."""


def read(devkit: Path, names: Sequence[str], rule: BoxRule = AS_ANNOTATED) -> Table:
    """Read and check the annotations of some image lists.

    Args:
        devkit: the folder that holds ``VOC2007`` and ``VOC2012``.
        names: the lists, each ``<year>_<list>`` as in ``2007_trainval``; no image may be in two.
        rule: what becomes of boxes that reach outside, or have no area.

    Returns:
        The columns; ``file_names`` are relative to ``devkit``. Images are not looked for.

    Raises:
        DataError: the first thing that is wrong, with its file, in one line.
    """
    sources, files = _listed(devkit, names)
    found = [_annotation(one, rule) for one in sources]
    return rule.to_table(_table(found, files, sources), pixel=1)


def sifted(
    devkit: Path, names: Sequence[str], rule: BoxRule = AS_ANNOTATED
) -> tuple[Table | None, list[str]]:
    """As ``read``, less the images whose annotations are at fault, and a sentence for each of them;
    no table where none is left, or the lists cannot be read.
    """
    faults: list[str] = []
    sound: list[tuple[_Annotated, str, Path]] = []
    try:
        sources, files = _listed(devkit, names)
    except DataError as error:
        return None, [str(error)]
    for source, file in zip(sources, files, strict=True):
        try:
            sound.append((_annotation(source, rule), file, source))
        except DataError as error:
            faults.append(str(error))
    if not sound:
        return None, faults
    found, kept, own = (list(column) for column in zip(*sound, strict=True))
    return rule.to_table(_table(found, kept, own), pixel=1), faults


def _listed(devkit: Path, names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The annotation files of image lists, and their images, relative to ``devkit``."""
    sources: list[Path] = []
    files: list[str] = []
    for name in names:
        year, _, own = name.partition("_")
        folder = devkit / f"VOC{year}"
        for image in listed(folder / "ImageSets" / "Main" / f"{own}.txt"):
            sources.append(folder / "Annotations" / f"{image}.xml")
            files.append(f"VOC{year}/JPEGImages/{image}.jpg")
    twice, times = Counter(files).most_common(1)[0]
    if times > 1:
        raise DataError(
            f"{' and '.join(names)} in {devkit} list {twice} twice; name lists that share no image"
        )
    return sources, files


def _table(annotated: Sequence[_Annotated], files: list[str], sources: list[Path]) -> Table:
    sizes, objects = zip(*annotated, strict=True)
    flat = [one for found in objects for one in found]
    corners = np.array([one.box for one in flat], np.float64).reshape(-1, 4)
    boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
    return Table(
        categories=list(enumerate(CLASSES)),
        image_ids=np.arange(len(files)),
        image_sizes=np.array(sizes, np.int64),
        file_names=files,
        ids=np.arange(1, len(flat) + 1),
        image_rows=np.repeat(np.arange(len(files)), [len(found) for found in objects]),
        labels=np.array([one.label for one in flat], np.int64),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowd=np.array([one.difficult for one in flat], np.int64),
        sources=tuple(sources),
    )


def listed(path: Path) -> list[str]:
    """The names in an image list."""
    try:
        lines = inputs.text(path).splitlines()
    except FileNotFoundError:
        raise DataError(
            f"image list {path} is not there; mend its name, or --data-root / DETBENCH_DATA"
        ) from None
    except OSError as error:
        raise DataError(f"image list {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"image list {path} is no text; restore the file") from None
    names = [line.strip() for line in lines if line.strip()]
    for name in names:
        if len(name.split()) > 1:
            # The lists of one class, as in aeroplane_train.txt, have a second column.
            raise DataError(
                f"image list {path}: '{name}' is no image's name; use a list of one name per line"
            )
    if not names:
        raise DataError(f"image list {path} is empty; there is nothing to detect in it")
    return names


def _annotation(path: Path, rule: BoxRule) -> _Annotated:
    """Width and height of an image, and its objects."""
    try:
        with inputs.opened(path) as file:
            root = ET.parse(file).getroot()
    except FileNotFoundError:
        raise DataError(
            f"annotation file {path} is not there, but an image list names it; restore the file"
        ) from None
    except OSError as error:
        raise DataError(f"annotation file {path} cannot be read: {error.strerror}") from None
    # Over an encoding that it does not know, ElementTree raises one of the other two.
    except (ET.ParseError, LookupError, ValueError) as error:
        raise DataError(
            f"annotation file {path} is truncated or no XML ({one_line(error)}); restore the file"
        ) from None
    width, height = (_number(root, f"size/{side}", "the image", path) for side in _SIDES)
    if width < 1 or height < 1:
        _fail(path, f"the image is {width}x{height}", "give its size in pixels")
    found = [
        _object(element, number, (width, height), path, rule)
        for number, element in enumerate(root.findall("object"), start=1)
    ]
    return (width, height), found


_SIDES = ("width", "height")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _object(
    element: ET.Element, number: int, size: tuple[int, int], path: Path, rule: BoxRule
) -> _Object:
    what = f"object {number}"
    name = (_text(element, "name", what, path) or "").strip()
    if name not in _LABELS:
        _fail(
            path, f"{what} is of class '{name}', which is not among VOC's 20", "mend or remove it"
        )
    what = f"{what} ({name})"
    x1, y1, x2, y2 = (_number(element, f"bndbox/{c}", what, path) - 1 for c in _CORNERS)
    said = f"xmin, ymin, xmax, ymax {x1 + 1}, {y1 + 1}, {x2 + 1}, {y2 + 1}"
    turned = x2 < x1 or y2 < y1
    if turned or (rule.no_area is None and (x2 == x1 or y2 == y1)):
        advice = "mend or remove it" + ("" if turned else ", or set data.no_area to drop")
        _fail(path, f"{what} has no area ({said})", advice)
    far = min(x1, y1) < -EXCESS or x2 + 1 > size[0] + EXCESS or y2 + 1 > size[1] + EXCESS
    if far and rule.outside is None:
        _fail(
            path,
            f"{what} reaches more than {EXCESS:g} pixels outside its image ({said} in "
            f"{size[0]}x{size[1]})",
            "mend or remove it, or set data.outside to clip or drop",
        )
    difficult = element.find("difficult") is not None and _number(element, "difficult", what, path)
    return _Object(_LABELS[name], (x1, y1, x2, y2), bool(difficult))


def _text(element: ET.Element, key: str, what: str, path: Path) -> str | None:
    """What is written at ``key``; none if nothing is there."""
    found = element.findall(key)
    if len(found) > 1:
        _fail(path, f"{what} has {len(found)} of '{key}'", "leave all but one out")
    return (found[0].text or "") if found else None


def _number(element: ET.Element, key: str, what: str, path: Path) -> int:
    """The number at ``key``, without its fraction."""
    text = _text(element, key, what, path)
    if text is None:
        _fail(path, f"{what} has no '{key}'", "VOC's annotations have one: restore the file")
    try:
        value = inputs.number(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e9:
        _fail(path, f"{what} has {key} '{one_line(ValueError(text))}'", "it is a number")
    return int(value)


def _fail(path: Path, problem: str, advice: str) -> NoReturn:
    raise DataError(f"annotation file {path}: {problem}; {advice}")
