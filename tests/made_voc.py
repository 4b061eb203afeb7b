"""A small VOCdevkit, made on the spot: what a user with Pascal VOC on disk has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((500, 375), (375, 500), (500, 333), (353, 500), (320, 240))
# Few, so that several images share one, and the first and last of VOC's alphabet among them.
CLASSES = ("aeroplane", "bus", "car", "person", "tvmonitor")
LISTS = (("2007", "trainval"), ("2007", "test"), ("2012", "trainval"))

OBJECT = """\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>{difficult}</difficult>
\t\t<bndbox>
\t\t\t<xmin>{box[0]}</xmin>
\t\t\t<ymin>{box[1]}</ymin>
\t\t\t<xmax>{box[2]}</xmax>
\t\t\t<ymax>{box[3]}</ymax>
\t\t</bndbox>
\t</object>
"""
IMAGE = """<annotation>
\t<folder>VOC{year}</folder>
\t<filename>{name}.jpg</filename>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""


def make_voc(root: Path, images: int = 6, seed: int = 0) -> Path:
    """Write VOC2007's trainval and test and VOC2012's trainval of ``images`` JPEG images each.

    The second object of every image is difficult, and of the last image every object.

    Returns:
        ``root``, to be given as the data root.
    """
    for offset, (year, listed) in enumerate(LISTS):
        folder = root / "VOCdevkit" / f"VOC{year}"
        for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng((seed, offset))
        names = [_name(year, 10 * index + offset + 1) for index in range(images)]
        (folder / "ImageSets" / "Main" / f"{listed}.txt").write_text("\n".join(names) + "\n")
        for index, name in enumerate(names):
            _write(folder, year, name, SIZES[index % len(SIZES)], index == images - 1, rng)
    return root


def _name(year: str, number: int) -> str:
    return f"{number:06d}" if year == "2007" else f"2008_{number:06d}"


def _write(
    folder: Path,
    year: str,
    name: str,
    size: tuple[int, int],
    difficult: bool,
    rng: np.random.Generator,
) -> None:
    width, height = size
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    pixels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width].copy()
    objects = ""
    for number in range(int(rng.integers(2, 5))):
        x1, y1 = int(rng.integers(1, width // 2)), int(rng.integers(1, height // 2))
        x2, y2 = int(rng.integers(x1 + 20, width + 1)), int(rng.integers(y1 + 20, height + 1))
        pixels[y1 - 1 : y2, x1 - 1 : x2] = rng.integers(0, 256, 3)
        objects += OBJECT.format(
            name=rng.choice(CLASSES),
            difficult=int(difficult or number == 1),
            box=(x1, y1, x2, y2),
        )
    text = IMAGE.format(year=year, name=name, width=width, height=height, objects=objects)
    (folder / "Annotations" / f"{name}.xml").write_text(text)
    Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg", quality=90)
