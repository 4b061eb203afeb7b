"""A cell that takes milliseconds, in this process: only its network is a stand-in, and the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from standin import Tiny
from torch import Tensor

from detbench import assembly
from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results import schema
from detbench.results.files import Lock
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import cell, compute
from detbench.runner.job import TrainJob
from detbench.runner.plan import Task
from detbench.structures import Detections

SMALL = (
    "data.size=32",
    "data.train=4",
    "data.val=2",
    "training.input.short=32",
    "training.input.long=32",
    "training.iterations=2",
    "training.batch=2",
    "training.checkpoint_every=1e-9",
    "training.weights=none",
)


def _task() -> Task:
    made = resolve.cell("fcos-r50", "smoke", 0, SMALL).cell
    assert made is not None
    return Task(digest(made), "train-eval", "row", made)


TASK = _task()


class Small(Tiny):
    """Detects one box in each image, with a score of what it has learnt."""

    def detect(self, images: Tensor, sizes: Tensor) -> list[Detections]:
        scores = self(images).mean(dim=(1, 2, 3)).sigmoid()
        box, label = torch.tensor([[4.0, 4.0, 20.0, 20.0]]), torch.zeros(1, dtype=torch.int64)
        return [Detections(box, score[None], label) for score in scores]


class Channel:
    """Takes the events and tells nobody."""

    def report(self, event: dict[str, Any]) -> None:
        """Go on."""


@contextmanager
def small_networks() -> Iterator[None]:
    """Have detectors built as ``Small``, and every cell computed at one time."""

    def build(settings: Any, classes: int) -> Small:
        return Small()

    with pytest.MonkeyPatch.context() as patch:
        for module in (assembly, compute):
            patch.setattr(module, "build_detector", build)
        patch.setattr(compute, "now", lambda: "2026-01-01T00:00:00+00:00")
        yield


def job(root: Path) -> TrainJob:
    assert isinstance(TASK.cell, Cell)
    return TrainJob(
        digest=TASK.digest,
        label="row",
        cell=TASK.cell,
        store=str(root),
        data_root=str(root),
        device="cpu",
    )


@contextmanager
def locks_of_a_process() -> Iterator[None]:
    """Release at the end what the kernel releases when a cell's process ends."""
    taken: list[Lock] = []

    class Noted(Lock):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            taken.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "Lock", Noted)
        try:
            yield
        finally:
            for lock in taken:
                lock.release()


def run(root: Path) -> int:
    """What the process of the cell does; its exit code.

    Raises:
        DetbenchError: which that process sends to its runner.
    """
    with locks_of_a_process(), small_networks():
        return cell._run_training(job(root), compute.train_eval, Channel())  # type: ignore[arg-type]


def content(root: Path) -> dict[str, Any]:
    """What is stored, by its file: rows, and detections' bytes.

    Whether this process trained the cell, or found its weights, is left out.
    """
    files = {path.name: path.read_bytes() for path in Store(root).cells.iterdir()}
    return {
        name: _rows(data) if name.endswith(".parquet") else data for name, data in files.items()
    }


def _rows(data: bytes) -> list[Measurement]:
    rows = schema.from_bytes(data, "")
    return [replace(row, provenance={**row.provenance, "trained": None}) for row in rows]
