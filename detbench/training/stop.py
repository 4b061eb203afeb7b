"""Stopping a run by a signal without losing what it did."""

from __future__ import annotations

import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

from detbench.progress import Progress, Report
from detbench.streams import outlast
from detbench.training.distributed import rank

STOPPED = 128 + signal.SIGTERM
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def on_signals() -> Iterator[Report]:
    """Turn SIGINT, SIGTERM and SIGHUP (a closed terminal) into a stop at the next report, where the
    loop saves a checkpoint. One that is ignored, as by ``nohup``, stays so.

    Yields a report that raises ``KeyboardInterrupt`` after SIGINT and exits with 143 after the
    others. A second signal acts at once. Only for a process's main thread.
    """
    outlast()
    received: list[int] = []
    now = {number: signal.getsignal(number) for number in SIGNALS}
    old = {number: handler for number, handler in now.items() if handler is not signal.SIG_IGN}

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    def remember(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        if rank() == 0:
            words = "detbench: stopping after this iteration; once more stops at once"
            print(words, file=sys.stderr)
        restore()

    def check(progress: Progress) -> None:
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(STOPPED)

    for number in old:
        signal.signal(number, remember)
    try:
        yield check
    finally:
        restore()
