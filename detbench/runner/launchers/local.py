"""Cells as child processes on this machine, each with GPUs of its own while there are enough."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detbench import children
from detbench.results.files import writing
from detbench.runner import processors
from detbench.runner.job import CostJob, TrainJob
from detbench.runner.launchers.launcher import Heard, How, Inbox
from detbench.runner.options import Options, gpus

CELL_COMMAND = tuple(children.command("detbench.runner.cell"))

PATIENCE_S = 5.0


class Local:
    """Starts cells on this machine.

    Cells take their GPUs in turn, ``gpus_per_cell`` each; with more cells at once than GPUs they
    share them.
    """

    def __init__(self, options: Options) -> None:
        self.places = options.jobs or 1
        self._command = options.command or CELL_COMMAND
        self._gpus = gpus(options.device)
        self._each = options.processes
        self.threads, self.notice = options.threads or 0, ""
        if not self.threads:
            self.threads, self.notice = processors.fitting(self.places * self._each)
        self._children: list[Child | None] = [None] * self.places

    def start(self, key: str, job: TrainJob | CostJob, work: Path, inbox: Inbox) -> Child:
        """See ``Launcher``."""
        place = self._free_place()
        how = Call(self._command, self._environment(job, place))
        child = Child(key, job, work, inbox, how)
        self._children[place] = child
        return child

    def _free_place(self) -> int:
        for place, child in enumerate(self._children):
            if child is None or child.code is not None:
                return place
        raise ValueError("more cells at once than places")

    def _environment(self, job: TrainJob | CostJob, place: int) -> dict[str, str]:
        """Which GPUs a cell sees: none of the others'."""
        if isinstance(job, CostJob) or len(self._gpus) < 2:
            return {}
        first = place * self._each
        chosen = [self._gpus[n % len(self._gpus)] for n in range(first, first + self._each)]
        return {"CUDA_VISIBLE_DEVICES": ",".join(dict.fromkeys(chosen))}


@dataclass(frozen=True)
class Call:
    """How a cell's process is started.

    Attributes:
        command: and its arguments, to which ``-`` is added.
        environment: variables beside our own.
        cwd: its working folder; by default ours.
    """

    command: Sequence[str] = CELL_COMMAND
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


class Child:
    """A running cell. Its stdin is a pipe of ours: the job is sent through it, and it stays open,
    so that it closes if we die, which ends the cell.

    Args:
        folder: of the log.
        how: it is started.
    """

    def __init__(
        self, key: str, job: TrainJob | CostJob, folder: Path, inbox: Inbox, how: Call = Call()
    ) -> None:
        self.key = key
        self.log = folder / "log.txt"
        threads = str(job.threads) if isinstance(job, TrainJob) else "1"
        with writing(self.log):
            folder.mkdir(parents=True, exist_ok=True)
            log = open(self.log, "ab")  # noqa: SIM115  (closed below, once the child has it)
        with log:
            self.process = subprocess.Popen(
                [*how.command, "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # A group of its own: the terminal's Ctrl-C must reach the runner alone.
                start_new_session=True,
                # BLAS and OpenMP read the number of threads, and how those wait, when they are
                # loaded.
                env={
                    **os.environ,
                    **processors.waiting(os.environ),
                    "OMP_NUM_THREADS": threads,
                    "MKL_NUM_THREADS": threads,
                    **how.environment,
                },
                cwd=how.cwd,
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

    @property
    def code(self) -> int | None:
        """See ``Started``."""
        return self.process.poll()

    @property
    def begun(self) -> bool:
        """See ``Started``: at once."""
        return True

    def stop(self, how: How) -> None:
        """See ``Started``."""
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
