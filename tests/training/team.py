"""One process of several that train a small cell: ``team.py WORK DETECTOR [SETTING...]``.

``$TEAM_STOP`` names a rank and an iteration at which its report stops the run; ``$TEAM_FAULT`` a
rank and how it ends at iteration 2: ``kill``, or ``memory``.
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
from detbench.evaluation.run import score
from detbench.progress import Progress
from detbench.recipe import resolve
from detbench.training import distributed, loop

SMALL = (
    "data.train=10",
    "data.val=5",
    "data.size=64",
    "training.iterations=5",
    "training.batch=4",
    "training.input.short=64",
    "training.input.long=64",
    "inference.score_threshold=0.0",
)
CPU = torch.device("cpu")


class Stop(BaseException):
    pass


def meddle(at: Progress) -> None:
    if at.phase != "train":
        return
    place, _, what = os.environ.get("TEAM_STOP", "-1:0").partition(":")
    if distributed.rank() == int(place) and at.iteration == int(what):
        raise Stop
    place, _, what = os.environ.get("TEAM_FAULT", "-1:").partition(":")
    if distributed.rank() == int(place) and at.iteration == 2:
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise MemoryError


def run(work: Path, detector: str, *changes: str) -> dict[str, Any] | None:
    loop.READ_EVERY_S = 0.0
    torch.set_num_threads(1)
    cell = resolve.cell(detector, "smoke", 0, (*SMALL, *changes)).cell
    assert cell is not None
    with distributed.joined(CPU) as team:
        trained = loop.train(cell, work, work, CPU, meddle, team=team)
        found = score(trained, cell, work, CPU, meddle, team=team)
    if not team.first:
        return None
    return {"metrics": found.metrics, "detections": found.detections, "images": found.images}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        result = run(folder, *sys.argv[2:])
    except Stop:
        sys.exit(99)
    except DetbenchError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
