"""A run that keeps to its time and keeps what it has: what ``gpu.py`` and its steps share."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "detbench")


ENDING_S = 20.0
"""How long a command may take to save and end."""


class Late(Exception):
    """The time is over."""


@dataclass
class Run:
    """What steps need, and where results go.

    Attributes:
        end: of the time, by the monotonic clock.
        small: inputs and lengths that a CPU can try.
        kept: what is in the file.
    """

    device: torch.device
    end: float
    small: bool
    results: Path
    path: Path
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def save(self) -> None:
        """Write all that is known, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        other = self.path.with_suffix(".part")
        other.write_text(json.dumps(self.kept, indent=1) + "\n", encoding="utf-8")
        other.replace(self.path)

    def check(self) -> None:
        """Raise ``Late`` if the time is over."""
        if self.left < 0:
            raise Late

    def command(self, *arguments: str, timeout: float | None = None) -> str:
        """Run a detbench command; what it prints.

        Raises:
            Late: it had to be ended.
            RuntimeError: it failed.
        """
        limit = max(1.0, self.left if timeout is None else min(timeout, self.left))
        with started(*arguments) as process:
            try:
                out, err = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired as error:
                stop(process)
                raise Late from error
        if process.returncode:
            raise RuntimeError(f"detbench {' '.join(arguments)}: {err[-2000:]}")
        return out


def started(*arguments: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    """A detbench command, ended with all of its own processes whatever happens."""
    return started_as([*COMMAND, *arguments])


@contextlib.contextmanager
def started_as(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Any command, likewise."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    paths = (str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """Let it save and end; if it does not, end it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
