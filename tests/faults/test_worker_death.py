"""A process that loads images is killed in the middle of a training."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from made_coco import make_coco

from detbench.data.kinds import Coco
from detbench.errors import ProcessLost
from detbench.progress import Progress, silent
from detbench.recipe import resolve
from detbench.recipe.experiment import Cell
from detbench.training import checkpoint, curve, loop
from detbench.training.host import Host

CPU = torch.device("cpu")


def cell() -> Cell:
    changes = (
        "training.iterations=6",
        "training.batch=2",
        "training.input.short=64",
        "training.input.long=64",
    )
    made = resolve.cell("fcos-r50", "smoke", 0, changes, Coco(kind="coco")).cell
    assert made is not None
    return made


def test_the_training_ends_with_one_line_and_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", 0.0)
    root = make_coco(tmp_path)
    every_step = cell().training.model_copy(update={"checkpoint_every": 0})
    made = cell().model_copy(update={"training": every_step})
    loop.train(made, tmp_path / "whole", Host(root, CPU, silent))

    def kill(at: Progress) -> None:
        if at.iteration == 3:
            workers = [p for p in psutil.Process().children() if p.pid not in before]
            assert workers
            for worker in workers:
                worker.kill()
            time.sleep(5)  # torch says so in whatever runs at the time: here, the report

    before = {process.pid for process in psutil.Process().children()}
    with pytest.raises(ProcessLost, match=r"a process that loads data died \(DataLoader worker"):
        loop.train(made, tmp_path / "cut", Host(root, CPU, kill))
    assert checkpoint.load(tmp_path / "cut" / loop.CHECKPOINT)["iteration"] in (2, 3)
    loop.train(made, tmp_path / "cut", Host(root, CPU, silent))
    curves = [list(curve.read(tmp_path / name / loop.CURVE)) for name in ("whole", "cut")]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 6
