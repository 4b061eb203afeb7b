"""What a launcher is, and a cell that it started."""

from __future__ import annotations

import queue
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from detbench.runner.job import CostJob, TrainJob

How = Literal[signal.Signals.SIGTERM, signal.Signals.SIGKILL]


@dataclass(frozen=True)
class Heard:
    """What a cell sent, or that it ended.

    Attributes:
        key: of the cell.
        event: a progress event; none when its process has ended.
    """

    key: str
    event: dict[str, Any] | None


Inbox = queue.Queue[Heard]


class Started(Protocol):
    """A cell that was started.

    Attributes:
        key: as it is named in the inbox.
        log: file of what it printed.
    """

    key: str
    log: Path

    @property
    def code(self) -> int | None:
        """Exit code once it has ended; minus the signal that killed it."""
        ...

    @property
    def begun(self) -> bool:
        """Whether its process was started; before, it may wait for room."""
        ...

    def stop(self, how: How) -> None:
        """SIGTERM asks it to save a checkpoint and end; SIGKILL ends it and its helpers."""
        ...

    def wait(self, patience_s: float) -> None:
        """Wait for its end, but no longer than that."""
        ...

    def close(self) -> None:
        """Let go of one that ended or was killed."""
        ...


class Launcher(Protocol):
    """Starts cells.

    Attributes:
        threads: CPU threads of each process of a cell.
        notice: a sentence about that number which the user should see; else empty.
    """

    threads: int
    notice: str

    @property
    def places(self) -> int:
        """Cells that may run at once."""
        ...

    def start(self, key: str, job: TrainJob | CostJob, work: Path, inbox: Inbox) -> Started:
        """Start a cell whose log goes to the folder ``work`` and whose events to ``inbox``."""
        ...
