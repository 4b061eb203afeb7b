"""Writing a data set, or a part of one, as COCO JSON with its images."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image

from detbench import inputs, temporary
from detbench.data import Dataset
from detbench.data.coco_check import check_files
from detbench.data.kind import Split
from detbench.data.kinds import Data
from detbench.errors import DataError
from detbench.progress import Tell

Images = Sequence[tuple[Path, Callable[[], bytes]]]
"""Files of images to write, each with what gives its content."""


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
        force: replace files that are there.
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

    Nothing is written outside of ``out``, nor over another file without ``force``.

    Raises:
        DataError: the data set is missing or damaged, a class is unknown, nothing is left, another
            file is there already, or the folder cannot be written.
    """
    targets = {split: out / "annotations" / f"instances_{split}.json" for split in splits}
    for path in targets.values():
        if path.exists() and not choice.force:
            raise DataError(f"{path} is there already: choose another folder, or --force")
    chosen = {split: _chosen(data, root, split, choice) for split in splits}
    images: dict[Split, Images] = {}
    for split, (content, source) in chosen.items():
        if source is None or choice.copy:
            named, target = named_below(content, out / split), out / split
            images[split] = _images(content, source or data.open(split, root), named, target)
            chosen[split] = named, target
    if not choice.force:
        for path, pixels in chain.from_iterable(images.values()):
            if path.exists() and (not path.is_file() or path.read_bytes() != pixels()):
                raise DataError(f"{path} is there already: choose another folder, or --force")
    written = []
    for split, (content, source) in chosen.items():
        try:
            _write_images(images.get(split, ()), tell)
            write_file(targets[split], as_json(content))
        except OSError as error:
            raise DataError(
                f"{error.filename or out}: cannot be written ({error.strerror or error}): "
                "choose another folder"
            ) from error
        counts = len(content["images"]), len(content["annotations"])
        written.append(Written(split, targets[split], source or out, *counts))
    return written


def named_below(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """COCO's dictionary with names of images that stay below ``folder``, each once.

    One that leads out of it, as ``../more/1.jpg`` or an absolute one does, loses what leads out,
    and is told from another of that name by its image's id.

    Raises:
        DataError: a link in ``folder`` leads out of it.
    """
    images, taken = [], set()
    for image in content["images"]:
        path = Path(image["file_name"])
        path = Path(*(part for part in path.parts if part not in ("..", path.anchor)))
        if path in taken:
            path = path.with_name(f"{image['id']}-{path.name}")
        if not (folder / path).parent.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{(folder / path).parent} leads out of {folder}: remove the link")
        taken.add(path)
        images.append({**image, "file_name": path.as_posix()})
    return {**content, "images": images}


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


def _images(
    content: dict[str, Any], source: Dataset | Path, named: dict[str, Any], target: Path
) -> Images:
    """Where the images of ``content`` go, by the names in ``named``, and what gives their files."""
    pairs = zip(content["images"], named["images"], strict=True)
    if isinstance(source, Path):
        files = [(new, partial(_stored, source / old["file_name"])) for old, new in pairs]
    else:
        files = [(new, partial(_drawn, source, old["id"] - 1)) for old, new in pairs]
    return [(target / new["file_name"], pixels) for new, pixels in files]


def _stored(path: Path) -> bytes:
    try:
        return inputs.content(path)
    except OSError as error:
        raise DataError(f"image {path} cannot be read: {error.strerror}; restore it") from error


def _drawn(source: Dataset, index: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(source.sample(index).image.permute(1, 2, 0).numpy()).save(file, "png")
    return file.getvalue()


def _write_images(images: Images, tell: Tell) -> None:
    for index, (path, pixels) in enumerate(images):
        write_file(path, pixels())
        tell(index + 1, len(images))


def as_json(content: dict[str, Any]) -> bytes:
    r"""JSON in UTF-8, which has no lone surrogates: these stay escapes, ``\ud83d``."""
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a link is replaced, not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = temporary.beside(path)
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
