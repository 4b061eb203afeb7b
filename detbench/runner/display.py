"""What a run shows while it goes: a bar on a terminal, plain lines elsewhere; always to stderr."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from detbench.errors import shown

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_EVERY_S = 15.0
"""A plain line about a running cell at most this often."""


def duration(seconds: float) -> str:
    """``0:07``, ``12:30`` or ``3:05:00``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"


@dataclass
class Estimate:
    """Time left, from how long this run's cells took.

    Attributes:
        jobs: how many run at once.
        spent: seconds of each finished cell.
    """

    jobs: int
    spent: list[float] = field(default_factory=list)

    def left(self, running: list[tuple[float, float | None]], waiting: int) -> float | None:
        """Seconds left; none before anything is known.

        Args:
            running: of each running cell, seconds since its start and its own estimate.
            waiting: cells not started.
        """
        known = self.spent or [elapsed + left for elapsed, left in running if left is not None]
        if not known:
            return None
        typical = sum(known) / len(known)
        now = sum(
            left if left is not None else max(typical - elapsed, 0.0) for elapsed, left in running
        )
        return (now + waiting * typical) / min(self.jobs, max(1, waiting + len(running)))


@dataclass(frozen=True)
class State:
    """How far the run is: cells finished (now or before), all cells, and seconds left."""

    finished: int
    total: int
    left_s: float | None

    def __str__(self) -> str:
        return f"[{self.finished}/{self.total}]"

    @property
    def eta(self) -> str:
        known = self.left_s is not None and self.finished < self.total
        return f", about {duration(self.left_s or 0)} left of the table" if known else ""


def describe(event: dict[str, Any]) -> str:
    """``train 120/300, loss 1.234``."""
    words = str(event.get("phase", ""))
    if event.get("total"):
        words += f" {event.get('iteration', 0)}/{event['total']}"
    if event.get("loss") is not None:
        words += f", loss {event['loss']:.3f}"
    return words


class Display(Protocol):
    """Where a run reports to."""

    def progress(self, key: str, label: str, event: dict[str, Any], state: State) -> None:
        """A running cell sent an event."""

    def ended(self, key: str, text: str, state: State) -> None:
        """A cell ended; ``text`` says how."""

    def say(self, text: str) -> None:
        """A line to keep."""

    def close(self) -> None:
        """Give the terminal back."""


class Plain:
    """Lines, rarely: for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last: dict[str, float] = {}

    def progress(self, key: str, label: str, event: dict[str, Any], state: State) -> None:
        now = time.monotonic()
        if now - self._last.get(key, now - PLAIN_EVERY_S) >= PLAIN_EVERY_S:
            self._last[key] = now
            self.say(f"{state} {label}: {describe(event)}{state.eta}")

    def ended(self, key: str, text: str, state: State) -> None:
        self.say(f"{state} {text}{state.eta}")

    def say(self, text: str) -> None:
        print(shown(text), file=self._out, flush=True)

    def close(self) -> None:
        self._out.flush()


def bars(out: TextIO) -> Progress:
    """Bars by rich, each with ``left`` after it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(file=out, highlight=False),
        transient=True,
    )


class Bars:
    """One bar for the table and one for each running cell, by rich."""

    def __init__(self, out: TextIO) -> None:
        self._progress = bars(out)
        self._progress.start()
        self._whole = self._progress.add_task("table", total=None, left="")
        self._bars: dict[str, Any] = {}

    def progress(self, key: str, label: str, event: dict[str, Any], state: State) -> None:
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(shown(label), total=None, left="")
        loss = f"loss {event['loss']:.3f}  " if event.get("loss") is not None else ""
        left = f"ETA {duration(event['eta_s'])}" if event.get("eta_s") is not None else ""
        self._progress.update(
            self._bars[key],
            description=f"{label}: {event.get('phase', '')}",
            completed=event.get("iteration", 0),
            total=event.get("total"),
            left=loss + left,
        )
        self._update(state)

    def ended(self, key: str, text: str, state: State) -> None:
        if key in self._bars:
            self._progress.remove_task(self._bars.pop(key))
        self.say(f"{state} {text}")
        self._update(state)

    def _update(self, state: State) -> None:
        left = f"ETA {duration(state.left_s)}" if state.left_s is not None else ""
        self._progress.update(self._whole, completed=state.finished, total=state.total, left=left)

    def say(self, text: str) -> None:
        self._progress.console.print(shown(text), markup=False)

    def close(self) -> None:
        self._progress.stop()


def display(out: TextIO | None = None) -> Display:
    """Bars on a terminal, plain lines elsewhere."""
    out = out or sys.stderr
    return Bars(out) if out.isatty() else Plain(out)
