"""Checks of an annotation file in COCO's format, and its contents as plain columns.

Columns, as COCO's 860 001 training annotations take gigabytes as dictionaries.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detbench import inputs
from detbench.data.box_rule import AS_ANNOTATED, UNEDITED, BoxRule, Edited
from detbench.data.coco_boxes import check_boxes, is_number, is_whole, read_boxes
from detbench.data.faults import fail
from detbench.data.segmentations import Damaged, Segmentations, as_json, parse
from detbench.errors import DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """An annotation file.

    Attributes:
        categories: (id, name), ids ascending.
        image_ids: (m,), ascending.
        image_sizes: (m, 2), width and height.
        file_names: of the m images.
        ids, image_rows, labels, boxes, areas, crowd: (n,) each and (n, 4) for boxes [x, y, w, h] as
            annotated; ordered by image; ``image_rows`` index the images, ``labels`` the categories.
        sources: the annotation file; or that of each image, where each has its own.
        marks: (n,), what the data set's own protocol tells objects apart by; none if nothing.
        verified: (v, 2), rows of images and labels of classes that are known to be there or not to
            be; none where all are.
        ancestors: of each category those above it, by label; none where none is above another.
        masks: of the n objects; none unless they were asked for.
        federated: images name the classes that were looked for in them, as LVIS's do.
        edited: what a rule that was asked for has changed of the boxes.
    """

    categories: list[tuple[int, str]]
    image_ids: Ints
    image_sizes: Ints
    file_names: Sequence[str]
    ids: Ints
    image_rows: Ints
    labels: Ints
    boxes: Floats
    areas: Floats
    crowd: Ints
    sources: tuple[Path, ...]
    marks: Ints | None = None
    verified: Ints | None = None
    ancestors: tuple[Ints, ...] | None = None
    masks: Segmentations | None = None
    federated: bool = False
    edited: Edited = UNEDITED

    def source(self, row: int) -> Path:
        """The file that annotates image ``row``."""
        return self.sources[row] if len(self.sources) > 1 else self.sources[0]

    def first(self, images: int) -> Table:
        """The first so many images and what is on them, without ``verified``."""
        count = int(np.searchsorted(self.image_rows, images))
        of_images = ("image_ids", "image_sizes", "file_names")
        of_objects = ("ids", "image_rows", "labels", "boxes", "areas", "crowd", "marks")
        ends = dict.fromkeys(of_images, images) | dict.fromkeys(of_objects, count)
        columns = {name: getattr(self, name) for name in ends}
        cut: dict[str, Any] = {
            name: one if one is None else one[: ends[name]] for name, one in columns.items()
        }
        return replace(self, **cut, verified=None)

    def as_edited(self, content: dict[str, Any]) -> dict[str, Any]:
        """COCO's dictionary that it was read from, with the boxes and areas as they were edited;
        everything else in it stays.
        """
        columns = (self.ids.tolist(), self.boxes.tolist(), self.areas.tolist())
        kept = {id_: {"bbox": box, "area": area} for id_, box, area in zip(*columns, strict=True)}
        found = [one | kept[one["id"]] for one in content["annotations"] if one["id"] in kept]
        return {**content, "annotations": found}

    def ground_truth(self, description: str) -> dict[str, Any]:
        """COCO's dictionary, with the boxes as annotated; with masks, these as compressed RLEs."""
        known = [category for category, _ in self.categories]
        columns = (
            self.ids.tolist(),
            self.image_ids[self.image_rows].tolist(),
            [known[label] for label in self.labels.tolist()],
            self.boxes.tolist(),
            self.areas.tolist(),
            self.crowd.tolist(),
        )
        names = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
        annotations = [
            dict(zip(names, row, strict=True), ignore=row[-1]) for row in zip(*columns, strict=True)
        ]
        if self.marks is not None:
            for one, mark in zip(annotations, self.marks.tolist(), strict=True):
                one["marks"] = mark
        if self.masks is not None:
            for row in np.flatnonzero(self.masks.present).tolist():
                [rle] = self.masks.rles(np.array([row]))
                annotations[row]["segmentation"] = as_json(rle)
        images = [
            {"id": id_, "width": width, "height": height, "file_name": name}
            for id_, (width, height), name in zip(
                self.image_ids.tolist(), self.image_sizes.tolist(), self.file_names, strict=True
            )
        ]
        return {
            "info": {"description": description},
            "images": images,
            "categories": [{"id": id_, "name": name} for id_, name in self.categories],
            "annotations": annotations,
        }


def read(path: Path, masks: bool = False, rule: BoxRule = AS_ANNOTATED) -> Table:
    """Read and check an annotation file; segmentations only for ``masks``.

    Raises:
        DataError: the first thing that is wrong, in one line.
    """
    return check(parsed(path), path, masks, rule)


def parsed(path: Path) -> Any:
    """What an annotation file's JSON holds, unchecked.

    Raises:
        DataError: it is not there, cannot be read, or is no JSON.
    """
    try:
        return inputs.from_json(inputs.unpacked(inputs.content(path)))
    except FileNotFoundError:
        raise DataError(
            f"annotation file {path} is not there; mend the path, or --data-root / DETBENCH_DATA"
        ) from None
    except OSError as error:
        said = error.strerror or one_line(error)
        raise DataError(f"annotation file {path} cannot be read: {said}") from None
    except (inputs.TooLarge, inputs.Twice) as error:
        raise DataError(f"annotation file {path}: {error}") from None
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
        raise DataError(
            f"annotation file {path} is truncated or no JSON ({one_line(error)}); "
            f"fetch or make it again"
        ) from None


def check(content: Any, path: Path, masks: bool = False, rule: BoxRule = AS_ANNOTATED) -> Table:
    """Check a parsed annotation file.

    Args:
        content: what the JSON holds.
        path: the file, for messages.
        masks: keep and check segmentations too, which nobody else pays for.
        rule: what becomes of boxes that reach outside, or have no area.

    Raises:
        DataError: the first thing that is wrong, with the annotation's or image's id.
    """
    if not isinstance(content, dict):
        fail(path, "holds no JSON object", "COCO's format has images, annotations, categories")
    sections = [_section(content, name, path) for name in ("categories", "images", "annotations")]
    categories = _categories(sections[0], path)
    image_ids, image_sizes, file_names = _images(sections[1], path)
    annotations = sections[2]

    ids = _integers(annotations, "id", "annotation", path)
    _unique(annotations, ids, "annotation", path)
    known = np.array([category for category, _ in categories], np.int64)
    labels = _positions(known, _integers(annotations, "category_id", "annotation", path))
    image_rows = _positions(image_ids, _integers(annotations, "image_id", "annotation", path))
    _references(annotations, labels, image_rows, known, path)
    boxes = read_boxes(annotations, path)
    crowd = _optional(annotations, "iscrowd", np.zeros(len(boxes)), path)
    areas = _optional(annotations, "area", boxes[:, 2] * boxes[:, 3], path)
    check_boxes(boxes, annotations, image_sizes[image_rows], path, rule)
    boxes, areas, kept, edited = rule.apply(boxes, areas, image_sizes[image_rows])

    order = np.argsort(image_rows, kind="stable")
    order = order[kept[order]]
    ordered = [annotations[row] for row in order] if masks else []
    found = _segmentations(ordered, image_sizes[image_rows[order]], path) if masks else None
    return Table(
        categories,
        image_ids,
        image_sizes,
        file_names,
        ids[order],
        image_rows[order],
        labels[order],
        boxes[order],
        areas[order],
        (crowd[order] != 0).astype(np.int64),
        (path,),
        masks=found,
        federated=federated(sections[1]),
        edited=edited,
    )


def _segmentations(annotations: list[dict[str, Any]], sizes: Ints, path: Path) -> Segmentations:
    """Masks of annotations in images of ``sizes``, (n, 2), width and height."""
    try:
        return parse([entry.get("segmentation") for entry in annotations], sizes[:, ::-1])
    except Damaged as error:
        name = f"annotation {annotations[error.row]['id']}"
        fail(path, f"{name} {error.problem}", error.advice, [annotations[error.row]])


def federated(images: Sequence[dict[str, Any]]) -> bool:
    """Whether images name the classes that were looked for in them, so that of others nothing
    is known (LVIS: Gupta et al. 2019).
    """
    return any("neg_category_ids" in one or "not_exhaustive_category_ids" in one for one in images)


def check_files(folder: Path, names: Sequence[str], annotations: Path) -> None:
    """Every listed image is in the folder; they are not opened."""
    missing = missing_files(folder, names)
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(names)} images that {annotations} lists are not in "
            f"{folder}, for example {missing[0]}; restore them or name the right folder"
        )


def check_folder(folder: Path) -> None:
    """The folder of images is there."""
    if not folder.is_dir():
        raise DataError(
            f"image folder {folder} is not there; mend the path, or --data-root / DETBENCH_DATA"
        )


def missing_files(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of the listed images that are not in the folder; they are not opened.

    Raises:
        DataError: there is no such folder.
    """
    check_folder(folder)
    # ``isfile``, as ``Path`` raises over a name that is too long or has a zero byte in it.
    # One listing, as asking for 118287 files one by one takes minutes on a network disk.
    present = {entry.name for entry in os.scandir(folder)}
    return [n for n in names if n not in present and not os.path.isfile(folder / n)]


def one_line(error: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def _section(content: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    if name not in content:
        fail(path, f"has no '{name}'", "COCO's format has images, annotations and categories")
    section = content[name]
    if not isinstance(section, list):
        fail(path, f"'{name}' is no list", "it is a list of objects in COCO's format")
    for row, entry in enumerate(section):
        if not isinstance(entry, dict):
            fail(path, f"'{name}' entry {row} is no object", "mend or remove it")
    if not section and name != "annotations":
        fail(path, f"'{name}' is empty", "there is nothing to detect in it")
    return section


def _categories(section: list[dict[str, Any]], path: Path) -> list[tuple[int, str]]:
    ids = _integers(section, "id", "category", path)
    _unique(section, ids, "category", path)
    known: dict[str, Any] = {}
    for entry in section:
        _check_text(entry, "name", "category", path)
        first = known.setdefault(entry["name"], entry)
        if first is not entry:
            said = f"categories {first['id']} and {entry['id']} are both called {entry['name']!r}"
            fail(path, said, "classes are told apart by their names: rename either", [entry])
    return sorted((int(entry["id"]), entry["name"]) for entry in section)


def _images(section: list[dict[str, Any]], path: Path) -> tuple[Ints, Ints, list[str]]:
    ids = _integers(section, "id", "image", path)
    _unique(section, ids, "image", path)
    sizes = np.stack([_integers(section, key, "image", path) for key in ("width", "height")], 1)
    bad = np.flatnonzero((sizes < 1).any(axis=1))
    if len(bad):
        width, height = sizes[bad[0]]
        entry = section[bad[0]]
        fail(path, f"image {entry['id']} is {width}x{height}", "give its size in pixels", [entry])
    for entry in section:
        _check_text(entry, "file_name", "image", path)
        if not entry["file_name"]:
            fail(path, f"image {entry['id']} has no 'file_name'", "give it one", [entry])
    order = np.argsort(ids)
    return ids[order], sizes[order], [section[row]["file_name"] for row in order]


def _check_text(entry: dict[str, Any], key: str, what: str, path: Path) -> None:
    value, name = entry.get(key), f"{what} {entry['id']}"
    if value is None:
        fail(path, f"{name} has no '{key}'", "give it one", [entry])
    if not isinstance(value, str):
        fail(path, f"{name} has {key} {value!r:.60}", f"{key} is a text, in quotes", [entry])
    if said := inputs.why_no_text(value):
        fail(path, f"{name} has {key} {value!r:.60}, with {said}", "mend it", [entry])


def _integers(section: list[dict[str, Any]], key: str, what: str, path: Path) -> Ints:
    """The whole numbers at ``key`` of every entry, (n,)."""
    values = [entry.get(key) for entry in section]
    for row, value in enumerate(values):
        if is_whole(value) and abs(value) < 2**63:
            continue
        name = f"{what} {section[row].get('id', f'number {row + 1}')}"
        problem = f"has no '{key}'" if value is None else f"has {key} {value!r}"
        fail(path, f"{name} {problem}", f"{key} is a whole number", [section[row]])
    return np.array(values, np.int64)


FLAG = "iscrowd"
"""What is a number in COCO's format, and true or false in many files."""


def _optional(
    section: list[dict[str, Any]], key: str, default: Floats | NDArray[Any], path: Path
) -> Floats:
    """The numbers at ``key``, and ``default`` where an entry has none, (n,)."""
    values = default.astype(np.float64)
    for row, entry in enumerate(section):
        value = entry.get(key)
        if value is None:
            continue
        if not (is_number(value) or (key == FLAG and isinstance(value, bool))) or value < 0:
            said = f"annotation {entry['id']} has {key} {value!r}"
            fail(path, said, f"mend its {key}", [entry])
        values[row] = value
    return values


def _unique(section: list[dict[str, Any]], ids: Ints, what: str, path: Path) -> None:
    found, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        twice = found[counts > 1][0]
        again = [section[row] for row in np.flatnonzero(ids == twice)[1:]]
        fail(path, f"{what} id {twice} occurs twice", "ids are unique", again)


def _positions(known: Ints, wanted: Ints) -> Ints:
    """Index of each of ``wanted`` in ``known``, (n,), or -1. ``known`` may be in any order."""
    order = np.argsort(known)
    places = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    rows = order[places]
    return np.where(known[rows] == wanted, rows, -1).astype(np.int64)


def _references(
    annotations: Sequence[dict[str, Any]], labels: Ints, image_rows: Ints, known: Ints, path: Path
) -> None:
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        entry = annotations[unknown[0]]
        fail(
            path,
            f"annotation {entry['id']} has category_id {entry['category_id']}, which is not among "
            f"the {len(known)} categories (ids {known.min()} to {known.max()}); "
            f"{len(unknown)} annotations do",
            "mend them or list their category",
            [annotations[row] for row in unknown.tolist()],
        )
    unknown = np.flatnonzero(image_rows < 0)
    if len(unknown):
        entry = annotations[unknown[0]]
        fail(
            path,
            f"annotation {entry['id']} belongs to image {entry['image_id']}, which is not listed; "
            f"{len(unknown)} annotations do",
            "list the image or remove them",
            [annotations[row] for row in unknown.tolist()],
        )
