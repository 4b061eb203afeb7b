"""What a cell's process says beside its progress: its log, and notes that the user should see."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

NOTED = (
    "detbench.training.checkpoint",
    "detbench.training.seeding",
    "detbench.training.first_iteration",
)
"""Loggers whose warnings are for the user: what was lost of earlier work, what is kept of it, and
what cannot learn."""


class _Lossy(io.BufferedIOBase):
    """A file descriptor where what finds no room is lost."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def write(self, content: Any) -> int:
        with contextlib.suppress(OSError):
            os.write(self._handle, content)
        return len(content)


def lossy(handle: int) -> TextIO:
    """A text stream for the log: a full disk must not end a cell that only says something."""
    file: Any = _Lossy(handle)
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", write_through=True)


class Notes(logging.Handler):
    """Sends warnings as events, and to stderr."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        print(text, file=sys.stderr)
        self._send({"phase": "note", "message": text})
