"""COCO results JSON on disk, plain or compressed, always written whole. No torch."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from detbench.errors import DataError
from detbench.results.files import parse_json, write_atomic


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
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":  # gzip's magic number: the name may not say so
            data = gzip.decompress(data)
        return parse_json(data)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (EOFError, ValueError, RecursionError, zlib.error, gzip.BadGzipFile) as error:
        # The errors of JSON and of UTF-8 are ValueErrors.
        raise DataError(f"{path}: truncated or not JSON: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
