"""Cells that make no progress: named while a run goes on, and ended where the user asks for it."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detbench import __version__
from detbench.results.files import Lock
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner.display import describe, duration
from detbench.runner.job import CostCell
from detbench.runner.launchers.launcher import Started
from detbench.runner.plan import Task
from detbench.runner.process import LOCK_PATIENCE_S, now

GRACE_S = 20.0
"""How long an ended cell's machine may take to say so, before it is asked again."""
QUIET_S = 300.0
"""A cell that makes no progress for so long is named, and again each time that has doubled."""


@dataclass
class Watch:
    """Since when a cell has made no progress: reported no other phase or iteration.

    Attributes:
        event: what it reported last; empty before anything.
        name_s: it is named once it was quiet for so many seconds.
        over: why it was ended; empty if it was not.
    """

    event: dict[str, Any] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    name_s: float = field(default_factory=lambda: QUIET_S)
    over: str = ""

    def heard(self, event: dict[str, Any]) -> None:
        """It reported something. A validation is progress, but says not how far it is."""
        validates = event.get("phase") == "validate"
        if validates or _place(event) != _place(self.event):
            self.restart()
        if not validates:
            self.event = event

    def restart(self) -> None:
        """Count from now."""
        self.since, self.name_s = time.monotonic(), QUIET_S

    @property
    def quiet_s(self) -> float:
        """Seconds without progress."""
        return time.monotonic() - self.since

    def due(self) -> bool:
        """Whether it is time to name it, which is then said once."""
        if self.quiet_s < self.name_s:
            return False
        self.name_s = 2 * self.quiet_s
        return True

    def said(self, log: Path) -> str:
        """For how long, since what, and where to look."""
        last = describe(self.event) or "it was started"
        return f"no progress for {duration(self.quiet_s)}, since {last}: see {log}"


def look(watch: Watch, child: Started, limit: float | None) -> str:
    """What to say of a running cell; mostly nothing. One that was quiet for ``limit`` minutes is
    ended.
    """
    if not child.begun:
        watch.restart()  # it waits for room
    elif watch.over:
        if watch.quiet_s >= GRACE_S:  # the machine that it is on may be gone
            watch.restart()
            child.stop(signal.SIGKILL)
    elif limit is not None and watch.quiet_s >= 60 * limit:
        watch.over = f"ended by --cell-timeout, {watch.said(child.log)}"
        watch.restart()
        child.stop(signal.SIGKILL)
    elif watch.due():
        advice = "" if limit else " (--cell-timeout MINUTES ends such a cell as failed)"
        return watch.said(child.log) + advice
    return ""


def _place(event: dict[str, Any]) -> tuple[Any, Any]:
    return event.get("phase"), event.get("iteration")


def fail(store: Store, task: Task, reason: str) -> bool:
    """Store that a cell failed whose process was ended; false where another run has taken it.

    Its checkpoint stays, so that ``--retry-failed`` goes on from there.
    """
    lock = Lock(store.work(task.work) / "lock")
    if not lock.acquire(LOCK_PATIENCE_S):
        return False
    try:
        if store.status(task.digest) == "missing":
            seed = None if isinstance(task.cell, CostCell) else task.cell.seed
            origin = {"detbench": __version__, "ended": now()}
            how: dict[str, Any] = {"status": "failed", "reason": reason, "provenance": origin}
            store.add([Measurement(task.digest, task.kind, "cell", None, "", {}, seed, **how)])
    finally:
        lock.release()
    return True
