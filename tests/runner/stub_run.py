"""``detbench run`` on stub cells, as a process that can be killed: STORE CELLS JOBS."""

from __future__ import annotations

import sys
from pathlib import Path

from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.results.store import Store
from detbench.runner.display import Plain
from detbench.runner.job import CostCell
from detbench.runner.options import Options
from detbench.runner.plan import Task
from detbench.runner.run import run

CELL = (sys.executable, str(Path(__file__).with_name("stub_cell.py")))


def tasks(count: int) -> list[Task]:
    """One cost and ``count`` cells that differ in their seed."""
    one = resolve.cell("fcos-r50", "smoke")
    assert one.cell is not None
    assert one.paper_detector is not None
    counted = CostCell(detector=one.paper_detector, input=(1280, 800))
    cells = [one.cell.model_copy(update={"seed": seed}) for seed in range(count)]
    return [
        Task(digest(counted), "cost", "FCOS", counted),
        *(Task(digest(c), "train-eval", f"row {c.seed}", c) for c in cells),
    ]


def options(jobs: int = 1, **more: bool) -> Options:
    return Options(Path("data"), "cpu", jobs, 1, command=CELL, **more)


if __name__ == "__main__":
    root, count, jobs = sys.argv[1:4]
    more = dict.fromkeys(sys.argv[4:], True)
    try:
        outcome = run(
            tasks(int(count)),
            Store(Path(root)),
            options(int(jobs)),
            lambda: Plain(sys.stderr),
        )
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(outcome.exit_code)
