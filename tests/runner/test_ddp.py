"""A cell of several processes under the real runner, on the CPU."""

from __future__ import annotations

import io
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from team import SMALL

from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.results.store import Store
from detbench.runner.display import Plain
from detbench.runner.options import Options
from detbench.runner.plan import Task
from detbench.runner.run import Outcome, run

pytestmark = pytest.mark.usefixtures("modules_forked")
"""Cells are forked; their workers are started as ever."""


def task(*changes: str) -> Task:
    cell = resolve.cell("fcos-r50", "smoke", 0, (*SMALL, *changes)).cell
    assert cell is not None
    return Task(digest(cell), "train-eval", "FCOS", cell)


def compute(store: Store, one: Task, screen: io.StringIO, processes: int = 2) -> Outcome:
    options = Options(Path("data"), "cpu", 1, 1, gpus_per_cell=processes)
    return run([one], store, options, lambda: Plain(screen))


def workers() -> list[psutil.Process]:
    below = psutil.Process().children(recursive=True)
    return [p for p in below if "detbench.runner.ddp_worker" in " ".join(_words(p))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_cell_of_two_processes_is_the_same_cell(tmp_path: Path) -> None:
    both, alone = Store(tmp_path / "both"), Store(tmp_path / "alone")
    one = task()
    for store, processes in ((both, 2), (alone, 1)):
        assert compute(store, one, io.StringIO(), processes).exit_code == 0
    rows = {row.metric: row for row in both.rows([one.digest])}
    assert rows["AP"].provenance["processes"] == 2
    for row in alone.rows([one.digest]):
        assert rows[row.metric].value == pytest.approx(row.value, abs=1e-6)
        assert rows[row.metric].protocol == row.protocol
    mine, theirs = (store.detections(one.digest) for store in (both, alone))
    assert mine is not None
    assert theirs is not None
    assert [x["image_id"] for x in mine] == [x["image_id"] for x in theirs]
    assert compute(both, one, io.StringIO(), 1).computed == []
    assert workers() == []


def test_a_killed_worker_costs_a_restart_of_the_cell(tmp_path: Path) -> None:
    store, screen = Store(tmp_path), io.StringIO()
    one = task("training.iterations=40")
    curve = store.work(one.work) / "curve.jsonl"

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not (curve.is_file() and curve.stat().st_size):
            time.sleep(0.02)
        for process in workers():
            process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = compute(store, one, screen)
    killer.join()
    said = screen.getvalue()
    assert "FCOS: process 2 of 2 of the cell was killed by SIGKILL; it is started again" in said
    assert outcome.exit_code == 0, said
    assert workers() == []


def test_what_a_worker_says_is_why_the_cell_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module found by ``PYTHONPATH`` takes the memory of the second process alone."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    import detbench.training.loop as loop\n"
        "    def fail(*arguments):\n"
        "        raise MemoryError\n"
        "    loop._step = fail\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    store = Store(tmp_path / "results")
    one = task()
    outcome = compute(store, one, io.StringIO())
    [reason] = outcome.failed.values()
    assert reason.startswith("out of memory: try --set training.precision=bf16")
    assert store.status(one.digest) == "failed"
