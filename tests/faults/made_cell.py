"""A cell that takes milliseconds, in this process: real training loop, files, locks and store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import standin
import stub_run

from detbench.recipe.experiment import Cell
from detbench.results.files import Lock
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import cell
from detbench.runner.job import TrainJob
from detbench.training import weights

ITERATIONS = 2
[TASK] = stub_run.tasks(1)[1:]


class Channel:
    """Takes the events and tells nobody."""

    def report(self, event: dict[str, Any]) -> None:
        """Go on."""


def train(job: TrainJob, work: Path, report: Any) -> cell.Measured:
    """As ``compute.train_eval``, with a checkpoint after every iteration and a stand-in network."""
    settings = standin.training(iterations=ITERATIONS, checkpoint_every=1e-9)
    detector = standin.fit(work, settings, lambda at: report({}))
    weights.save(work / "weights.pt", detector)
    state = b"".join(one.numpy().tobytes() for one in detector.state_dict().values())
    value = int(hashlib.sha256(state).hexdigest()[:12], 16) / 2**48
    row = Measurement(job.digest, "train-eval", "AP", value, "fraction", {"images": 4}, 0)
    return [row], [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": value}]


def job(root: Path) -> TrainJob:
    assert isinstance(TASK.cell, Cell)
    return TrainJob(
        digest=TASK.digest, label="row", cell=TASK.cell, store=str(root), data_root=str(root)
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
    with locks_of_a_process():
        return cell._run_training(job(root), train, Channel())  # type: ignore[arg-type]


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Store(root).cells.iterdir()}
