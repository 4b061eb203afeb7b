"""A small data set in the YOLO layout, made on the spot: what a user of Ultralytics' tools has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((64, 48), (48, 64), (80, 60))
NAMES = ("apple", "pear", "plum")


def make_yolo(folder: Path, images: int = 5, polygons: bool = False) -> Path:
    """Write ``data.yaml``, ``images/{train,val}`` and ``labels/{train,val}`` of ``images`` each.

    The second image has no label, the third an empty one; others have two objects, of which with
    ``polygons`` the second is a triangle.

    Returns:
        The ``data.yaml``.
    """
    for offset, split in enumerate(("train", "val")):
        rng = np.random.default_rng(offset)
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True)
        for index in range(images):
            width, height = SIZES[index % len(SIZES)]
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            name = f"{split}-{index}"
            Image.fromarray(pixels).save(folder / "images" / split / f"{name}.png")
            if index == 1:
                continue
            lines = ["1 0.5 0.5 0.25 0.5", "0 0.3 0.25 0.2 0.3"]
            if polygons:
                lines[1] = "0 0.25 0.25 0.75 0.25 0.25 0.75"
            text = "" if index == 2 else "\n".join(lines) + "\n"
            (folder / "labels" / split / f"{name}.txt").write_text(text)
    path = folder / "data.yaml"
    names = "".join(f"  {place}: {name}\n" for place, name in enumerate(NAMES))
    path.write_text(f"train: images/train\nval: images/val\n\nnames:\n{names}")
    return path
