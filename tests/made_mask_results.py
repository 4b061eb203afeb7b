"""Ground truth and results with masks, made to tie, to be crowded and to be empty."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle

CATEGORIES = (3, 1, 8)  # not sorted; 8 has no objects
WIDTH, HEIGHT = 70, 64


def text(bits: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = rle.encode(np.asfortranarray(bits.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


def listed(bits: np.ndarray) -> dict[str, Any]:
    flat = bits.T.ravel().astype(np.int64)
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    return {"size": list(bits.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


def painted(box: list[float]) -> np.ndarray:
    bits = np.zeros((HEIGHT, WIDTH), bool)
    left, top, width, height = (int(v) for v in box)
    bits[top : top + height, left : left + width] = True
    return bits


def made(seed: int, images: int = 6) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Masks on a coarse grid, so that IoUs and scores tie; crowds; empty masks and images."""
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    ids = [int(one) for one in rng.permutation(images * 3)[:images]]
    for image in ids:
        for _ in range(int(rng.integers(0, 7))):
            box = [
                *(8.0 * rng.integers(0, 5, 2)),
                *(float(s) for s in rng.choice([8, 16, 24, 30], 2)),
            ]
            bits = painted(box) & (rng.random((HEIGHT, WIDTH)) < rng.choice([0.8, 1.0]))
            x, y, w, h = box
            corners = [x, y, x + w, y, x + w, y + h, x + w / 2, y + h * 0.8, x, y + h]
            form = rng.choice(["polygons", "text", "list", "empty"], p=[0.4, 0.3, 0.2, 0.1])
            segmentation: Any = {
                "polygons": [[float(v) for v in corners], [x, y, x + 5, y, x, y + 5.5]],
                "text": text(bits),
                "list": listed(bits),
                "empty": text(np.zeros_like(bits)),
            }[str(form)]
            label = int(rng.choice(CATEGORIES[:2]))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": label,
                    "bbox": [float(v) for v in box],
                    "iscrowd": int(rng.random() < 0.2),
                    "area": float(w * h * rng.choice([0.5, 1.0])),
                    "segmentation": segmentation,
                }
            )
            for _ in range(int(rng.integers(0, 4))):
                moved = np.maximum(np.asarray(box) + rng.choice([-2, -1, 0, 0, 0, 3], 4), 0)
                bits = painted(list(moved)) & (rng.random((HEIGHT, WIDTH)) < rng.choice([0.9, 1.0]))
                bits &= rng.random() > 0.1
                results.append(
                    {
                        "image_id": image,
                        "category_id": int(rng.choice([label, label, *CATEGORIES])),
                        "segmentation": text(bits),
                        "score": float(rng.integers(0, 5)) / 4,
                    }
                )
    order = rng.permutation(len(results))
    return {
        "images": [
            {"id": one, "width": WIDTH, "height": HEIGHT, "file_name": f"{one}.png"} for one in ids
        ],
        "categories": [{"id": one, "name": f"class {one}"} for one in CATEGORIES],
        "annotations": annotations,
    }, [results[row] for row in order]
