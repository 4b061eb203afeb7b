"""How a run is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def terminable() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP (a closed terminal) stop a run as Ctrl-C does; yields the signals that
    came. One that is ignored, as by ``nohup``, stays so.

    The exception alone can be lost: Python drops what is raised in a finaliser it happens to be in.
    """
    came: list[int] = []

    def interrupt(signum: int, frame: object) -> None:
        came.append(signum)
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    heard = [one for one in numbers if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
