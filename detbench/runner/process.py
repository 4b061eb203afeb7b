"""What the processes of a cell have in common: exit codes, their end, what they say. No torch."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from detbench.results.schema import Measurement
from detbench.training import memory

DONE, FAILED, MEND, BUSY, LOST, STOPPED = 0, 1, 2, 75, 76, 143

LOCK_PATIENCE_S = 1.0
"""A runner that looks whether a cell is free holds its lock for a moment."""

Event = dict[str, Any]
Report = Callable[[Event], None]
Measured = tuple[list[Measurement], list[dict[str, Any]] | None]
"""Rows of a cell, and its detections if it has any."""


def die() -> None:
    """End this process and its data loaders at once, without cleaning up."""
    if os.getpgid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(STOPPED)


def watch_parent() -> None:
    """Die when stdin ends: the runner holds its other end, and is gone if it closes."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        die()

    threading.Thread(target=watch, daemon=True).start()


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cause(code: int, errors: Iterable[Event]) -> str:
    """How a cell that did not finish ended, given what its process said of it."""
    if code == LOST:
        return str(next(iter(errors), {}).get("message", "lost a process"))
    return f"killed by {signal.Signals(-code).name if code < 0 else 'SIGTERM'}"


def logged(error: Exception, log: Path) -> str:
    """What to say of an error that nobody foresaw, whose traceback goes to stderr, that is to
    ``log``.
    """
    traceback.print_exception(error)
    first = (str(error).splitlines() or [""])[0]
    if memory.exhausted(error):
        return memory.ADVICE
    return f"{type(error).__name__}: {first} (the traceback is in {log})"
