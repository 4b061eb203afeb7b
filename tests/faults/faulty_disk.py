"""A disk that fills up at a chosen moment: everything that writes in this process counts."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """Counts what writes below ``root``; from the ``limit``-th on, or at it alone, it fails.

    A failing write leaves half of what it should have written. Nothing waits for the real disk.

    Attributes:
        done: of each operation its name and its file's, in order.
    """

    def __init__(self, root: Path, limit: int | None = None, once: bool = False) -> None:
        self.root, self.limit, self.once = str(root), limit, once
        self.done: list[tuple[str, str]] = []
        self.failed = 0

    def check(self, name: str, path: Any) -> bool:
        """Count one operation; true where it shall fail."""
        if not str(path).startswith(self.root):
            return False
        self.done.append((name, str(path)))
        if self.limit is None or len(self.done) < self.limit or (self.once and self.failed):
            return False
        self.failed += 1
        return True

    def spend(self, name: str, path: Any) -> None:
        if self.check(name, path):
            raise full(path)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Have this process write to it."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("mkdir", "replace"):
                patch.setattr(os, name, self._guarded(name, getattr(os, name)))
            patch.setattr(os, "fsync", self._sync)
            patch.setattr(os, "open", self._opening(os.open))
            real = builtins.open
            patch.setattr(builtins, "open", self._file(real))
            patch.setattr(io, "open", self._file(real))
            yield

    def _guarded(self, name: str, real: Any) -> Any:
        def call(path: Any, *arguments: Any, **more: Any) -> Any:
            self.spend(name, path)
            return real(path, *arguments, **more)

        return call

    def _sync(self, handle: int) -> None:
        self.spend("fsync", os.readlink(f"/proc/self/fd/{handle}"))

    def _opening(self, real: Any) -> Any:
        def call(path: Any, flags: int, *arguments: Any, **more: Any) -> int:
            if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                self.spend("open", path)
            handle: int = real(path, flags, *arguments, **more)
            return handle

        return call

    def _file(self, real: Any) -> Any:
        def call(path: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            if not set(mode) & set("wax+") or not str(path).startswith(self.root):
                return real(path, mode, *arguments, **more)
            self.spend("open", path)
            return File(real(path, mode, *arguments, **more), self)

        return call


class File:
    """A file being written on such a disk."""

    def __init__(self, real: Any, disk: Disk) -> None:
        self.real, self.disk = real, disk

    def write(self, content: Any) -> int:
        if self.disk.check("write", self.real.name):
            self.real.write(content[: len(content) // 2])
            raise full(self.real.name)
        written: int = self.real.write(content)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.disk.spend("flush", self.real.name)
        self.real.flush()

    def __enter__(self) -> File:
        return self

    def __exit__(self, *error: object) -> None:
        self.real.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def full(path: Any) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
