"""What a run does, on stub cells: each is a real process under the real runner and store."""

import io
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import stub_cell
import stub_run

from detbench.errors import DataError, StoreError
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results import analyses
from detbench.results.files import Lock, write_atomic
from detbench.results.store import Store
from detbench.runner import run as runner
from detbench.runner.display import Plain, State
from detbench.runner.plan import Task
from detbench.runner.run import Outcome, run

SCRIPT = str(Path(__file__).with_name("stub_run.py"))
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


class Screen(io.StringIO):
    """Collects what is said."""


def _run(store: Store, count: int, screen: Screen | None = None, **more) -> Outcome:
    screen = screen or Screen()
    return run(stub_run.tasks(count), store, stub_run.options(**more), lambda: Plain(screen))


def test_what_a_launcher_says_of_threads_is_shown(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detbench.runner.launchers import local

    monkeypatch.setattr(local.processors, "fitting", lambda processes: (1, "threads: said"))
    free = replace(stub_run.options(), threads=None)
    screen = Screen()
    run(stub_run.tasks(1), store, free, lambda: Plain(screen))
    assert screen.getvalue().splitlines()[0] == "threads: said"
    screen = Screen()
    run(stub_run.tasks(1), store, free, lambda: Plain(screen))
    assert screen.getvalue() == ""  # nothing runs, nothing is said


def _counts(ledger: Path, word: str) -> Counter[str]:
    lines = (line.split() for line in ledger.read_text().splitlines())
    return Counter(line[1] for line in lines if line[0] == word)


def _content(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.cells.iterdir()}


def _digest(count: int, seed: int) -> str:
    return stub_run.tasks(count)[1 + seed].digest


def _work(count: int, seed: int) -> str:
    return stub_run.tasks(count)[1 + seed].work


def test_everything_is_computed_once_and_the_second_call_does_nothing(
    store: Store, ledger: Path
) -> None:
    outcome = _run(store, 3, jobs=2)
    assert (len(outcome.computed), outcome.failed, outcome.exit_code) == (4, {}, 0)
    assert set(_counts(ledger, "finish").values()) == {1}
    assert store.detections(_digest(3, 0))
    assert not list(store.root.glob("work/*/checkpoint.pt"))
    before = _content(store)

    def refuse() -> Plain:
        raise AssertionError("there is nothing to show")

    outcome = run(stub_run.tasks(3), store, stub_run.options(), refuse)
    assert outcome.computed == []
    assert _content(store) == before


def test_a_stub_reports_what_a_cell_does() -> None:
    from detbench.progress import Progress
    from detbench.runner import compute

    real = compute._event(Progress("train", 1, 20, 1.0, 1.0, 0))
    assert {key: type(value) for key, value in stub_cell._event(1).items()} == {
        key: type(value) for key, value in real.items()
    }


def test_only_what_is_missing_is_computed(store: Store, ledger: Path) -> None:
    _run(store, 1)
    _run(store, 2)
    assert set(_counts(ledger, "start").values()) == {1}
    assert len(_counts(ledger, "start")) == 3


def test_cells_that_differ_in_evaluation_alone_share_a_training(store: Store, ledger: Path) -> None:
    *_, task = stub_run.tasks(1)
    assert isinstance(task.cell, Cell)
    inference = task.cell.detector.inference.model_copy(update={"nms": 0.123})
    detector = task.cell.detector.model_copy(update={"inference": inference})
    cell = task.cell.model_copy(update={"detector": detector})
    other = Task(digest(cell), "train-eval", "other", cell)
    assert other.work == task.work != _work(2, 1)
    outcome = run([task, other], store, stub_run.options(jobs=2), lambda: Plain(Screen()))
    assert [one.label for one in outcome.computed] == ["row 0", "other"]
    assert {store.status(one.digest) for one in (task, other)} == {"done"}
    assert [path.name for path in store.root.glob("work/*")] == [task.work]
    said = ledger.read_text().split()
    # One after the other, in their one folder.
    assert said.index("finish") < said.index(other.digest)


def test_a_damaged_file_is_computed_again_and_equals_the_first(store: Store, ledger: Path) -> None:
    _run(store, 1)
    before = _content(store)
    path = store.cells / f"train-eval-{_digest(1, 0)}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    outcome = _run(Store(store.root), 1)
    assert [task.label for task in outcome.computed] == ["row 0"]
    assert _content(store) == before


REASONS = {
    "nan": r"the loss is NaN at iteration 10",
    "bug": r"TypeError: unexpected thing \(the traceback is in .*log.txt\)",
    "memory": r"out of memory: try",
}


def test_failed_cells_say_why_the_others_go_on_and_they_are_retried_when_asked(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps(dict(enumerate(REASONS))))
    screen = Screen()
    outcome = _run(store, 4, screen, jobs=2)
    assert outcome.exit_code == 1
    said = {task.label: reason for task, reason in outcome.failed.items()}
    for seed, reason in enumerate(REASONS.values()):
        assert re.match(reason, said[f"row {seed}"])
        assert f"row {seed}: failed: {said[f'row {seed}']}" in screen.getvalue()
        stored = store.get(_digest(4, seed))
        assert stored is not None
        assert (stored.status, stored.reason) == ("failed", said[f"row {seed}"])
    assert store.status(_digest(4, 3)) == "done"
    assert "in _misbehave" in (store.work(_work(4, 1)) / "log.txt").read_text()

    screen = Screen()
    again = _run(store, 4, screen)
    assert again.exit_code == 1
    assert again.failed == outcome.failed
    assert "3 cells failed in an earlier run and are left out: --retry-failed" in screen.getvalue()
    assert _counts(ledger, "start")[_digest(4, 0)] == 1

    monkeypatch.delenv("STUB_FAIL")
    retried = _run(store, 4, retry_failed=True, jobs=2)
    assert retried.exit_code == 0
    assert {task.label for task in retried.computed} == {"row 0", "row 1", "row 2"}
    assert _counts(ledger, "start")[_digest(4, 3)] == 1


def test_a_mistake_in_the_data_ends_the_run_and_stores_no_failure(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "data"}))
    with pytest.raises(DataError, match=r"^annotation file x\.json is truncated"):
        _run(store, 3)
    assert store.status(_digest(3, 0)) == "missing"
    assert len(_counts(ledger, "start")) == 2  # the cost and the first cell


def test_a_mistake_in_one_row_leaves_the_others_and_is_to_be_mended(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "recipe", "1": "recipe"}))
    outcome = _run(store, 3)
    assert outcome.to_mend == ["target 'a:B' cannot be imported"]
    assert outcome.exit_code == 2
    assert store.status(_digest(3, 2)) == "done"
    assert store.status(_digest(3, 0)) == "missing"


def test_a_mistake_in_one_count_leaves_the_others(store: Store, ledger: Path) -> None:
    [good] = stub_run.tasks(0)
    cell = good.cell.model_copy(update={"input": (1, 1)})
    wrong = Task(digest(cell), "cost", "wrong", cell)
    screen = Screen()
    outcome = run([wrong, good], store, stub_run.options(), lambda: Plain(screen))
    assert outcome.exit_code == 2
    assert outcome.to_mend == ["target 'a:B' cannot be imported"]
    assert (store.status(good.digest), store.status(wrong.digest)) == ("done", "missing")
    assert "wrong: target 'a:B' cannot be imported" in screen.getvalue()
    assert "FCOS: target" not in screen.getvalue()


def test_a_cell_that_always_dies_is_given_up_for_now(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "killed"}))
    outcome = _run(store, 2)
    [said] = outcome.failed.values()
    assert said.startswith("killed by SIGKILL, 3 times (out of memory?")
    assert outcome.exit_code == 1
    assert store.status(_digest(2, 0)) == "missing"
    assert store.status(_digest(2, 1)) == "done"
    assert _counts(ledger, "resume")[_digest(2, 0)] == 2


def test_a_cell_that_lost_a_helper_goes_on_from_its_checkpoint(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "lost"}))
    screen = Screen()
    outcome = _run(store, 2, screen)
    assert "row 0: a process that loads data died (it was killed); it is started" in (
        screen.getvalue()
    )
    [said] = outcome.failed.values()
    assert said.startswith("a process that loads data died (it was killed), 3 times (out of memory")
    assert store.status(_digest(2, 0)) == "missing"
    assert store.status(_digest(2, 1)) == "done"
    monkeypatch.delenv("STUB_FAIL")
    assert _run(store, 2).exit_code == 0
    assert _counts(ledger, "resume")[_digest(2, 0)] == 3


def test_a_lost_loader_is_lost_wherever_it_is_heard_of(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch tells of it from a signal handler: also where nothing of ours waits for it."""
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "loader"}))
    [said] = _run(store, 1).failed.values()
    assert said.startswith("a process that loads data died (DataLoader worker (pid 7) is killed by")
    assert store.status(_digest(1, 0)) == "missing"


def test_a_cell_that_ends_oddly_is_named_with_its_log(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "exit"}))
    [said] = _run(store, 1).failed.values()
    assert said.startswith("ended with code 42: see ")


def test_what_a_cell_prints_goes_to_its_log(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "print"}))
    assert _run(store, 1).exit_code == 0
    log = (store.work(_work(1, 0)) / "log.txt").read_text()
    assert "this is not JSON" in log
    assert "nor is this" in log


def test_fresh_computes_everything_again(store: Store, ledger: Path) -> None:
    _run(store, 2)
    before = _content(store)
    facts = {"kind": "curves", "subject": _digest(2, 0)}
    for name, subject in (("gone", _digest(2, 0)), ("kept", "0" * 64)):
        path = store.root / analyses.FOLDER / f"curves-{analyses.key({'of': name})}.parquet"
        content = analyses.to_bytes({"image": np.array([1])}, facts | {"subject": subject})
        write_atomic(path, content)
    outcome = _run(store, 2, fresh=True, jobs=2)
    assert len(outcome.computed) == 3
    # What was measured of weights that are gone says nothing of the new ones.
    assert list((store.root / analyses.FOLDER).iterdir()) == [path]
    assert set(_counts(ledger, "finish").values()) == {2}
    assert _content(store) == before


def test_fresh_does_not_pull_a_cell_from_under_another_run(store: Store, ledger: Path) -> None:
    _run(store, 1)
    # Locks of one process exclude each other too when they are taken apart.
    lock = Lock(store.work(_work(1, 0)) / "lock")
    assert lock.acquire()
    with pytest.raises(StoreError, match="'row 0' is being computed by another run"):
        _run(store, 1, fresh=True)
    lock.release()
    assert store.status(_digest(1, 0)) == "done"


def test_an_unwritable_store_is_one_line(tmp_path: Path, ledger: Path) -> None:
    (tmp_path / "results").write_text("a file is in the way")
    with pytest.raises(StoreError, match="results is a file, not a folder of results"):
        _run(Store(tmp_path / "results"), 1)


def _start(store: Store, count: int, jobs: int = 1) -> "subprocess.Popen[str]":
    command = [sys.executable, SCRIPT, str(store.root), str(count), str(jobs)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _await(ledger: Path, word: str, count: int = 1, patience_s: float = 20) -> None:
    end = time.monotonic() + patience_s
    while sum(_counts(ledger, word).values()) < count:
        assert time.monotonic() < end, ledger.read_text()
        time.sleep(0.01)


def _alive(ledger: Path) -> list[int]:
    """Processes of stub cells that run."""
    found = []
    for line in ledger.read_text().splitlines():
        words = line.split()
        if words[0] == "start":
            try:
                state = Path(f"/proc/{words[2]}/stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                continue
            if state != "Z":
                found.append(int(words[2]))
    return found


def test_two_runs_share_the_work_and_compute_nothing_twice(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_STEP_S", "0.01")
    both = [_start(store, 4), _start(store, 4)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert set(_counts(ledger, "finish").values()) == {1}
    assert len(_counts(ledger, "finish")) == 5
    assert all(store.status(task.digest) == "done" for task in stub_run.tasks(4))


def test_a_cell_of_another_run_is_waited_for(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_STEP_S", "0.1")
    first = _start(store, 1)
    _await(ledger, "start", 2)
    screen = Screen()
    outcome = _run(store, 1, screen)
    assert outcome.computed == []
    assert outcome.exit_code == 0
    assert "row 0: another run is computing it" in screen.getvalue()
    assert "row 0: taken from the store" in screen.getvalue()
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_a_stopped_run_saves_says_how_to_go_on_and_resumes(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_STEP_S", "0.1")
    # The first cell must not end before the second starts, which takes seconds on a busy machine.
    monkeypatch.setenv("STUB_STEPS", "200")
    process = _start(store, 2, jobs=2)
    _await(ledger, "start", 3)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped with 1 of 3 cells finished; the same command goes on" in said
    assert "Traceback" not in said
    assert _alive(ledger) == []
    assert store.status(_digest(2, 0)) == "missing"
    monkeypatch.setenv("STUB_STEP_S", "0")
    assert _run(store, 2).exit_code == 0
    assert len(_counts(ledger, "resume")) == 2


def test_closing_the_terminal_saves_too(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is printed to it afterwards."""
    monkeypatch.setenv("STUB_STEP_S", "0.1")
    monkeypatch.setenv("STUB_STEPS", "200")
    process, terminal = pty.fork()
    if not process:
        os.execv(sys.executable, [sys.executable, SCRIPT, str(store.root), "2", "2"])
    _await(ledger, "start", 3)
    time.sleep(0.3)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert _alive(ledger) == []
    monkeypatch.setenv("STUB_STEP_S", "0")
    assert _run(store, 2).exit_code == 0
    assert len(_counts(ledger, "resume")) == 2


def test_cells_do_not_outlive_a_killed_runner(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_STEP_S", "5")
    process = _start(store, 2, jobs=2)
    _await(ledger, "start", 3)
    process.kill()
    process.communicate()
    end = time.monotonic() + 5
    while _alive(ledger) and time.monotonic() < end:
        time.sleep(0.02)
    assert _alive(ledger) == []


def test_twenty_kills_at_random_moments_change_nothing(
    store: Store, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of the runner and of cells; the end equals an undisturbed run, bit for bit."""
    count = 4
    undisturbed = Store(tmp_path / "undisturbed")
    _run(undisturbed, count, jobs=2)
    ledger.write_text("")
    monkeypatch.setenv("STUB_STEP_S", "0.02")
    chance = random.Random(7)
    kills = 0
    while kills < 20:
        known = ledger.read_text()
        process = _start(store, count, jobs=2)
        while ledger.read_text() == known and process.poll() is None:
            time.sleep(0.01)  # on a busy machine a process takes seconds to start
        end = time.monotonic() + chance.uniform(0.0, 0.8)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(chance.uniform(0, 0.2))
            victims = _alive(ledger)
            if victims and chance.random() < 0.7:
                _kill(chance.choice(victims))
                kills += 1
        process.kill()
        process.communicate()
        kills += 1
    last = _start(store, count, jobs=2)
    _, said = last.communicate(timeout=60)
    assert last.returncode == 0, said
    assert _content(store) == _content(undisturbed)
    assert not _counts(ledger, "twice")
    assert _counts(ledger, "resume")


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_the_patience_with_stopping_cells_ends(
    store: Store, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that is stuck in a long step cannot keep the terminal."""
    monkeypatch.setenv("STUB_FAIL", json.dumps({"0": "stuck"}))
    monkeypatch.setattr(runner, "GRACE_S", 0.3)

    class Impatient(Plain):
        def progress(self, key: str, label: str, event: dict[str, Any], state: State) -> None:
            if event["phase"] == "train" and event["iteration"] == 10:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stub_run.tasks(1), store, stub_run.options(), lambda: Impatient(Screen()))
    assert _alive(ledger) == []
