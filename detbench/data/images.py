"""Images on disk, opened as their annotations say. No torch.

Pixels are used as stored, and an image of any other mode becomes RGB (transparency is dropped); of
16 bits the upper eight count, as OpenCV and so MMDetection reads them. A photograph's EXIF
orientation is applied where the annotated size fits the turned image and not the stored one, and
nowhere else; MMDetection applies it always.

What a file is, its content says. Only ``FORMATS`` are read: Pillow would hand others to programs
that run what is in them, as PostScript to Ghostscript.
"""

from __future__ import annotations

import errno
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from detbench.data.coco_check import one_line
from detbench.errors import DataError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
LARGEST = 2**30
"""Pixels of the largest image that is read: 3 GiB as RGB."""

# What is no format of a data set, by its first bytes.
_OTHERS = {b"%!PS": "EPS", b"\xc5\xd0\xd3\xc6": "EPS", b"%PDF": "PDF", b"<svg": "SVG"}
_OTHERS |= {b"P%d" % number: "Netpbm" for number in range(1, 8)}
# What Pillow's decoders raise over a damaged file.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_ORIENTATION = 0x0112  # EXIF's tag: 1 is upright
_UNSEEN, _SIDEWAYS = (2, 3, 4), (5, 6, 7, 8)
_SHRINK = 8  # JPEG's decoder reads all of a file and computes a 64th of its pixels

Image.MAX_IMAGE_PIXELS = None  # Pillow's own bound is that of photographs: ``LARGEST`` is ours


def read(path: Path, size: tuple[int, int], source: Path) -> Image.Image:
    """The image as RGB, in memory.

    Args:
        size: (height, width) as annotated.
        source: what annotates it, for messages.

    Raises:
        DataError: it is missing or damaged, no image of ``FORMATS``, of pixels that have no place
            in RGB's 8 bits, or has another size than annotated.
    """
    with _annotated(path, source) as stored:
        return _rgb(_oriented(stored, path, size, source), path)


def check(path: Path, size: tuple[int, int], source: Path) -> None:
    """Raise as ``read`` would, in a third of its time for a JPEG."""
    with _annotated(path, source) as stored:
        image = _oriented(stored, path, size, source)
        if image is stored:
            stored.draft("L", (stored.width // _SHRINK, stored.height // _SHRINK))
        _rgb(image, path)


def size(path: Path) -> tuple[int, int] | None:
    """(width, height) as stored, by the head of the file; none where there is no file.

    Raises:
        DataError: it is no image of ``FORMATS``, or its head is damaged.
    """
    try:
        with _opened(path) as stored:
            return stored.width, stored.height
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def upright_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of the image as its EXIF turns it, by the head of the file; none where there
    is no file.

    Raises:
        DataError: as of ``size``; or EXIF mirrors or upends it, which leaves its sides as they are,
            so that ``read`` would not turn it.
    """
    try:
        with _opened(path) as stored:
            turn = stored.getexif().get(_ORIENTATION, 1)
            if turn in _UNSEEN:
                raise DataError(
                    f"image {path} is mirrored or upside down by its EXIF orientation ({turn}); "
                    "whether its labels are, nobody says: write it as it is to be seen"
                )
            turned = turn in _SIDEWAYS
            return (stored.height, stored.width) if turned else (stored.width, stored.height)
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def alone(path: Path) -> Image.Image:
    """The image of a file without annotations as RGB, in memory, turned as its EXIF says.

    Raises:
        DataError: the file is missing, no image of ``FORMATS``, or damaged.
    """
    try:
        with _opened(path) as stored:
            return _rgb(ImageOps.exif_transpose(stored), path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder: give its images, as in {path}/*.jpg") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that Pillow can read (JPEG, PNG, ...)") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: cannot be read as an image: {one_line(error)}") from None


@contextmanager
def _annotated(path: Path, source: Path) -> Iterator[Image.Image]:
    try:
        with _opened(path) as stored:
            yield stored
    except FileNotFoundError:
        raise DataError(
            f"image {path} is not there, but {source} lists it; restore the file"
        ) from None
    except _DAMAGE as error:
        raise _damaged(path, error) from None


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image in a file, of which the head is read; other errors are the decoder's."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:  # no name of a file
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None
        raise
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "it is a folder")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is a pipe, a socket or a device, no image file")
    try:
        stored = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        if other := _other(path):
            said = (
                f"{path} is no image that a data set may have ({other}): {', '.join(FORMATS)} are"
            )
            raise DataError(said) from None
        raise
    with stored:
        if stored.width * stored.height > LARGEST:
            raise DataError(
                f"image {path} has {stored.width}x{stored.height} pixels, more than the "
                f"{LARGEST} that are read at once; cut it into parts"
            )
        yield stored


def _other(path: Path) -> str | None:
    """The format of a file that is none of ``FORMATS``, where it is known."""
    with path.open("rb") as file:
        head = file.read(16).lstrip()
    return next((name for start, name in _OTHERS.items() if head.startswith(start)), None)


def _rgb(image: Image.Image, path: Path) -> Image.Image:
    """Decoded, with 8 bits a channel."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floats"
        raise DataError(
            f"image {path} has pixels of {kind} (mode {image.mode}), whose range is not known; "
            "write it with 8 or 16 bits a channel"
        )
    return image.convert("RGB")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"image {path} is damaged ({one_line(error)}); restore the file")


def _oriented(stored: Image.Image, path: Path, size: tuple[int, int], source: Path) -> Image.Image:
    if (stored.height, stored.width) == size:
        return stored
    if (stored.width, stored.height) == size:  # else no turn would help
        turned = ImageOps.exif_transpose(stored)
        if (turned.height, turned.width) == size:
            return turned
    raise DataError(
        f"image {path} is {stored.width}x{stored.height}, but {source} says {size[1]}x{size[0]}; "
        f"images and annotations do not belong together"
    )
