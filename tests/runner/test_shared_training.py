"""A network is trained once, however many ways it is read out."""

from pathlib import Path

import pytest

from detbench.recipe import resolve
from detbench.recipe.digest import digest
from detbench.results.schema import Measurement
from detbench.runner import compute
from detbench.runner.job import TrainJob
from detbench.training import loop

SMALL = (
    "data.size=64",
    "data.train=8",
    "data.val=4",
    "training.iterations=2",
    "training.batch=2",
    "training.input.short=64",
    "training.input.long=64",
    "training.checkpoint_every=600.0",
    "inference.score_threshold=0.0",
)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[TrainJob]:
    root = str(tmp_path_factory.mktemp("root"))
    rows = resolve.cells("double-head-table3", "smoke", overrides=SMALL)
    return [
        TrainJob(
            digest=digest(row.cell), label=row.row.label, cell=row.cell, store=root, data_root=root
        )
        for row in rows
        if row.cell
    ]


def test_four_readouts_of_one_training(
    jobs: list[TrainJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    real = loop.train

    def train(*arguments: object, **more: object) -> object:
        trained.append("once")
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train", train)
    rows: list[Measurement] = []
    scores = {}
    for job in jobs:
        found, detections = compute.train_eval(job, tmp_path, lambda event: None)
        assert {row.digest for row in found} == {job.digest}
        rows.append(found[0])
        assert detections
        scores[job.label] = sum(one["score"] for one in detections)
    assert trained == ["once"]
    assert [row.provenance["trained"] for row in rows] == [True, False, False, False]
    # The largest score is at least the mean; the complementary one is at least the largest.
    assert scores["Average"] < scores["Max"] < scores["Complementary"]
    assert scores["No fusion"] != scores["Average"]


def test_weights_from_the_file_score_as_those_just_trained(
    jobs: list[TrainJob], tmp_path: Path
) -> None:
    job = jobs[-1]
    first = compute.train_eval(job, tmp_path, lambda event: None)
    again = compute.train_eval(job, tmp_path, lambda event: None)
    assert first[1] == again[1]
    assert [row.value for row in first[0]] == [row.value for row in again[0]]
