"""Writing a data set, or a part of one, as COCO JSON with its images."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from detbench.data import Dataset
from detbench.data.coco_check import check_files
from detbench.data.kind import Split
from detbench.data.kinds import Data
from detbench.errors import DataError
from detbench.progress import Tell


@dataclass(frozen=True)
class Written:
    """One split that was written.

    Attributes:
        folder: of its images: one of ours, or where they were.
    """

    split: Split
    annotations: Path
    folder: Path
    images: int
    objects: int


@dataclass(frozen=True)
class Choice:
    """What to write.

    Attributes:
        limit: the first this many images of a split; none is all.
        classes: only objects of these, and images that have one; empty is all.
        copy: the images too, and not only their annotations; drawn ones always are.
        force: replace annotation files that are there.
    """

    limit: int | None = None
    classes: tuple[str, ...] = ()
    copy: bool = False
    force: bool = False


def convert(
    data: Data, root: Path, out: Path, splits: Sequence[Split], choice: Choice, tell: Tell
) -> list[Written]:
    """Write splits as ``out/annotations/instances_<split>.json`` and ``out/<split>/``.

    A split's annotations are written when its images are there, so an interrupted one shows.

    Raises:
        DataError: the data set is missing or damaged, a class is unknown, nothing is left, a file
            is there already, or the folder cannot be written.
    """
    targets = {split: out / "annotations" / f"instances_{split}.json" for split in splits}
    for path in targets.values():
        if path.exists() and not choice.force:
            raise DataError(f"{path} is there already: choose another folder, or --force")
    chosen = {split: _chosen(data, root, split, choice) for split in splits}
    written = []
    for split, (content, source) in chosen.items():
        try:
            if source is None or choice.copy:
                source = _images(content, source or data.open(split, root), out / split, tell)
            _write(targets[split], content)
        except OSError as error:
            raise DataError(
                f"{error.filename or out}: cannot be written ({os.strerror(error.errno or 0)}): "
                "choose another folder"
            ) from error
        counts = len(content["images"]), len(content["annotations"])
        written.append(Written(split, targets[split], source, *counts))
    return written


def subset(content: dict[str, Any], limit: int | None, classes: Sequence[str]) -> dict[str, Any]:
    """A part of a COCO dictionary; everything else in it stays.

    Args:
        content: checked.
        limit: the first this many images, by id.
        classes: names; empty is all.

    Raises:
        DataError: an unknown class, or no image is left.
    """
    images = sorted(content["images"], key=lambda image: image["id"])
    annotations, categories = content["annotations"], content["categories"]
    if classes:
        known = {one["name"]: one["id"] for one in categories}
        _require(classes, list(known))
        wanted = {known[name] for name in classes}
        categories = [one for one in categories if one["id"] in wanted]
        annotations = [one for one in annotations if one["category_id"] in wanted]
        having = {one["image_id"] for one in annotations}
        images = [image for image in images if image["id"] in having]
    images = images[:limit]
    if not images:
        raise DataError(f"no image has an object of {', '.join(classes)}: nothing to write")
    kept = {image["id"] for image in images}
    annotations = [one for one in annotations if one["image_id"] in kept]
    return {**content, "images": images, "categories": categories, "annotations": annotations}


def _require(classes: Sequence[str], known: Sequence[str]) -> None:
    """Raise ``DataError`` for a class that the data set has not."""
    for name in classes:
        if name not in known:
            few = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
            raise DataError(f"--classes: no class '{name}' in the data set (it has: {few})")


def _chosen(
    data: Data, root: Path, split: Split, choice: Choice
) -> tuple[dict[str, Any], Path | None]:
    """COCO's dictionary of what to write, and where its images are."""
    if data.drawn:  # before laying out scenes, which takes a while
        _require(choice.classes, [name for _, name in data.categories(root)])
    # Of some classes, the first images that have one may be any.
    content, source = data.part(split, root, None if choice.classes else choice.limit)
    content = subset(content, choice.limit, choice.classes)
    if source is not None:
        check_files(source, [image["file_name"] for image in content["images"]], source)
    return content, source


def _images(content: dict[str, Any], source: Dataset | Path, target: Path, tell: Tell) -> Path:
    """Draw the images of ``content``, or copy them from their folder, to ``target``; returns it."""
    total = len(content["images"])
    for index, image in enumerate(content["images"]):
        path = target / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source / image["file_name"], path)
        else:
            pixels = source.sample(image["id"] - 1).image
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
        tell(index + 1, total)
    return target


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
