"""``detbench run`` on stub cells, as a process that can be killed: STORE CELLS JOBS [OPTION...].

An option is the name of a switch of ``Options``, or ``ray``, or ``ray-unshared`` for nodes that do
not see the results folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from detbench.errors import DetbenchError
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


def options(jobs: int = 1, **more: Any) -> Options:
    return Options(Path("data"), "cpu", jobs, 1, command=CELL, **more)


def on_ray(unshared: bool) -> None:
    """A cluster of this machine, of two processors; its nodes may be blind to the folder."""
    from detbench.runner.launchers import ray as launcher

    ray = launcher._ray(launcher._alone(None))

    class Blind(launcher.Cluster):
        def __init__(self, ray: Any, options: Options, root: Path, token: Path) -> None:
            super().__init__(ray, options, root, Path("not there"))

    known = ray.init

    def init(**settings: Any) -> Any:
        return known(num_cpus=2, **settings)

    ray.init = init
    if unshared:
        launcher.Cluster = Blind  # type: ignore[misc]


if __name__ == "__main__":
    root, count, jobs = sys.argv[1:4]
    switches = set(sys.argv[4:])
    more: dict[str, Any] = dict.fromkeys(switches - {"ray", "ray-unshared"}, True)
    if switches & {"ray", "ray-unshared"}:
        on_ray("ray-unshared" in switches)
        more["launcher"] = "ray"
    try:
        outcome = run(
            tasks(int(count)),
            Store(Path(root)),
            options(int(jobs), **more),
            lambda: Plain(sys.stderr),
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except DetbenchError as error:
        sys.exit(str(error))
    for reason in outcome.failed.values():
        print(reason, file=sys.stderr)
    sys.exit(outcome.exit_code)
