"""Cells as child processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detbench.results.files import writing
from detbench.runner.job import CostJob, TrainJob

CELL_COMMAND = (sys.executable, "-m", "detbench.runner.cell")

PATIENCE_S = 5.0


@dataclass(frozen=True)
class Heard:
    """What a child sent, or that it ended.

    Attributes:
        key: of the child.
        event: a progress event; none when the process has ended.
    """

    key: str
    event: dict[str, Any] | None


class Child:
    """A running cell. Its stdin is a pipe of ours: the job is sent through it, and it stays open,
    so that it closes if we die, which ends the cell.
    """

    def __init__(
        self,
        key: str,
        job: TrainJob | CostJob,
        folder: Path,
        inbox: queue.Queue[Heard],
        command: Sequence[str] = CELL_COMMAND,
    ) -> None:
        self.key = key
        self.log = folder / "log.txt"
        threads = str(job.threads) if isinstance(job, TrainJob) else "1"
        with writing(self.log):
            folder.mkdir(parents=True, exist_ok=True)
            log = open(self.log, "ab")  # noqa: SIM115  (closed below, once the child has it)
        with log:
            self.process = subprocess.Popen(
                [*command, "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # A group of its own: the terminal's Ctrl-C must reach the runner alone.
                start_new_session=True,
                # BLAS and OpenMP read the number of threads when they are loaded.
                env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            )
        self._inbox = inbox
        text = job.model_dump_json().encode() + b"\n"
        self._talker = threading.Thread(target=self._talk, args=(text,), daemon=True)
        self._talker.start()

    def _talk(self, text: bytes) -> None:
        """Send the job, then hear until the process has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        # A child that dies before it has read its job is heard of below.
        with contextlib.suppress(OSError):
            self.process.stdin.write(text)
            self.process.stdin.flush()
        for line in self.process.stdout:
            # A process killed in the middle of a line leaves half of it.
            with contextlib.suppress(ValueError):
                self._inbox.put(Heard(self.key, json.loads(line)))
        self.process.wait()
        self._inbox.put(Heard(self.key, None))

    def stop(self, how: Literal[signal.Signals.SIGTERM, signal.Signals.SIGKILL]) -> None:
        """SIGTERM asks it to save a checkpoint and end; SIGKILL ends it and its helpers."""
        if self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if how == signal.SIGTERM:
                self.process.send_signal(how)
            else:
                os.killpg(self.process.pid, how)

    def wait(self, patience_s: float) -> None:
        """Wait for its end, but no longer than that."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)

    def close(self) -> None:
        """Wait for the end of a child that ended or was killed, and close our ends of its pipes."""
        self.wait(PATIENCE_S)
        self._talker.join(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            # Whoever is left of its helpers may hold the other end; the reader then has ours.
            if pipe is not None and not self._talker.is_alive():
                with contextlib.suppress(OSError):
                    pipe.close()
