"""The further processes of one cell, DDP workers that share its batches: ``--gpus-per-cell``.

The cell's own process is the first of them: it holds the lock, reports, and stores. It starts the
others on this machine (``runner.ddp_worker``), with the same job; they end when it does, however it
dies. When one of them ends early, so does the cell, for the reason that one gave.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist

from detbench import children, errors
from detbench.errors import CellFailed, DetbenchError, ProcessLost
from detbench.measure import device as devices
from detbench.runner import process
from detbench.runner.job import TrainJob
from detbench.training import distributed
from detbench.training.distributed import ALONE, Team

HOST = "127.0.0.1"
BLAME_S = 10.0
"""How long to wait for a worker's own words once it is known that one ended."""
UNBLOCK_S = 30.0
"""After which a process that still waits for one that ended is ended too."""


@contextmanager
def joined(job: TrainJob) -> Iterator[tuple[Team, torch.device]]:
    """Start the workers of ``job`` if it has any, and work with them.

    Yields:
        The team, and the device of this process.

    Raises:
        DetbenchError: what a worker raised, or ``ProcessLost`` if it was killed.
    """
    if job.processes == 1 and not distributed.asked():
        yield ALONE, devices.resolve(job.device)
        return
    if distributed.asked():  # this is a worker
        store = dist.TCPStore(HOST, int(os.environ["MASTER_PORT"]), job.processes, is_master=False)
        device = distributed.device(devices.resolve(job.device))
        with distributed.joined(device, store) as team:
            yield team, device
        return
    store = dist.TCPStore(HOST, 0, job.processes, is_master=True, wait_for_workers=False)
    os.environ.update(_environment(job, 0, store.port))
    device = distributed.device(devices.resolve(job.device))
    with _workers(job, store.port), distributed.joined(device, store) as team:
        yield team, device


def _environment(job: TrainJob, rank: int, port: int) -> dict[str, str]:
    """What torchrun would set."""
    count = str(job.processes)
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": HOST,
        "MASTER_PORT": str(port),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }


@contextmanager
def _workers(job: TrainJob, port: int) -> Iterator[None]:
    """Run the workers beside what is within, and none after it."""
    started = [_Worker(job, rank, port) for rank in range(1, job.processes)]
    patience = 0.0
    try:
        yield
        patience = UNBLOCK_S
    except ProcessLost as error:
        reason = next((why for one in started if (why := one.reason())), None)
        raise reason or error from error
    finally:
        for one in started:
            one.end(patience)


class _Worker:
    """One of them, and what it said."""

    def __init__(self, job: TrainJob, rank: int, port: int) -> None:
        self.name = f"process {rank + 1} of {job.processes}"
        self._said: dict[str, Any] = {}
        self._ending = threading.Event()
        self._process = subprocess.Popen(
            children.command("detbench.runner.ddp_worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_environment(job, rank, port)},
        )
        assert self._process.stdin is not None
        with suppress(OSError):  # one that dies at once is heard of below
            self._process.stdin.write(job.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):
                self._said = json.loads(line)
        # NCCL may wait for a process that is gone, with nobody to interrupt it.
        if self._process.wait() != 0 and not self._ending.wait(UNBLOCK_S):
            print(f"{self.name} ended and this one still waits for it", file=sys.stderr)
            process.die()

    def reason(self) -> DetbenchError | None:
        """Why it ended early; none if it did not."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(BLAME_S)
        self._ending.set()
        self._listener.join(BLAME_S)
        code = self._process.returncode
        if code in (None, process.DONE, process.LOST):
            return None
        if self._said:
            kind: type[DetbenchError] = getattr(errors, self._said["type"], CellFailed)
            return kind(self._said["message"])
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return ProcessLost(f"{self.name} of the cell {how}")

    def end(self, patience_s: float) -> None:
        """Have it end by itself within so long, or kill it."""
        self._ending.set()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(BLAME_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
