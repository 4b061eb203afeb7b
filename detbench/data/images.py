"""Images on disk, opened as their annotations say. No torch.

Pixels are used as stored, and an image of any other mode becomes RGB (transparency is dropped). A
photograph's EXIF orientation is applied where the annotated size fits the turned image and not the
stored one, and nowhere else; MMDetection applies it always.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from detbench.data.coco_check import one_line
from detbench.errors import DataError

# What Pillow's decoders raise over a damaged file.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_SHRINK = 8  # JPEG's decoder reads all of a file and computes a 64th of its pixels


def read(path: Path, size: tuple[int, int], source: Path) -> Image.Image:
    """The image as RGB, in memory.

    Args:
        size: (height, width) as annotated.
        source: what annotates it, for messages.

    Raises:
        DataError: it is missing or damaged, or has another size than annotated.
    """
    return _decoded(path, size, source, quick=False).convert("RGB")


def check(path: Path, size: tuple[int, int], source: Path) -> None:
    """Raise as ``read`` would, in a third of its time for a JPEG."""
    _decoded(path, size, source, quick=True)


def size(path: Path) -> tuple[int, int] | None:
    """(width, height) as stored, by the head of the file; none where there is no file.

    Raises:
        DataError: it is no image, or its head is damaged.
    """
    try:
        with Image.open(path) as stored:
            return stored.width, stored.height
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        raise DataError(f"image {path} is damaged ({one_line(error)}); restore the file") from None


def alone(path: Path) -> Image.Image:
    """The image of a file without annotations as RGB, in memory, turned as its EXIF says.

    Raises:
        DataError: the file is missing, no image, or damaged.
    """
    try:
        with Image.open(path) as stored:
            return ImageOps.exif_transpose(stored).convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder: give its images, as in {path}/*.jpg") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that Pillow can read (JPEG, PNG, ...)") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: cannot be read as an image: {one_line(error)}") from None


def _decoded(path: Path, size: tuple[int, int], source: Path, quick: bool) -> Image.Image:
    try:
        with Image.open(path) as stored:
            if quick and (stored.height, stored.width) == size:
                stored.draft("L", (stored.width // _SHRINK, stored.height // _SHRINK))
                stored.load()
                return stored
            image = _oriented(stored, path, size, source)
            image.load()
            return image
    except FileNotFoundError:
        raise DataError(
            f"image {path} is not there, but {source} lists it; restore the file"
        ) from None
    except _DAMAGE as error:
        raise DataError(f"image {path} is damaged ({one_line(error)}); restore the file") from None


def _oriented(stored: Image.Image, path: Path, size: tuple[int, int], source: Path) -> Image.Image:
    if (stored.height, stored.width) == size:
        return stored
    turned = ImageOps.exif_transpose(stored)
    if (turned.height, turned.width) == size:
        return turned
    raise DataError(
        f"image {path} is {stored.width}x{stored.height}, but {source} says {size[1]}x{size[0]}; "
        f"images and annotations do not belong together"
    )
