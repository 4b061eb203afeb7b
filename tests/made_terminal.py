"""A real terminal of any width, for command lines called in this process."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO
from unittest import mock


@contextmanager
def screen(columns: int) -> Iterator[Callable[[], str]]:
    """Stdout and stderr are a terminal of so many columns inside.

    Yields a function that gives what was written, once the block has ended.
    """
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    found: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(reader, 1 << 16)
            except OSError:  # its other end is closed
                return
            found.append(part)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    out: TextIO = os.fdopen(writer, "w", encoding="utf-8", errors="replace")
    quiet = mock.patch.dict(os.environ, {"NO_COLOR": "1", "TERM": "xterm"})
    with quiet, mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", out):
        os.environ.pop("COLUMNS", None)
        yield lambda: b"".join(found).decode().replace("\r\n", "\n")
    out.close()
    thread.join(10)
    os.close(reader)
