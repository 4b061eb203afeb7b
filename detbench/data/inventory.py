"""Which data sets are here. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detbench.data.coco_json import CocoJson
from detbench.data.kind import SPLITS, Entry
from detbench.data.kinds import named
from detbench.data.yolo import Yolo


def take(root: Path) -> Iterator[Entry]:
    """The data sets that have names, then others in COCO's or YOLO's layout below ``root``."""
    for name, data in named().items():
        yield from data.entries(name, root)
    for found in others(root):
        yield from found.entries(found.argument, root)


def others(root: Path) -> Iterator[CocoJson | Yolo]:
    """Data sets ``<root>/<name>/annotations/instances_{train,val}*.json`` beside COCO itself, and
    ``<root>/<name>/data.yaml``.
    """
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name != "coco")
    except OSError:
        return
    for folder in folders:
        if (folder / "data.yaml").is_file():
            yield Yolo(kind="yolo", file=str(folder / "data.yaml"))
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
