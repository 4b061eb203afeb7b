"""Writing files so that nothing half-written is ever seen, and locks that die with their owner."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from detbench import inputs, temporary
from detbench.errors import StoreError


def write_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, synced to disk; its folder is made.

    Raises:
        StoreError: no space left, no permission, or another fault of the folder.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside, open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, which takes its place once it is written, or goes."""
    aside = temporary.beside(path)
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` while writing ``path`` into a ``StoreError`` of one line."""
    try:
        yield
    except inputs.NoFile as error:
        raise StoreError(f"{error.filename} {error.strerror}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            what = f"no space left while writing {path}: free some, then run again to go on"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            what = (
                f"cannot write {path} ({os.strerror(error.errno)}): "
                "choose a folder of yours (--results, $DETBENCH_RESULTS or --out)"
            )
        else:
            what = f"cannot write {path} ({error.strerror or error}): check the results folder"
        raise StoreError(what) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` while reading ``path`` into a ``StoreError`` of one line."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot read {path} ({error.strerror or error}): check the results folder"
        ) from error


def read(path: Path) -> bytes:
    """A file's bytes; an ``OSError`` is a ``StoreError`` of one line."""
    with reading(path):
        return inputs.content(path)


def parse_json(content: bytes) -> Any:
    """``inputs.from_json`` without the cycle collector, a third quicker on half a million
    detections; raises as it does.
    """
    collecting = gc.isenabled()
    gc.disable()  # it would walk what is growing again and again, and there are no cycles
    try:
        return inputs.from_json(content)
    finally:
        if collecting:
            gc.enable()


class Lock:
    """An exclusive lock on a file, released by the kernel when the process that took it dies.

    Children forked while it is held close it, so that a data loader's worker cannot outlive a
    killed cell with the lock in its hands.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        os.register_at_fork(after_in_child=self.release)

    def acquire(self, patience_s: float = 0.0) -> bool:
        """Take the lock; false if another process still holds it after ``patience_s`` seconds."""
        end = time.monotonic() + patience_s
        while True:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                if time.monotonic() >= end:
                    return False
                time.sleep(0.02)
            except OSError as error:
                os.close(handle)
                raise StoreError(
                    f"cannot lock {self.path} ({error.strerror}): the results folder must be on "
                    "a file system with locks"
                ) from error
            else:
                # Whoever held it may have deleted the file: then others lock another one.
                if self._is_there(handle):
                    self._handle = handle
                    return True
                os.close(handle)

    def _open(self) -> int:
        with writing(self.path):
            for _ in range(5):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                except FileNotFoundError:  # the folder was deleted in between
                    continue
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)

    def _is_there(self, handle: int) -> bool:
        try:
            there, ours = os.stat(self.path), os.fstat(handle)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


CELLS_PATIENCE_S = 60.0


def cells_lock(root: Path) -> Lock:
    """What is held while the files of a cell, which belong together, are written to a store."""
    return Lock(root / ".cells.lock")


@contextmanager
def locked(lock: Lock) -> Iterator[None]:
    """Hold the lock of ``cells_lock``, which is held for moments.

    Raises:
        StoreError: another process does not let it go.
    """
    if not lock.acquire(CELLS_PATIENCE_S):
        raise StoreError(
            f"{lock.path}: another process has been writing to this store for a minute: wait for "
            "it, or stop it"
        )
    try:
        yield
    finally:
        lock.release()


def private(folder: Path) -> Path:
    """A folder of this user alone, under one that everybody writes to; made if it is not there.

    Raises:
        StoreError: somebody else made it, or it is a link or a file.
    """
    with writing(folder), suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StoreError(
            f"{folder} is not a folder of yours: remove it, or choose another place with $TMPDIR"
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def held(path: Path) -> bool:
    """Whether somebody holds the lock on a file, without taking it or writing anything."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


FEW = 32


def sync(folder: Path, paths: Sequence[Path]) -> None:
    """Have files that were written to a folder on the disk, and the folder; of many, by one call
    for its file system.
    """
    call = getattr(ctypes.CDLL(None), "syncfs", None)
    if call is None or len(paths) <= FEW:
        for path in (*paths, folder):
            _sync(path)
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if call(handle) != 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
