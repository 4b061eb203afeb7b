"""Stopping a run by a signal without losing what it did."""

from __future__ import annotations

import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

from detbench.progress import Progress, Report
from detbench.training.distributed import rank

STOPPED = 128 + signal.SIGTERM
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signals() -> Iterator[Report]:
    """Turn SIGINT and SIGTERM into a stop at the next report, where the loop saves a checkpoint.

    Yields a report that raises ``KeyboardInterrupt`` after SIGINT and exits with 143 after
    SIGTERM. A second signal acts at once. Only for a process's main thread.
    """
    received: list[int] = []
    old = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number in SIGNALS:
            signal.signal(number, old[number])

    def remember(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        if rank() == 0:
            words = "detbench: stopping after this iteration; once more stops at once"
            print(words, file=sys.stderr)
        restore()

    def check(progress: Progress) -> None:
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(STOPPED)

    for number in SIGNALS:
        signal.signal(number, remember)
    try:
        yield check
    finally:
        restore()
