"""Cells that make no progress, as stub cells: real processes under the real runner.

Seen: a cell whose process hung was waited for without a word, for ever. Right: it is named, with
how long and where its log is; ``--cell-timeout`` ends it as failed, and ``--retry-failed`` goes on
with it.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import stub_run

from detbench.results.files import Lock
from detbench.results.store import Store
from detbench.runner import stall
from detbench.runner.display import Plain
from detbench.runner.run import Outcome, run

pytestmark = pytest.mark.usefixtures("modules_forked")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger"
    path.touch()
    monkeypatch.setenv("STUB_LEDGER", str(path))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def go(store: Store, count: int, screen: io.StringIO, **more) -> Outcome:
    return run(stub_run.tasks(count), store, stub_run.options(**more), lambda: Plain(screen))


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_stalled_cell_is_ended_as_failed_and_retried(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "stuck"}))
    screen = io.StringIO()
    outcome = go(store, 2, screen, jobs=2, cell_timeout=0.1)
    [(task, reason)] = outcome.failed.items()
    assert (task.label, outcome.exit_code) == ("row 0", 1)
    log = store.work(task.work) / "log.txt"
    said = rf"ended by --cell-timeout, no progress for 0:0\d, since train 10/20.*: see {log}"
    assert re.fullmatch(said, reason)
    assert f"row 0: failed: {reason}" in screen.getvalue()
    stored = store.get(task.digest)
    assert stored is not None
    assert (stored.status, stored.reason) == ("failed", reason)
    assert "starts" in log.read_text()
    starts = [line.split() for line in ledger.read_text().splitlines() if line.startswith("start")]
    assert not any(alive(int(words[2])) for words in starts if words[1] == task.digest)
    # The other cell was not touched, and a run without being asked does not try again.
    assert {one.label for one in outcome.computed} == {"FCOS", "row 1"}
    assert go(store, 2, io.StringIO()).failed == outcome.failed

    monkeypatch.delenv("STUB_FAIL")
    retried = go(store, 2, io.StringIO(), retry_failed=True)
    assert ([one.label for one in retried.computed], retried.exit_code) == (["row 0"], 0)
    [resumed] = [line for line in ledger.read_text().splitlines() if line.startswith("resume")]
    assert resumed.split() == ["resume", task.digest, "9"]


def test_without_a_timeout_it_is_named_and_waited_for(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "QUIET_S", 1.0)
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "stuck"}))
    screen = io.StringIO()

    def free() -> None:
        """End the cell's wait once it was named twice, as its own process would go on."""
        end = time.monotonic() + 40
        while screen.getvalue().count("since train 10/20") < 2 and time.monotonic() < end:
            time.sleep(0.05)
        monkeypatch.delenv("STUB_FAIL")
        [words] = [
            line.split()
            for line in ledger.read_text().splitlines()
            if line.startswith(f"start {stub_run.tasks(1)[1].digest}")
        ]
        os.kill(int(words[2]), signal.SIGKILL)

    helper = threading.Thread(target=free)
    helper.start()
    outcome = go(store, 1, screen)
    helper.join()
    log = store.work(stub_run.tasks(1)[1].work) / "log.txt"
    said = re.findall(
        r"row 0: no progress for 0:0(\d), since train 10/20.*: see (.*)", screen.getvalue()
    )
    assert len(said) >= 2
    assert int(said[0][0]) < int(said[1][0])
    assert said[0][1] == f"{log} (--cell-timeout MINUTES ends such a cell as failed)"
    assert "killed by SIGKILL; it is started again" in screen.getvalue()
    assert (outcome.failed, outcome.exit_code) == ({}, 0)


def test_a_cell_that_goes_on_is_not_named(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "QUIET_S", 4.0)
    monkeypatch.setenv("STUB_STEP_S", "0.4")  # 8 seconds, twice the time
    screen = io.StringIO()
    assert go(store, 1, screen, cell_timeout=0.08).exit_code == 0
    assert "no progress" not in screen.getvalue()


class Child:
    """A cell that another machine runs."""

    def __init__(self) -> None:
        self.begun, self.log, self.asked = False, Path("log.txt"), []

    def stop(self, how: signal.Signals) -> None:
        self.asked.append(how)


def test_waiting_for_room_does_not_count_and_a_deaf_machine_is_asked_again() -> None:
    watch, child = stall.Watch(since=time.monotonic() - 3600), Child()
    assert stall.look(watch, child, 1.0) == ""
    assert watch.quiet_s < 60
    child.begun = True
    watch.since -= 61
    assert stall.look(watch, child, 1.0) == ""
    assert child.asked == [signal.SIGKILL]
    assert (
        watch.over
        == "ended by --cell-timeout, no progress for 1:01, since it was started: see log.txt"
    )
    stall.look(watch, child, 1.0)
    assert len(child.asked) == 1
    watch.since -= stall.GRACE_S
    stall.look(watch, child, 1.0)
    assert len(child.asked) == 2


def test_a_cell_that_another_run_took_meanwhile_is_not_failed(store: Store) -> None:
    task = stub_run.tasks(1)[1]
    lock = Lock(store.work(task.work) / "lock")
    assert lock.acquire()
    assert not stall.fail(store, task, "slow")
    lock.release()
    assert store.status(task.digest) == "missing"
    assert stall.fail(store, task, "slow")
    assert store.status(task.digest) == "failed"


def test_a_validation_is_progress_but_says_not_how_far_a_cell_is() -> None:
    watch = stall.Watch()
    watch.heard({"phase": "train", "iteration": 5, "eta_s": 9.0})
    watch.since -= 100
    watch.heard({"phase": "validate", "iteration": 1})
    assert watch.quiet_s < 50
    assert watch.event == {"phase": "train", "iteration": 5, "eta_s": 9.0}
