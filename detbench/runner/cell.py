"""The process of one cell: ``python -m detbench.runner.cell JOB.json``, or ``-`` for stdin.

By ``-`` the job is the first line of stdin, which must then stay open: when it closes, whoever
started the process is gone, and it ends at once.

It locks the cell's training, looks once more whether the store has the cell, computes it and
stores it. The lock is the kernel's, so it goes when the process does, however it dies; the next
process resumes from the checkpoint. Cells that differ in evaluation alone share a training, its
lock and its weights. Progress goes to stdout as JSON lines; everything else that is printed goes to
stderr.

Exit codes: 0 stored; 1 failed, with the reason stored; 2 the user must mend something; 75 another
process holds the cell; 76 a process that helped was killed, resumable; 143 stopped by SIGTERM,
resumable.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from detbench import __version__
from detbench.errors import (
    CellFailed,
    DetbenchError,
    ProcessLost,
    RecipeError,
    is_worker_death,
    worker_lost,
)
from detbench.recipe.digest import training
from detbench.results.files import Lock, writing
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner.job import COSTS, JOB, CostItem, CostJob, TrainJob
from detbench.runner.log import NOTED, Notes, lossy
from detbench.runner.process import (
    BUSY,
    DONE,
    FAILED,
    LOCK_PATIENCE_S,
    LOST,
    MEND,
    STOPPED,
    Event,
    Measured,
    Report,
    die,
    logged,
    now,
    watch_parent,
)
from detbench.runner.processors import wait_passively

Train = Callable[[TrainJob, Path, Report], Measured]
Cost = Callable[[CostItem, Report], Measured]


class Stopped(BaseException):
    """SIGTERM arrived; raised from the next progress report, where the state is whole."""


class Channel:
    """Progress to whoever started the process, and its wish that we stop.

    What the cell's own code prints would garble the JSON lines, so it is sent to stderr instead.
    """

    def __init__(self, attached: bool) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        self._stop = False
        signal.signal(signal.SIGTERM, self._on_stop)
        # A runner that gets Ctrl-C stops its cells itself, in order.
        signal.signal(signal.SIGINT, signal.SIG_IGN if attached else self._on_stop)

    def report(self, event: Event) -> None:
        """Send one event; raises ``Stopped`` if the process was asked to stop."""
        self.send(event)
        if self._stop:
            raise Stopped

    def send(self, event: Event) -> None:
        try:
            self._out.write(json.dumps(event) + "\n")
        except BrokenPipeError:
            die()

    def error(self, error: DetbenchError, digest: str | None) -> None:
        """Tell what the user must mend; without a digest it concerns the whole job."""
        event = {"phase": "error", "type": type(error).__name__, "message": str(error)}
        self.send({**event, "digest": digest})

    def _on_stop(self, signum: int, frame: object) -> None:
        self._stop = True


def main(argv: list[str], train: Train | None = None, cost: Cost | None = None) -> int:
    """Run the job of ``argv``; returns the exit code.

    Args:
        argv: path of the job's JSON, or ``-``.
        train, cost: what computes; by default ``detbench.runner.compute``'s.
    """
    if argv == ["-"]:
        text = sys.stdin.buffer.readline()
        watch_parent()
    else:
        text = Path(argv[0]).read_bytes()
    job = JOB.validate_json(text)
    wait_passively()
    channel = Channel(attached=argv == ["-"])
    sys.stderr = lossy(2)
    notes = Notes(channel.send)
    for name in NOTED:
        logging.getLogger(name).addHandler(notes)
    print(f"{now()} process {os.getpid()} starts", file=sys.stderr)
    try:
        if isinstance(job, CostJob):
            return _run_costs(job, cost or _compute_cost, channel)
        return _run_training(job, train or _compute_training, channel)
    except Stopped:
        return STOPPED
    except DetbenchError as error:
        channel.error(error, job.digest if isinstance(job, TrainJob) else None)
        return LOST if isinstance(error, ProcessLost) else MEND
    except RuntimeError as error:
        if not is_worker_death(error):
            raise
        channel.error(worker_lost(error), None)
        return LOST


def _compute_training(job: TrainJob, work: Path, report: Report) -> Measured:
    report({"phase": "start"})
    from detbench.runner import compute

    return compute.train_eval(job, work, report)


def _compute_cost(item: CostItem, report: Report) -> Measured:
    from detbench.runner import compute

    return compute.cost(item)


def _run_training(job: TrainJob, train: Train, channel: Channel) -> int:
    store = Store(Path(job.store))
    work = store.work(training(job.cell))
    lock = Lock(work / "lock")
    if not lock.acquire(LOCK_PATIENCE_S):
        return BUSY
    failure = Measurement(
        digest=job.digest, kind="train-eval", metric="cell", value=None, unit="", seed=job.cell.seed
    )
    code = _settle(store, failure, lambda: train(job, work, channel.report), work / "log.txt")
    if code == DONE:
        with writing(work):
            for checkpoint in work.glob("checkpoint*.pt"):  # that before it and damaged ones too
                checkpoint.unlink(missing_ok=True)
    return code


def _run_costs(job: CostJob, cost: Cost, channel: Channel) -> int:
    store = Store(Path(job.store))
    worst = DONE
    for index, item in enumerate(job.items):
        channel.report({"phase": "cost", "iteration": index, "total": len(job.items)})
        lock = Lock(store.work(item.digest) / "lock")
        # Another run's count of it takes seconds.
        if not lock.acquire(60):
            return BUSY
        failure = Measurement(digest=item.digest, kind="cost", metric="cell", value=None, unit="")
        log = store.work(COSTS) / "log.txt"
        try:
            code = _settle(store, failure, partial(cost, item, channel.report), log)
        except RecipeError as error:
            # A mistake in one row's recipe; the others' are counted.
            channel.error(error, item.digest)
            code = MEND
        finally:
            lock.release()
        worst = max(worst, code)
    return worst


def _settle(store: Store, failure: Measurement, compute: Callable[[], Measured], log: Path) -> int:
    """Store a cell's outcome unless it is stored; the caller holds the cell's lock.

    Args:
        failure: the row to complete with a reason if the cell fails.
        compute: gives the rows.
        log: where this process's stderr goes, for the message about a bug.

    Raises:
        DetbenchError: the user must mend something; nothing is stored, so that the cell runs then.
    """
    stored = store.get(failure.digest)
    if stored is not None:
        return DONE if stored.status == "done" else FAILED
    started = now()
    try:
        store.add(*compute())
        return DONE
    except ProcessLost:
        raise
    except CellFailed as error:
        reason = str(error)
    except DetbenchError:
        raise
    except Exception as error:
        if is_worker_death(error):
            raise worker_lost(error) from None
        reason = logged(error, log)
    provenance = {"detbench": __version__, "started": started, "ended": now()}
    reason = " ".join(reason.split())
    store.add([replace(failure, status="failed", reason=reason, provenance=provenance)])
    return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
