"""Files that somebody else made: plain files only, and bounded where they unpack.

A named pipe would be waited for, a device read without end, and eight megabytes of gzip can hold
eight gigabytes. All is said as an ``OSError`` or a ``ValueError``, whose text is one line, so that
whoever reads says it as of any other file that cannot be read.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

FREE = 64 << 20
RATIO = 32
"""What unpacks may come to ``FREE`` bytes, and ``RATIO`` times the packed ones beyond (annotations
and detections come to 4 to 12 times)."""

_GZIP = b"\x1f\x8b"
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NoFile(OSError):
    """What is there in place of a file that is to be written would not be one afterwards."""


class Twice(ValueError):
    """An object of a JSON has a key twice."""


class TooLarge(ValueError):
    """Something unpacks to more than is read."""


def opened(path: Path) -> BinaryIO:
    """A plain file, open for reading.

    Raises:
        OSError: it is none, is not there, or cannot be read; ``strerror`` says it in words.
    """
    check(path)
    return path.open("rb")


def check(path: Path) -> None:
    """Raise as ``opened`` does, unless it is a file or a folder."""
    if said := _other(path.stat().st_mode):
        raise OSError(errno.EINVAL, said, str(path))


def check_target(path: Path) -> None:
    """Raise ``NoFile`` where a file that is written to ``path`` would take the place of a device, a
    pipe or the like, or of a link to one; of what else is wrong there, writing tells.
    """
    said = ""
    try:
        if path.is_symlink() and os.readlink(path).startswith("/proc/"):  # as of /dev/stdout
            said = "a process's stream"
        else:
            said = _other(path.stat().st_mode)
    except (OSError, ValueError):
        return
    if said:
        what = said.removesuffix(", not a file")
        raise NoFile(errno.EINVAL, f"is no regular file, but {what}: name a file", str(path))


def number(text: str) -> float:
    """A number as files have it: digits of ASCII, and none of the underscores that Python takes.

    Raises:
        ValueError: it is none.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"no number: {text!r}")
    return float(text)


def why_no_text(text: str) -> str:
    """Why a text cannot be written, in words; empty where it can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half a character in it (a lone surrogate, or bytes that are no UTF-8)"
    return ""


def from_json(data: bytes | str) -> Any:
    """What a JSON that somebody else made holds.

    Raises:
        Twice: an object has a key twice, of which Python takes the last.
        ValueError, RecursionError: it is no JSON.
    """
    return json.loads(data, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    id_ = found.get("id")
    where = f" with id {id_!r:.40}" if isinstance(id_, int | float | str) else ""
    raise Twice(f"it has {twice!r:.60} twice in one object{where}; leave either out")


def expanded(path: str | Path) -> Path:
    """A path with the home in place of ``~``; as it is where that names nobody's."""
    return Path(os.path.expanduser(path))


def why_no_file(path: Path) -> str:
    """What is there in place of a plain file, in words; empty where one is."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # the latter: no name of a file
        return "a link that leads nowhere" if os.path.islink(path) else "no such file"
    return "a folder, not a file" if stat.S_ISDIR(mode) else _other(mode)


def _other(mode: int) -> str:
    """What a thing that is neither a file nor a folder is; else empty."""
    return next((f"{name}, not a file" for is_kind, name in _KINDS if is_kind(mode)), "")


def content(path: Path) -> bytes:
    """All bytes of a plain file; raises as ``opened`` does."""
    check(path)
    return path.read_bytes()


def text(path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """All of a plain text file, with ends of lines as ``\\n``; raises as ``opened`` does, and
    ``UnicodeDecodeError``.
    """
    check(path)
    return path.read_text(encoding, errors)


def is_packed(data: bytes) -> bool:
    """Whether bytes begin as gzip's do, whatever a file's name says."""
    return data[:2] == _GZIP


def bound(packed: int) -> int:
    """What ``packed`` bytes may unpack to."""
    return FREE + RATIO * packed


def check_bound(unpacked: int, packed: int) -> None:
    """Raise ``TooLarge`` if ``packed`` bytes unpack to more than ``bound`` says."""
    if unpacked > bound(packed):
        raise too_large(packed)


def too_large(packed: int) -> TooLarge:
    """What to raise of ``packed`` bytes that unpack to more than ``bound`` says."""
    return TooLarge(
        f"its {_megabytes(packed)} unpack to more than {_megabytes(bound(packed))}, the bound of "
        "what is read: unpack it yourself if it is what it should be"
    )


def unpacked(data: bytes) -> bytes:
    """What gzip packed, or the bytes themselves where it did not.

    Raises:
        TooLarge: it is more than ``bound``.
        OSError, EOFError, zlib.error: the bytes are damaged.
    """
    if not is_packed(data):
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = file.read(bound(len(data)) + 1)
    check_bound(len(found), len(data))
    return found


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
