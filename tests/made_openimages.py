"""A small OpenImages, made on the spot: what a user with its files and archives unpacked has."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((640, 480), (480, 640), (640, 426), (320, 240))
CLASSES = {
    "/m/0a": "Animal",
    "/m/0b": "Dog",
    "/m/0c": "Cat, striped",
    "/m/0d": "Vehicle",
    "/m/0e": "Car",
    "/m/0f": "Toy car",
    "/m/0g": "Tree",
}
ABOVE = {"/m/0b": ["/m/0a"], "/m/0c": ["/m/0a"], "/m/0e": ["/m/0d"], "/m/0f": ["/m/0d", "/m/0e"]}
"""The classes above a class, as the hierarchy says."""

HIERARCHY = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [
        {"LabelName": "/m/0a", "Subcategory": [{"LabelName": "/m/0b"}, {"LabelName": "/m/0c"}]},
        {
            "LabelName": "/m/0d",
            "Subcategory": [{"LabelName": "/m/0e", "Subcategory": [{"LabelName": "/m/0f"}]}],
            "Part": [{"LabelName": "/m/0g"}],
        },
        {"LabelName": "/m/0g"},
    ],
}
HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside"
)


@dataclass(frozen=True)
class Box:
    """A made box: shares of the image."""

    image: str
    label: str
    sides: tuple[float, float, float, float]  # XMin, XMax, YMin, YMax
    group: int


def folder(root: Path) -> Path:
    return root / "openimages" / "annotations"


def box_file(root: Path, split: str) -> Path:
    return folder(root) / f"challenge-2019-{split}-detection-bbox.csv"


def label_file(root: Path) -> Path:
    return folder(root) / "challenge-2019-validation-detection-human-imagelabels.csv"


def make_openimages(root: Path, images: int = 6, seed: int = 0) -> dict[str, list[Box]]:
    """Write train and validation of ``images`` JPEG images each; those of train are in two folders.

    Files are not in the order of their ids. The last image of validation has labels and no box; the
    first has a box of a group. Images are a minute old, so that what is read of them is kept.

    Returns:
        The boxes of each split, in the order of the file.
    """
    annotations = folder(root)
    annotations.mkdir(parents=True)
    lines = [
        f'{label},"{name}"' if "," in name else f"{label},{name}" for label, name in CLASSES.items()
    ]
    (annotations / "challenge-2019-classes-description-500.csv").write_text("\n".join(lines) + "\n")
    (annotations / "challenge-2019-label500-hierarchy.json").write_text(json.dumps(HIERARCHY))
    made = {}
    for offset, split in enumerate(("train", "validation")):
        rng = np.random.default_rng((seed, offset))
        ids = [
            f"{int(one):016x}" for one in rng.integers(0, 2**63, images, dtype=np.uint64) * 2 + 1
        ]
        boxes = [one for place, name in enumerate(ids) for one in _boxes(name, place, split, rng)]
        if split == "validation":
            boxes = [one for one in boxes if one.image != ids[-1]]
            write_labels(root, ids, boxes)
        write_boxes(root, split, boxes)
        for place, name in enumerate(ids):
            inside = f"train_{place % 2}" if split == "train" else ""
            path = root / "openimages" / split / inside / f"{name}.jpg"
            _image(
                path, SIZES[place % len(SIZES)], [one for one in boxes if one.image == name], rng
            )
        made[split] = boxes
    return made


def write_boxes(root: Path, split: str, boxes: list[Box]) -> None:
    """Train's file has thirteen columns, as in V4 to V6; validation's the challenge's seven."""
    lines = [HEADER if split == "train" else "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"]
    for one in boxes:
        sides = ",".join(f"{side:.6f}" for side in one.sides)
        if split == "train":
            lines.append(f"{one.image},xclick,{one.label},1,{sides},0,1,{one.group},0,0")
        else:
            lines.append(f"{one.image},{one.label},{sides},{one.group}")
    box_file(root, split).write_text("\n".join(lines) + "\n")


def write_labels(root: Path, ids: list[str], boxes: list[Box]) -> None:
    """Every class with a box is there; of each image one more is not, in turn."""
    lines = ["ImageID,LabelName,Confidence"]
    names = list(CLASSES)
    for place, image in enumerate(ids):
        there = sorted({one.label for one in boxes if one.image == image})
        lines += [f"{image},{label},1" for label in there]
        others = [label for label in names if label not in there]
        lines.append(f"{image},{others[place % len(others)]},0")
    label_file(root).write_text("\n".join(lines) + "\n")


def _boxes(image: str, place: int, split: str, rng: np.random.Generator) -> list[Box]:
    names, found = list(CLASSES), []
    for number in range(int(rng.integers(2, 6))):
        low = rng.uniform(0, 0.6, 2)
        high = np.minimum(low + rng.uniform(0.1, 0.4, 2), 1)
        sides = tuple(round(float(one), 6) for one in (low[0], high[0], low[1], high[1]))
        group = 1 if (place, number) == (0, 0) else -1 if split == "train" and number == 1 else 0
        found.append(Box(image, names[int(rng.integers(len(names)))], sides, group))  # type: ignore[arg-type]
    return found


def _image(path: Path, size: tuple[int, int], boxes: list[Box], rng: np.random.Generator) -> None:
    width, height = size
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    pixels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width].copy()
    for one in boxes:
        left, right, top, bottom = (
            int(side * whole)
            for side, whole in zip(one.sides, (width, width, height, height), strict=True)
        )
        pixels[top:bottom, left:right] = rng.integers(0, 256, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)
    age(path)


def age(path: Path, seconds: float = 60.0) -> None:
    """Set a file's time of change so far into the past."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
