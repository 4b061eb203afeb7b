"""A small data set in COCO's layout, made on the spot: what a user with COCO on disk has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZES = ((640, 480), (480, 640), (500, 375), (640, 427), (427, 640), (640, 640), (333, 500))
# COCO's 80 category ids leave out these of 1 to 90.
HOLES = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CATEGORY_IDS = [number for number in range(1, 91) if number not in HOLES]


def make_coco(root: Path, images: int = 8, seed: int = 0) -> Path:
    """Write train2017 and val2017 of ``images`` JPEG images each below ``root / "coco"``.

    Sizes are COCO's; some images are grey, the last but one has only a crowd and the last nothing,
    where there are four or more.

    Returns:
        ``root``, to be given as the data root.
    """
    for offset, split in enumerate(("train2017", "val2017")):
        folder = root / "coco" / split
        folder.mkdir(parents=True)
        (root / "coco" / "annotations").mkdir(exist_ok=True)
        content = _split(folder, images, np.random.default_rng((seed, offset)), 1000 * offset)
        path = root / "coco" / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content))
    return root


def _split(folder: Path, count: int, rng: np.random.Generator, first: int) -> dict[str, Any]:
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        width, height = SIZES[index % len(SIZES)]
        name = f"{first + 7 * index + 9:012d}.jpg"
        record = {"id": first + 7 * index + 9, "width": width, "height": height, "file_name": name}
        records.append(record)
        pixels = _noise(rng, width, height)
        spare = count - index if count >= 4 else 3
        found = [] if spare == 1 else _objects(rng, record, crowd_only=spare == 2)
        for annotation in found:
            annotation["id"] = 10 * first + len(annotations) + 1
            annotations.append(annotation)
            x, y, w, h = (int(v) for v in annotation["bbox"])
            pixels[y : y + h, x : x + w] = rng.integers(0, 256, 3)
        image = Image.fromarray(pixels)
        if index % 5 == 3:
            image = image.convert("L")
        image.save(folder / name, quality=90)
    return {
        "info": {"description": "made", "year": 2017},
        "licenses": [],
        "images": records,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": f"thing {number}", "supercategory": "made"}
            for number in CATEGORY_IDS
        ],
    }


def _noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return coarse.repeat(16, 0).repeat(16, 1)[:height, :width].copy()


def _objects(
    rng: np.random.Generator, image: dict[str, Any], crowd_only: bool
) -> list[dict[str, Any]]:
    width, height = image["width"], image["height"]
    found = []
    for number in range(1 if crowd_only else int(rng.integers(3, 8))):
        w = round(float(rng.uniform(8, width / 2)), 2)
        h = round(float(rng.uniform(8, height / 2)), 2)
        x = round(float(rng.uniform(0, width - w - 0.01)), 2)
        y = round(float(rng.uniform(0, height - h - 0.01)), 2)
        crowd = crowd_only or number == 2
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        found.append(
            {
                "image_id": image["id"],
                "category_id": int(rng.choice(CATEGORY_IDS[:12] if number else CATEGORY_IDS)),
                "bbox": [x, y, w, h],
                "area": round(0.8 * w * h, 4),
                "iscrowd": int(crowd),
                "segmentation": (
                    {"counts": [width * height], "size": [height, width]} if crowd else [polygon]
                ),
            }
        )
    return found
