"""A DDP worker of a cell (``runner.ddp``): ``python -m detbench.runner.ddp_worker``.

It reads the job from its stdin, as a cell does, and writes what went wrong to its stdout as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from detbench.errors import DetbenchError, ProcessLost
from detbench.recipe.digest import training
from detbench.results.store import Store
from detbench.runner import compute, process
from detbench.runner.job import TrainJob


def main() -> int:
    """Be a worker; returns the exit code."""
    job = TrainJob.model_validate_json(sys.stdin.buffer.readline())
    process.watch_parent()
    # The first process hears of a stop, and tells.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    work = Store(Path(job.store)).work(training(job.cell))
    try:
        compute.train_eval(job, work, lambda event: None)
    except SystemExit:
        return process.DONE  # stopped, with the others
    except ProcessLost:
        return process.LOST  # another one's end
    except Exception as error:
        known = isinstance(error, DetbenchError)
        told = str(error) if known else process.logged(error, work / "log.txt")
        kind = type(error).__name__ if known else "CellFailed"
        out.write(json.dumps({"type": kind, "message": told}) + "\n")
        return process.FAILED
    return process.DONE


if __name__ == "__main__":
    sys.exit(main())
