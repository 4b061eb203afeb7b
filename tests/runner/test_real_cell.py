"""A real cell under the real runner, killed: it goes on, and ends with the numbers of another."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.results.store import Store
from detbench.runner.display import Plain
from detbench.runner.options import Options
from detbench.runner.plan import Task
from detbench.runner.run import Outcome, run

SMALL = (
    "data.size=48",
    "data.train=8",
    "data.val=4",
    "training.input.short=48",
    "training.input.long=48",
    "training.iterations=30",
    "training.batch=2",
    "training.checkpoint_every=0.05",
    'training.average={kind="ema",decay=0.9}',
    "inference.score_threshold=0.0",
)


def _task() -> Task:
    cell = resolve.cell("faster-rcnn-r50", "smoke", 0, SMALL).cell
    assert cell is not None
    return Task(digest(cell), "train-eval", "row", cell)


def _compute(store: Store, screen: io.StringIO) -> Outcome:
    return run([_task()], store, Options(Path("data"), "cpu", 1, 1), lambda: Plain(screen))


@pytest.mark.usefixtures("modules_forked")
def test_a_cell_that_is_killed_ends_as_if_it_were_not(tmp_path: Path) -> None:
    cut, whole = Store(tmp_path / "cut"), Store(tmp_path / "whole")
    checkpoint = cut.work(_task().work) / "checkpoint.pt"
    killed = []

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not checkpoint.exists():
            time.sleep(0.005)
        log = (checkpoint.parent / "log.txt").read_text()
        for number in re.findall(r"process (\d+) starts", log):
            os.kill(int(number), signal.SIGKILL)
            killed.append(number)

    killer = threading.Thread(target=kill)
    killer.start()
    screen = io.StringIO()
    outcome = _compute(cut, screen)
    killer.join()
    assert outcome.exit_code == 0, screen.getvalue()
    assert len(killed) == 1
    assert "started again" in screen.getvalue()
    assert _compute(whole, io.StringIO()).exit_code == 0
    ours, theirs = (
        {row.metric: row.value for row in one.rows([_task().digest])} for one in (cut, whole)
    )
    assert ours == theirs
    found = cut.detections(_task().digest)
    assert found
    assert found == whole.detections(_task().digest)
    curves = [(one.work(_task().work) / "curve.jsonl").read_text() for one in (cut, whole)]
    assert curves[0] == curves[1]
    assert len(curves[0].splitlines()) == 30
