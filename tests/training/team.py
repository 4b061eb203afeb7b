"""One process of several that trains small cells.

Its job has ``cases``: a folder, a detector and settings each, one after the other in the same
team; ``stop``: a rank and the iteration at which its report stops the first case, maybe of another
phase than ``train``; ``fault``: a rank and how it ends at iteration 2, ``kill`` or ``memory``;
``device`` of all of them, by default the CPU.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from detbench.errors import DetbenchError
from detbench.evaluation.run import score, scorer
from detbench.progress import Progress
from detbench.recipe import resolve
from detbench.training import distributed, loop, memory
from detbench.training.distributed import ALONE, Team
from detbench.training.host import Host

SMALL = (
    "data.train=8",
    "data.val=5",
    "data.size=64",
    "training.iterations=4",
    "training.batch=4",
    "training.input.short=64",
    "training.input.long=64",
    "inference.score_threshold=0.0",
    "evaluation.batch=2",
)


class Stop(BaseException):
    pass


def meddler(job: dict[str, Any]) -> Any:
    """A report that does what the job says to this process."""
    rank = distributed.rank()

    wanted, where, phase = [*job.get("stop", (-1, 0)), "train"][:3]

    def meddle(at: Progress) -> None:
        if (rank, at.iteration, at.phase) == (wanted, where, phase):
            raise Stop
        if at.phase != "train":
            return
        if at.iteration == 2 and job.get("fault") == [rank, "kill"]:
            os.kill(os.getpid(), signal.SIGKILL)

    return meddle


def exhaust(job: dict[str, Any]) -> None:
    """Have the third step of the process that the job names find no memory."""
    taken = []
    step = loop._step

    def limited(*arguments: Any) -> Any:
        taken.append(1)
        if len(taken) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(*arguments)

    if job.get("fault") == [distributed.rank(), "memory"]:
        loop._step = limited


def run(job: dict[str, Any], team: Team = ALONE) -> None:
    """Train and evaluate the cases; each leaves a checkpoint, a curve and ``result.json``."""
    loop.READ_EVERY_S = 0.0
    torch.set_num_threads(1)
    exhaust(job)
    device = torch.device(job.get("device", "cpu"))
    if device.type == "cuda":  # exact, and the same kernels each time
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    for folder, detector, *changes in job["cases"]:
        cell = resolve.cell(detector, "smoke", 0, (*SMALL, *changes)).cell
        assert cell is not None
        work = Path(folder)
        host = Host(work, device, meddler(job), team)
        trained = loop.train(cell, work, host, scorer=scorer(cell, host))
        found = score(trained, cell, host)
        if team.first:
            text = json.dumps([found.metrics, found.detections, found.images])
            (work / "result.json").write_text(text)


def main(job: dict[str, Any], environment: dict[str, str], said: Path) -> None:
    """A job in a process of its own, as torchrun would start it; what it says goes to ``said``."""
    os.environ.update(environment)
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    try:
        device = torch.device(job.get("device", "cpu"))
        with distributed.joined(device, backend="gloo") as joined, memory.advised():
            run(job, joined)
    except Stop:
        sys.exit(99)
    except DetbenchError as error:
        sys.exit(1 if error.quiet else f"{type(error).__name__}: {error}")
