"""Images as users have them: of 16 bits, very large, of other formats, no files at all."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import pack

import numpy as np
import pytest
from PIL import Image

from detbench.data import images
from detbench.errors import DataError

RAMP = np.arange(2**16, dtype=np.uint16).reshape(128, 512)
SIZE = (128, 512)
PAPER = Path("a.json")
READERS: tuple[Callable[[Path], object], ...] = (
    images.alone,
    lambda path: images.read(path, SIZE, PAPER),
    lambda path: images.check(path, SIZE, PAPER),
)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_of_16_bits_the_upper_eight_count(tmp_path: Path, name: str) -> None:
    """As OpenCV and so MMDetection reads them; every value, and not what clips at 255."""
    path = tmp_path / name
    Image.fromarray(RAMP).save(path)
    expected = np.stack([RAMP >> 8] * 3, axis=-1)
    assert np.array_equal(images.read(path, SIZE, PAPER), expected)
    assert np.array_equal(images.alone(path), expected)
    images.check(path, SIZE, PAPER)


def test_of_16_bits_in_the_other_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ascending = sorted({256: SIZE[1], 257: SIZE[0], 258: 16, 259: 1, 262: 1, 277: 1}.items())
    rows = [*ascending, (273, 8 + 2 + 12 * 9 + 4), (278, SIZE[0]), (279, RAMP.nbytes)]
    head = b"MM\x00*" + pack(">I", 8) + pack(">H", len(rows))
    body = b"".join(pack(">HHII", tag, 4, 1, value) for tag, value in sorted(rows))
    path.write_bytes(head + body + pack(">I", 0) + RAMP.astype(">u2").tobytes())
    found = np.asarray(images.read(path, SIZE, PAPER))
    assert np.array_equal(found[..., 0], RAMP >> 8)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("kind", "said"), [(np.int32, "32-bit integers"), (np.float32, "floats")])
def test_a_range_that_is_not_known_is_refused(
    tmp_path: Path, reader: Callable[[Path], object], kind: type, said: str
) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(RAMP.astype(kind)).save(path)
    with pytest.raises(DataError, match=rf"a\.tif has pixels of {said} \(mode [IF]\)"):
        reader(path)


@pytest.mark.parametrize("reader", [*READERS, images.size])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n{} loop\n", r"\(EPS\)"),
        (b"%PDF-1.4\n", r"\(PDF\)"),
        (b"P5 2 2 255\n\x00\x01\x02\x03", r"\(Netpbm\)"),
    ],
)
def test_other_formats_are_refused_whatever_their_name(
    tmp_path: Path, reader: Callable[[Path], object], content: bytes, said: str
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"photo\.jpg is no image that a data set may have {said}"):
        reader(path)


@pytest.mark.parametrize("reader", [*READERS, images.size])
def test_a_pipe_is_not_waited_for(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is a pipe, a socket or a device"):
        reader(tmp_path / "a.png")


def png(width: int, height: int) -> bytes:
    """The head of a PNG of one bit a pixel, and nothing of its pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return pack(">I", len(content)) + name + content + pack(">I", zlib.crc32(name + content))

    start = pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", b"")


def test_a_large_image_is_no_damaged_one(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Above Pillow's bound of 179 million pixels, without its warning."""
    path = tmp_path / "a.png"
    Image.new("1", (13500, 13500), 1).save(path)
    assert images.size(path) == (13500, 13500)
    images.check(path, (13500, 13500), PAPER)
    assert not recwarn.list


@pytest.mark.parametrize("reader", [*READERS, images.size])
def test_a_larger_one_than_is_read_is_said_before_reading(
    tmp_path: Path, reader: Callable[[Path], object]
) -> None:
    (tmp_path / "a.png").write_bytes(png(40000, 40000))
    with pytest.raises(DataError, match=r"a\.png has 40000x40000 pixels, more than the"):
        reader(tmp_path / "a.png")


def test_another_size_than_annotated_is_said_before_reading(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(16000, 16000))
    with pytest.raises(DataError, match=r"is 16000x16000, but a\.json says 512x128"):
        images.read(tmp_path / "a.png", SIZE, PAPER)
