"""Compute what a plan lacks: one process per cell, several at once, whatever dies when.

Nothing here decides what a number is. The store says what is missing, each cell's process locks
and stores its own, and a cell that another runner holds is waited for and taken from the store.
"""

from __future__ import annotations

import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from detbench import errors
from detbench.errors import DetbenchError, StoreError
from detbench.recipe.experiment import Cell
from detbench.results import analyses
from detbench.results.files import Lock
from detbench.results.store import Store
from detbench.runner import process as exits
from detbench.runner import stall
from detbench.runner.display import Display, Estimate, State, duration
from detbench.runner.job import COSTS, CostCell, CostItem, CostJob, TrainJob
from detbench.runner.launchers import opened
from detbench.runner.launchers.launcher import Heard, Launcher, Started
from detbench.runner.options import Options
from detbench.runner.plan import Task, standing
from detbench.runner.signals import terminable
from detbench.runner.stall import Watch
from detbench.streams import outlast

POLL_S = 0.2
GRACE_S = 20.0
"""How long a cell may take to save its checkpoint when it is asked to stop."""
DEATHS = 3
"""So many deaths without getting further than before, and a cell is given up for this run."""

# Wrong for every cell alike, so that the first one ends the run.
FOR_ALL = ("DataError", "DeviceError", "StoreError")


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        computed: cells this run finished.
        failed: task -> reason, one line each; also of earlier runs when not retried.
        to_mend: messages about mistakes of the user's that ended cells, each once.
    """

    computed: list[Task] = field(default_factory=list)
    failed: dict[Task, str] = field(default_factory=dict)
    to_mend: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        if self.to_mend:
            return DetbenchError.exit_code
        return 1 if self.failed else 0


def run(
    tasks: Sequence[Task], store: Store, options: Options, show: Callable[[], Display]
) -> Outcome:
    """Compute those of ``tasks`` that the store lacks; a second call has nothing to do.

    Args:
        show: opens the display; only called if there is something to say.

    Raises:
        DetbenchError: something is wrong for every cell: data, device, or the store.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once every cell has saved and stopped.
    """
    outlast()
    if options.fresh:
        _forget(store, tasks, work=True)
    before = standing(store, tasks)
    if options.retry_failed:
        _forget(store, before.failed, work=False)
        before = standing(store, tasks)
    outcome = Outcome()
    for task in before.failed:
        stored = store.get(task.digest)
        outcome.failed[task] = stored.reason if stored else ""
    if not before.failed and not before.missing:
        return outcome
    display = show()
    if before.failed:
        display.say(
            f"{_cells(len(before.failed))} failed in an earlier run and "
            f"{'is' if len(before.failed) == 1 else 'are'} left out: --retry-failed tries again"
        )
    if before.missing:
        with opened(options, store.root) as launcher, terminable() as stopped:
            if launcher.notice and any(task.kind != "cost" for task in before.missing):
                display.say(launcher.notice)
            going = _Run(store, options, launcher, display, outcome)
            going.take(before.missing, len(tasks))
            going.loop(stopped)
    display.close()
    return outcome


def _forget(store: Store, tasks: Sequence[Task], work: bool) -> None:
    for task in tasks:
        lock = Lock(store.work(task.work) / "lock")
        if not lock.acquire(exits.LOCK_PATIENCE_S):
            raise StoreError(
                f"'{task.label}' is being computed by another run: wait for it or stop it first"
            )
        if work:
            analyses.discard(store.root, {task.digest})
        store.discard(task.digest, task.work if work else None)
        lock.release()


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"


@dataclass
class _Running:
    """A child and what we know of it."""

    child: Started
    tasks: tuple[Task, ...]
    started: float
    watch: Watch = field(default_factory=Watch)
    errors: dict[str | None, dict[str, Any]] = field(default_factory=dict)
    """What the user must mend, by the digest of the cell it ended; by none for all of them."""

    @property
    def reached(self) -> tuple[str, int]:
        """How far it got; ``train`` comes after ``eval`` in no alphabet, hence the rank."""
        event = self.watch.event
        phase = event.get("phase", "")
        rank = {"train": "1", "eval": "2"}.get(phase, "0")
        return rank, int(event.get("iteration", 0))


class _Run:
    """One run's moving parts, of which ``outcome`` is what is left."""

    def __init__(
        self,
        store: Store,
        options: Options,
        launcher: Launcher,
        display: Display,
        outcome: Outcome,
    ) -> None:
        self.store, self.options, self.display, self.outcome = store, options, display, outcome
        self.launcher = launcher
        self.waiting: deque[tuple[Task, ...]] = deque()
        self.running: dict[str, _Running] = {}
        self.inbox: queue.Queue[Heard] = queue.Queue()
        self.total = self.finished = 0
        self.estimate = Estimate(launcher.places)
        self.deaths: dict[str, tuple[int, tuple[str, int]]] = {}
        self.announced: set[str] = set()

    def take(self, missing: Sequence[Task], total: int) -> None:
        """What is to be computed, of so many tasks in all; costs go together, and first."""
        costs = tuple(task for task in missing if task.kind == "cost")
        self.waiting.extend([costs] if costs else [])
        self.waiting.extend((task,) for task in missing if task.kind != "cost")
        self.total, self.finished = total, total - len(missing)

    def loop(self, stopped: list[int]) -> None:
        """Until nothing waits or runs, or ``stopped`` holds a signal; no child is left behind."""
        try:
            while self.waiting or self.running:
                if stopped:
                    raise KeyboardInterrupt
                self._start_some()
                self._listen()
                self._watch()
        except KeyboardInterrupt:
            self._stop()
            self.display.close()
            self.display.say(
                f"stopped with {self.finished} of {_cells(self.total)} finished; "
                "the same command goes on from here"
            )
            raise
        except DetbenchError:
            self._stop()
            raise
        finally:
            for running in self.running.values():
                running.child.stop(signal.SIGKILL)
                running.child.close()
            self.display.close()

    def _start_some(self) -> None:
        """Start waiting tasks on free places, passing over those that another runner holds."""
        for _ in range(len(self.waiting)):
            if len(self.running) >= self.launcher.places:
                return
            tasks = self.waiting.popleft()
            missing = standing(self.store, tasks).missing
            for task in tasks:
                if task not in missing:
                    self._settled(task, "taken from the store")
            if not missing:
                continue
            if self._held(missing):
                self.waiting.append(missing)
            else:
                self._start(missing)

    def _held(self, tasks: tuple[Task, ...]) -> bool:
        """Whether another process has the lock of the (first) cell's training."""
        if any(tasks[0].work == one.tasks[0].work for one in self.running.values()):
            return True
        lock = Lock(self.store.work(tasks[0].work) / "lock")
        if lock.acquire():
            lock.release()
            return False
        if tasks[0].digest not in self.announced:
            self.announced.add(tasks[0].digest)
            self.display.say(f"{tasks[0].label}: another run is computing it; waiting for it")
        return True

    def _start(self, tasks: tuple[Task, ...]) -> None:
        job = self._job(tasks)
        key = COSTS if isinstance(job, CostJob) else tasks[0].digest
        folder = self.store.work(COSTS if key == COSTS else tasks[0].work)
        child = self.launcher.start(key, job, folder, self.inbox)
        self.running[key] = _Running(child, tasks, time.monotonic())

    def _job(self, tasks: tuple[Task, ...]) -> TrainJob | CostJob:
        task = tasks[0]
        # As given: the child runs in our folder, and messages that are stored name no others.
        root = str(self.store.root)
        if isinstance(task.cell, Cell):
            return TrainJob(
                digest=task.digest,
                label=task.label,
                cell=task.cell,
                store=root,
                data_root=str(self.options.data_root),
                device=self.options.device,
                threads=self.launcher.threads,
                processes=self.options.processes,
            )
        items = (
            CostItem(digest=task.digest, label=task.label, cell=task.cell)
            for task in tasks
            if isinstance(task.cell, CostCell)
        )
        return CostJob(items=tuple(items), store=root)

    def _listen(self) -> None:
        """Hear one event, or none within a moment."""
        try:
            heard = self.inbox.get(timeout=POLL_S)
        except queue.Empty:
            return
        running = self.running[heard.key]
        if heard.event is None:
            self._ended(self.running.pop(heard.key))
        elif heard.event.get("phase") == "error":
            running.errors[heard.event.get("digest")] = heard.event
        elif heard.event.get("phase") == "note":
            self.display.say(f"{running.tasks[0].label}: {heard.event['message']}")
        else:
            running.watch.heard(heard.event)
            label = "GFLOPs" if heard.key == COSTS else running.tasks[0].label
            self.display.progress(heard.key, label, heard.event, self._state())

    def _watch(self) -> None:
        """Name cells that make no progress, and end those that make none for too long."""
        for running in self.running.values():
            if said := stall.look(running.watch, running.child, self.options.cell_timeout):
                self.display.say(f"{running.tasks[0].label}: {said}")

    def _state(self) -> State:
        now = time.monotonic()
        running = [
            (now - one.started, one.watch.event.get("eta_s"))
            for key, one in self.running.items()
            if key != COSTS
        ]
        return State(self.finished, self.total, self.estimate.left(running, len(self.waiting)))

    def _ended(self, running: _Running) -> None:
        """Decide by the exit code; what is true of a finished cell is read from the store."""
        code = running.child.code
        running.child.close()
        assert code is not None
        if running.watch.over:
            self._timed_out(running)
        elif code == exits.BUSY:
            self.waiting.append(running.tasks)
        elif code == exits.MEND and running.errors:
            self._to_mend(running)
        elif code in (exits.DONE, exits.FAILED):
            self._stored(running)
        elif code < 0 or code in (exits.STOPPED, exits.LOST):
            self._died(running, code)
        else:
            self._give_up(running.tasks, f"ended with code {code}: see {running.child.log}")

    def _stored(self, running: _Running) -> None:
        took = time.monotonic() - running.started
        key = running.child.key
        if key != COSTS:
            self.estimate.spent.append(took)
        for task in running.tasks:
            if self.store.status(task.digest) == "missing":
                self._give_up((task,), f"ended without a result: see {running.child.log}")
            else:
                self.outcome.computed.append(task)
                self._settled(task, f"done in {duration(took)}")
        if key == COSTS:
            self.display.ended(
                key, f"GFLOPs and parameters: done in {duration(took)}", self._state()
            )

    def _timed_out(self, running: _Running) -> None:
        """A cell that was ended has failed; of several, the others are started again."""
        why = running.watch.over
        missing = standing(self.store, running.tasks).missing
        for task in running.tasks:
            if task not in missing:
                self.outcome.computed.append(task)
                self._settled(task, "done")
        for task in missing[:1]:
            if stall.fail(self.store, task, why):
                self._settled(task, why)
            else:
                self._give_up((task,), why)
        self.waiting.extend([missing[1:]] if missing[1:] else [])

    def _settled(self, task: Task, how: str) -> None:
        """A cell is in the store, done or failed."""
        self.finished += 1
        stored = self.store.get(task.digest)
        if stored is not None and stored.status == "failed":
            self.outcome.failed[task] = stored.reason
            how = f"failed: {stored.reason}"
        elif task.kind == "cost":
            return
        self.display.ended(task.digest, f"{task.label}: {how}", self._state())

    def _to_mend(self, running: _Running) -> None:
        """A mistake of the user's: nothing is stored, so that the cell runs once it is mended."""
        for error in running.errors.values():
            if error["type"] in FOR_ALL:
                raise getattr(errors, error["type"])(str(error["message"]))
        for task in running.tasks:
            error = running.errors.get(task.digest) or running.errors.get(None) or {}
            if not error:
                self.outcome.computed.append(task)
                self._settled(task, "done")
                continue
            message = str(error["message"])
            if message not in self.outcome.to_mend:
                self.outcome.to_mend.append(message)
            self.display.ended(running.child.key, f"{task.label}: {message}", self._state())

    def _died(self, running: _Running, code: int) -> None:
        """Start a killed cell again, from its checkpoint, unless it never gets further."""
        key = running.child.key
        count, best = self.deaths.get(key, (0, ("", -1)))
        count = 1 if running.reached > best else count + 1
        self.deaths[key] = (count, max(best, running.reached))
        how = exits.cause(code, running.errors.values())
        if count < DEATHS:
            self.display.say(f"{running.tasks[0].label}: {how}; it is started again")
            self.waiting.appendleft(running.tasks)
        else:
            self._give_up(
                running.tasks,
                f"{how}, {count} times (out of memory? then try fewer --jobs or a "
                "smaller training.batch); the same command goes on from its checkpoint",
            )

    def _give_up(self, tasks: Sequence[Task], why: str) -> None:
        for task in tasks:
            self.outcome.failed[task] = why
            self.display.ended(task.digest, f"{task.label}: {why}", self._state())

    def _stop(self) -> None:
        """Ask every cell to save and end; a second Ctrl-C, or patience at its end, kills them."""
        if not self.running:
            return
        self.display.say("stopping: the cells save their state")
        try:
            for running in self.running.values():
                running.child.stop(signal.SIGTERM)
            end = time.monotonic() + GRACE_S
            for running in self.running.values():
                left = end - time.monotonic()
                if left > 0:
                    running.child.wait(left)
        except KeyboardInterrupt:
            return
