"""A cache of values that are derived from detections: JSON in ``<results>/derived``, checked."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from detbench.errors import StoreError
from detbench.results.files import write_atomic
from detbench.results.store import Store

log = logging.getLogger("detbench")
T = TypeVar("T")


@dataclass(frozen=True)
class Cache(Generic[T]):
    """Derived values of one kind, in memory and in ``<results>/derived/<folder>/``.

    Attributes:
        method: version of the computation; cached values of another version are computed again.
        dump: a value as plain data.
        load: its inverse; raises KeyError or TypeError for data of another form.
        memory: values of this process, which serve where the store cannot be written.
    """

    folder: str
    method: int
    dump: Callable[[T], Any]
    load: Callable[[Any], T]
    memory: dict[str, T] = field(default_factory=dict)

    def of(self, store: Store, name: str, parts: Any, compute: Callable[[], T]) -> T:
        """``compute()``, unless it was computed before for equal ``parts``.

        Args:
            name: the digest of a cell it is about; its file's name begins with it.
            parts: plain data; all that the value depends on, but for the method.
        """
        found = self.known(store, name, parts)
        return found[0] if found is not None else self.keep(store, name, parts, compute())

    def known(self, store: Store, name: str, parts: Any) -> tuple[T] | None:
        """What was computed before, in a tuple as it may be None; None if nothing was."""
        path = self._path(store, name, parts)
        if path.stem in self.memory:
            return (self.memory[path.stem],)
        found = self._read(path)
        if found is not None:
            self.memory[path.stem] = found[0]
        return found

    def keep(self, store: Store, name: str, parts: Any, value: T) -> T:
        """The value, which is from now on what is known."""
        path = self._path(store, name, parts)
        write(path, {"method": self.method, "value": self.dump(value)})
        self.memory[path.stem] = value
        return value

    def _path(self, store: Store, name: str, parts: Any) -> Path:
        return store.derived(self.folder) / f"{name}-{_checksum(parts)[:16]}.json"

    def _read(self, path: Path) -> tuple[T] | None:
        """The value in a file; None if there is none of this method."""
        try:
            content = read(path)
            return (self.load(content["value"]),) if content["method"] == self.method else None
        except (KeyError, TypeError):
            return None


def read(path: Path) -> Any:
    """What ``write`` wrote; None if there is no such file or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
        return content["kept"] if content["sha256"] == _checksum(content["kept"]) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write(path: Path, plain: Any) -> None:
    """Write plain data; where the store cannot be written, it is computed again next time."""
    content = {"kept": plain, "sha256": _checksum(plain)}
    try:
        write_atomic(path, json.dumps(content, indent=1).encode())
    except StoreError as error:
        log.debug("not cached: %s", error)


def _checksum(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
