"""What files of annotations or weights hold, as hashes that are remembered. No torch.

A file is hashed as it unpacks, so that compressing, moving or linking it changes nothing. Its hash
is remembered with its size, times and inode in ``$XDG_STATE_HOME/detbench/annotations.json``
(``~/.local/state`` by default); a file that changed within the last seconds is hashed again, as a
further change may leave its times as they are. Where the file cannot be written, hashing takes its
time anew; nothing else is lost but what ``as_first_seen`` knows.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from detbench import inputs, temporary
from detbench.errors import DataError

_SETTLED_S = 2.0
_CHUNK = 1 << 22


def of_files(paths: Iterable[Path]) -> str:
    """The sha256 of the contents of one file or several, in their order.

    Raises:
        DataError: a file is missing, damaged or cannot be read.
    """
    paths = list(paths)
    facts = [_facts(path) for path in paths]
    key = hashlib.sha256("\n".join(str(path.resolve()) for path in paths).encode()).hexdigest()
    state = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    memory = _read()
    known = memory["hashes"].get(key)
    if isinstance(known, list) and len(known) == 2 and known[0] == state:
        return str(known[1])
    single = [_hash(path) for path in paths]
    found = single[0] if len(single) == 1 else hashlib.sha256("".join(single).encode()).hexdigest()
    if time.time() - max(max(fact[1:3]) for fact in facts) / 1e9 > _SETTLED_S:
        _remember("hashes", key, [state, found])
    return found


def as_first_seen(name: str, content: str) -> bool:
    """Whether a data set that goes by a public name has the content that it was first seen with.

    The first content that is asked about is taken for what the name stands for.
    """
    first = _read()["names"].get(name)
    if first is None:
        _remember("names", name, content)
    return first in (None, content)


def _facts(path: Path) -> tuple[int, int, int, int]:
    """Size, both times in nanoseconds, and inode."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _hash(path: Path) -> str:
    hashed = hashlib.sha256()
    try:
        with inputs.opened(path) as file:
            packed = path.stat().st_size if inputs.is_packed(file.read(2)) else 0
        length = 0
        with gzip.open(path) if packed else path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
                if packed:
                    inputs.check_bound(length := length + len(chunk), packed)
    except (OSError, EOFError, zlib.error, inputs.TooLarge) as error:
        said = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {said}") from None
    return hashed.hexdigest()


def _file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "detbench" / "annotations.json"


def _read() -> dict[str, dict[str, Any]]:
    """What is remembered; empty if there is nothing, or it is damaged."""
    with suppress(OSError, ValueError, RuntimeError):  # the last: there is no home
        found = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(
            isinstance(found.get(part), dict) for part in ("hashes", "names")
        ):
            return found
    return {"hashes": {}, "names": {}}


def _remember(part: str, key: str, value: Any) -> None:
    with suppress(OSError, RuntimeError):
        path, memory = _file(), _read()
        memory[part][key] = value
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = temporary.beside(path)
        aside.write_text(json.dumps(memory), encoding="utf-8")
        aside.replace(path)
