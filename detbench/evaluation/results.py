"""COCO results JSON on disk, plain or compressed, always written whole. No torch."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from detbench import inputs
from detbench.errors import DataError
from detbench.results import detections
from detbench.results.detections import STORED
from detbench.results.files import parse_json, write_atomic
from detbench.results.schema import Damaged
from detbench.results.store import Store


def write(path: Path, results: list[dict[str, Any]]) -> None:
    """Write COCO results to ``path``, compressed if it ends in ``.gz``.

    The file appears whole or not at all, and equal results make equal bytes.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    text = json.dumps(results, separators=(",", ":"), allow_nan=False).encode()
    write_atomic(path, gzip.compress(text, 6, mtime=0) if path.suffix == ".gz" else text)


def read(path: Path) -> Any:
    """Read what ``write`` wrote, or anyone else's JSON, compressed or not.

    Raises:
        DataError: the file is missing, truncated or no JSON.
    """
    try:
        content = raw(path)
        _check_bound(path, content)
        return parse_json(inputs.unpacked(content))
    except Damaged as error:
        raise DataError(f"{path}: {error}") from error
    except (inputs.TooLarge, inputs.Twice) as error:
        raise DataError(f"{path}: {error}") from error
    except (EOFError, ValueError, RecursionError, zlib.error, gzip.BadGzipFile) as error:
        # The errors of JSON and of UTF-8 are ValueErrors.
        raise DataError(f"{path}: truncated or not JSON: {error}") from error


def _check_bound(path: Path, content: bytes) -> None:
    """Raise ``Damaged`` if a file of a store is not what the numbers beside it are of."""
    if path.parent.name == "cells" and (name := STORED.fullmatch(path.name)):
        stored = Store(path.parent.parent).get(name[1])
        detections.check(stored.rows if stored else (), content)


def raw(path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        DataError: it is missing, no plain file, or cannot be read.
    """
    try:
        return inputs.content(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
