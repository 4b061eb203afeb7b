"""What runs on a node of a Ray cluster: a host that starts one cell's process there. No Ray here.

The process is the same as on the driver's machine, and its stdin is held by the host, so that it
ends when the host does. Where the node does not see the driver's results folder, the cell works in
a folder of the node's own, which stays, so that a cell that comes back there goes on; its files
travel back when it has ended.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detbench import __version__
from detbench.recipe.digest import training
from detbench.results.files import private, write_atomic
from detbench.results.merge_work import KEPT
from detbench.results.store import Store
from detbench.runner.job import COSTS, JOB, CostJob, TrainJob
from detbench.runner.launchers.launcher import Inbox
from detbench.runner.launchers.local import CELL_COMMAND, Call, Child

CHECKPOINT = "checkpoint.pt"
"""What travels back with the kept files of a cell's work folder while it is not done."""

Files = dict[str, bytes]
"""Contents by path below the store's root."""


@dataclass(frozen=True)
class Order:
    """What the driver tells a host.

    Attributes:
        key, job: of the cell; the job as JSON, its paths absolute.
        version: of the driver's detbench.
        token: a file below the store's root, by which a node that sees the folder knows it.
        cwd: folder of the driver, the cell's too where the node has it.
        command: of a cell's process; none is the node's own.
    """

    key: str
    job: str
    version: str
    token: str
    cwd: str
    command: Sequence[str] | None = None


class CellHost:
    """Starts the process of one cell, hears it, and gives back what it left."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._job = JOB.validate_json(order.job)
        self._inbox: Inbox = queue.Queue()
        self._child: Child | None = None
        self.shared = (Path(self._job.store) / order.token).exists()
        self._root = Path(self._job.store) if self.shared else _scratch(self._job.store)

    def look(self) -> tuple[bool, str]:
        """Whether the node sees the driver's folder, and why it cannot run the cell, else empty."""
        if self._order.version == __version__:
            return self.shared, ""
        return self.shared, (
            f"node {socket.gethostname()} has detbench {__version__}, and here is "
            f"{self._order.version}: install the same on every node"
        )

    def start(self, files: Files) -> None:
        """Start the process.

        Args:
            files: what the driver has of the cell's work folder, if the node does not see it.
        """
        job = self._job.model_copy(update={"store": str(self._root)})
        if not self.shared:
            self._receive(files)
        cwd = Path(self._order.cwd)
        command = self._order.command or CELL_COMMAND
        here = cwd if cwd.is_dir() else None
        how = Call(command, cwd=here)
        self._child = Child(self._order.key, job, self._root / work(job), self._inbox, how)

    def hear(self, patience_s: float) -> tuple[list[dict[str, Any]], int | None]:
        """What the process has sent, and its exit code when it has ended."""
        assert self._child is not None
        events: list[dict[str, Any]] = []
        end = time.monotonic() + patience_s
        while True:
            try:
                heard = self._inbox.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return events, None
            if heard.event is None:
                self._child.close()
                return events, self._child.code
            events.append(heard.event)
            end = min(end, time.monotonic() + 0.1)

    def stop(self, how: int) -> None:
        """Send the process a signal, see ``Started``."""
        if self._child is not None:
            self._child.stop(how)  # type: ignore[arg-type]

    def files(self) -> Files:
        """What the cell left in a folder that the driver does not see."""
        return collect(Store(self._root), self._job)

    def forget(self) -> None:
        """Delete what a finished cell left there; one that is not finished can go on."""
        paths = measured(Store(self._root), self._job)
        if self.shared or not paths:
            return
        shutil.rmtree(self._root / work(self._job), ignore_errors=True)
        for path in paths:
            path.unlink(missing_ok=True)

    def _receive(self, files: Files) -> None:
        folder = self._root / work(self._job)
        if (folder / CHECKPOINT).exists():
            return  # what this node did itself comes after it
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in files.items():
            write_atomic(self._root / name, content)


def work(job: TrainJob | CostJob) -> str:
    """The cell's work folder below the store's root."""
    return f"work/{COSTS if isinstance(job, CostJob) else training(job.cell)}"


def collect(store: Store, job: TrainJob | CostJob) -> Files:
    """A cell's measurements, detections and what is kept of its work folder."""
    folder = store.root / work(job)
    paths = measured(store, job)
    names = KEPT if paths else (*KEPT, CHECKPOINT)
    paths += [folder / name for name in names if (folder / name).is_file()]
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths}


def measured(store: Store, job: TrainJob | CostJob) -> list[Path]:
    """Files of a cell's measurements and detections."""
    digests = [job.digest] if isinstance(job, TrainJob) else [one.digest for one in job.items]
    return [path for digest in digests for path in store.cells.glob(f"*-{digest}.*")]


def _scratch(store: str) -> Path:
    """The node's own folder for one results folder of a driver."""
    name = hashlib.sha256(store.encode()).hexdigest()[:16]
    return private_temporary() / name


def private_temporary() -> Path:
    """This user's own folder below the temporary directory.

    Raises:
        StoreError: somebody else made it.
    """
    return private(Path(tempfile.gettempdir()) / f"detbench-{os.getuid()}")
