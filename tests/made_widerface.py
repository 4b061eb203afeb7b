"""A small WIDER FACE, made on the spot: what a user with its archives unpacked has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZES = ((640, 480), (480, 640), (640, 426), (320, 240))
EVENTS = ("0--Parade", "12--Group")
BITS = {"easy": 0, "medium": 1, "hard": 2}

Face = tuple[int, ...]
"""x, y, w, h, blur, expression, illumination, invalid, occlusion, pose."""


def make_widerface(root: Path, images: int = 6, seed: int = 0) -> Path:
    """Write train and val of ``images`` JPEG images each, half of them of each event.

    Of four or more, the last has no face and the last but one an invalid one alone; the second face
    of the first image has no area. In val's lists a face counts as easy from a side of 60 pixels
    on, as medium from 30, as hard if it is valid.

    Returns:
        ``root``, to be given as the data root.
    """
    for offset, split in enumerate(("train", "val")):
        rng = np.random.default_rng((seed, offset))
        found = {}
        for index in range(images):
            event = EVENTS[2 * index // images]
            name = f"{event}/{event.replace('--', '_')}_made_{index + 10 * offset}.jpg"
            spare = images - index if images >= 4 else 3
            found[name] = _write(
                root / "widerface" / f"WIDER_{split}" / "images" / name, index, spare, rng
            )
        annotations = root / "widerface" / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        annotations.parent.mkdir(parents=True, exist_ok=True)
        annotations.write_text(as_text(found))
        if split == "val":
            write_lists(root / "widerface" / "eval_tools" / "ground_truth", found)
    return root


def as_text(found: dict[str, list[Face]]) -> str:
    """The annotation file, with the space that ends its lines and zeros for no face."""
    lines = []
    for name, faces in found.items():
        lines += [name, str(len(faces))]
        lines += [" ".join(map(str, face)) + " " for face in faces or [(0,) * 10]]
    return "\n".join(lines) + "\n"


def counts(face: Face) -> dict[str, bool]:
    """In which settings a made face counts."""
    side, valid = max(face[2:4]), not face[7]
    return {"easy": valid and side >= 60, "medium": valid and side >= 30, "hard": valid}


def write_lists(folder: Path, found: dict[str, list[Face]]) -> None:
    """The four MATLAB files."""
    folder.mkdir(parents=True, exist_ok=True)
    events = sorted({name.split("/")[0] for name in found}, reverse=True)  # in another order
    of = [[name for name in found if name.startswith(f"{event}/")] for event in events]

    def boxes(name: str) -> np.ndarray:
        return np.array([face[:4] for face in found[name]], float).reshape(-1, 4)

    def chosen(name: str, setting: str) -> np.ndarray:
        rows = [row for row, face in enumerate(found[name], 1) if counts(face)[setting]]
        return np.array(rows, np.uint16).reshape(-1, 1)

    shared = {
        "event_list": cell(events),
        "file_list": cell([cell([name.split("/")[1][:-4] for name in names]) for names in of]),
        "face_bbx_list": cell([cell([boxes(name) for name in names]) for names in of]),
    }
    savemat(folder / "wider_face_val.mat", shared)
    for setting in BITS:
        lists = cell([cell([chosen(name, setting) for name in names]) for names in of])
        savemat(folder / f"wider_{setting}_val.mat", {"gt_list": lists})


def cell(values: list[Any]) -> np.ndarray:
    """MATLAB's cell array, (n, 1)."""
    made = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        made[row, 0] = value
    return made


def _write(path: Path, index: int, spare: int, rng: np.random.Generator) -> list[Face]:
    """An image with its faces."""
    width, height = SIZES[index % len(SIZES)]
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    pixels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width].copy()
    faces: list[Face] = []
    for number in range({1: 0, 2: 1}.get(spare, int(rng.integers(3, 8)))):
        w, h = (int(v) for v in rng.integers(12, 120, 2))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        if index == 0 and number == 1:
            w = h = 0
        invalid = int(spare == 2 or number == 2)
        pixels[y : y + h, x : x + w] = rng.integers(0, 256, 3)
        faces.append((x, y, w, h, int(rng.integers(0, 3)), 0, 0, invalid, 0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)
    return faces
