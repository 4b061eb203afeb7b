"""What costs time to compute again, kept as JSON below ``<results>/work`` with a checksum."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from detbench.errors import StoreError
from detbench.results.files import write_atomic

log = logging.getLogger("detbench")


def read(path: Path) -> Any:
    """What ``keep`` wrote; none if there is none or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
        return content["kept"] if content["sha256"] == _checksum(content["kept"]) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def keep(path: Path, plain: Any) -> None:
    """Write plain data whole; a store that cannot be written only costs the time again."""
    content = {"kept": plain, "sha256": _checksum(plain)}
    try:
        write_atomic(path, json.dumps(content, indent=1).encode())
    except StoreError as error:
        log.debug("not kept: %s", error)


def _checksum(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
