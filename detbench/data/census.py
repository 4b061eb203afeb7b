"""Which data sets are here and how big they are, without reading them whole. No torch.

Objects are counted by the key that each annotation has, which takes a second for COCO where parsing
takes many; whether a file is sound is for ``inspect`` to tell.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detbench.data import Split
from detbench.data.sources import devkit, lists, pair, why_missing
from detbench.recipe.experiment import Coco, CocoJson, Data, Shapes, Voc

_IMAGE, _OBJECT = (re.compile(rb'"%s"\s*:' % key) for key in (b"file_name", b"category_id"))
_CHUNK = 1 << 24
_LONGEST = 64  # of what the patterns match, white space included
SPLITS: tuple[Split, Split] = ("train", "val")


@dataclass(frozen=True)
class Entry:
    """One split of a data set, as far as it is here.

    Attributes:
        dataset: what ``--dataset`` takes.
        where: the annotation file, image list, or why there is none.
        images, objects: none where they are not known without drawing or reading all.
        missing: what is not there; empty if all is.
    """

    dataset: str
    split: str
    where: str
    images: int | None
    objects: int | None
    missing: str = ""

    @property
    def found(self) -> str:
        """``yes``, ``no``, or ``in part``."""
        if not self.missing:
            return "yes"
        return "no" if self.images is None else "in part"


def take(root: Path) -> Iterator[Entry]:
    """The data sets that have names, then others in COCO's layout below ``root``."""
    shapes = Shapes(kind="shapes")
    for split, count in (("train", shapes.train), ("val", shapes.val)):
        yield Entry("shapes", split, "drawn on demand", count, None)
    for name, data in (("coco", Coco(kind="coco")), ("voc", Voc(kind="voc"))):
        yield from of(name, data, root)
    for found in others(root):
        yield from of(_argument(found), found, root)


def of(name: str, data: Data, root: Path) -> Iterator[Entry]:
    """Both splits of a data set on disk.

    Args:
        name: as ``--dataset`` takes it.
    """
    if isinstance(data, Voc):
        for split in SPLITS:
            for listed in lists(data, split):
                yield _of_voc(name, data, listed, split, root)
    elif not isinstance(data, Shapes):
        for split in SPLITS:
            file, images = pair(data, split, root)
            yield _of_coco(name, split, file, images)


def others(root: Path) -> Iterator[CocoJson]:
    """Data sets ``<root>/<name>/annotations/instances_{train,val}*.json`` beside COCO itself."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name != "coco")
    except OSError:
        return
    for folder in folders:
        splits = {split: _annotated(folder, split) for split in SPLITS}
        if splits["train"] and splits["val"]:
            (train, images), (val, val_images) = splits["train"], splits["val"]
            yield CocoJson(
                kind="coco-json",
                annotations=str(train),
                images=str(images),
                val_annotations=str(val),
                val_images=str(val_images),
            )


def _annotated(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The annotation file and image folder of a split in COCO's layout; none if not both."""
    for file in sorted((folder / "annotations").glob(f"instances_{split}*.json")):
        images = folder / file.stem.removeprefix("instances_")
        if images.is_dir():
            return file, images
    return None


def _argument(data: CocoJson) -> str:
    parts = (data.annotations, data.images, data.val_annotations, data.val_images)
    return ":".join(["coco", *(part for part in parts if part)])


def _of_coco(name: str, split: str, file: Path, folder: Path) -> Entry:
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


def _of_voc(name: str, data: Voc, listed: str, split: str, root: Path) -> Entry:
    one = Voc(kind="voc", train=(listed,), val=listed)
    year, _, images = listed.partition("_")
    folder = devkit(root) / f"VOC{year}"
    path = folder / "ImageSets" / "Main" / f"{images}.txt"
    problem = why_missing(one, root)
    if problem:
        what = problem.partition(" is not there")[0].replace(f" {path}", "")
        return Entry(name, split, str(path), None, None, what)
    try:
        names = path.read_text(encoding="utf-8", errors="replace").split()
        objects = 0
        lacking = 0
        for image in names:
            try:
                text = (folder / "Annotations" / f"{image}.xml").read_bytes()
            except FileNotFoundError:
                lacking += 1
                continue
            objects += text.count(b"<object>")
    except OSError as error:
        return Entry(name, split, str(path), None, None, f"cannot be read: {error.strerror}")
    return Entry(name, split, str(path), len(names), objects, _some(lacking, "annotation file"))


def _some(count: int, what: str) -> str:
    """``3 images``; empty for none."""
    return f"{count} {what}{'s' if count > 1 else ''}" if count > 0 else ""


def count(file: Path) -> tuple[int, int]:
    """Images and annotations that a COCO annotation file lists, by their keys.

    Raises:
        OSError: it cannot be read.
    """
    counts = [0, 0]
    tail = b""
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            text = tail + chunk
            for which, pattern in enumerate((_IMAGE, _OBJECT)):
                # What lies in the tail as a whole has been counted with the chunk before.
                counts[which] += sum(one.end() > len(tail) for one in pattern.finditer(text))
            tail = text[-_LONGEST:]
    return counts[0], counts[1]
