"""Progress of computations that are mostly quick: silent for a second, then lines on stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from detbench.cli import common
from detbench.progress import Tell

AFTER_S = 1.0
EVERY_S = 5.0


@contextmanager
def progress_lines(what: str) -> Iterator[Tell]:
    """A function to be told how many parts of how many are done.

    Args:
        what: is going on, as the line begins.
    """
    at = ["", ""]  # how far it is, and what was said last

    def speak() -> None:
        at[1] = at[0]
        common.say(f"{what}{at[0]} ...")

    timer = threading.Timer(AFTER_S, speak)
    timer.daemon = True
    timer.start()
    last = time.monotonic() + AFTER_S

    def tell(done: int, total: int) -> None:
        nonlocal last
        at[0] = f", {done} of {total} done"
        if time.monotonic() - last >= EVERY_S and at[0] != at[1]:
            last = time.monotonic()
            speak()

    try:
        yield tell
    finally:
        timer.cancel()
