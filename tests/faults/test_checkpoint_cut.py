"""A checkpoint cut short at any length: the one before it, or the start; a line; the same bits."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import standin
import torch
from torch import nn

from detbench import data
from detbench.assembly import build_detector
from detbench.evaluation.run import Scored
from detbench.recipe import resolve
from detbench.runner import compute
from detbench.runner.job import TrainJob
from detbench.runner.log import NOTED, Notes
from detbench.training import checkpoint, curve, first_iteration, loop, seeding

SMALL = ("data.size=64", "data.train=4", "data.val=2", "training.input.short=64")
STOPPED, TOTAL = 5, 8


class Stop(BaseException):
    """As the runner stops a cell."""


def _fit(work: Path, stop: int = 0) -> dict[str, Any]:
    def report(progress: loop.Progress) -> None:
        if progress.iteration == stop:
            raise Stop

    settings = standin.training(iterations=TOTAL, checkpoint_every=1e-9)
    return dict(standin.fit(work, settings, report).state_dict())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped: its last checkpoint and the one before it."""
    work = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "READ_EVERY_S", 0.0)
        with pytest.raises(Stop):
            _fit(work, STOPPED)
    return work


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any]]:
    """Weights and losses of an undisturbed run."""
    work = tmp_path_factory.mktemp("whole")
    return _fit(work), list(curve.read(work / loop.CURVE))


def _cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def test_at_every_length_the_one_before_it_is_taken(
    stopped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    content = (stopped / loop.CHECKPOINT).read_bytes()
    path = tmp_path / loop.CHECKPOINT
    shutil.copy(checkpoint.previous(stopped / loop.CHECKPOINT), checkpoint.previous(path))
    lengths = [*range(0, len(content), 97), len(content) - 1]
    for length in lengths:
        path.write_bytes(content[:length])
        found = checkpoint.recover(path)
        assert found is not None
        assert found["iteration"] == STOPPED - 1
    assert len(caplog.records) == len(lengths)
    for record in caplog.records:
        assert record.getMessage().startswith(str(path))
        assert len(record.getMessage().splitlines()) == 1


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
@pytest.mark.parametrize("both", [False, True])
def test_the_result_is_that_of_an_undisturbed_run(
    stopped: Path, whole: Any, tmp_path: Path, share: float, both: bool
) -> None:
    work = shutil.copytree(stopped, tmp_path / "work")
    path = work / loop.CHECKPOINT
    length = int(share * path.stat().st_size)
    for place in (path, checkpoint.previous(path))[: 1 + both]:
        _cut(place, length)
    state, lines = whole
    found = _fit(work)
    assert list(found) == list(state)
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert list(curve.read(work / loop.CURVE)) == lines


def test_a_death_between_the_two_renames_loses_one_checkpoint(
    stopped: Path, whole: Any, tmp_path: Path
) -> None:
    work = shutil.copytree(stopped, tmp_path / "work")
    (work / loop.CHECKPOINT).replace(checkpoint.previous(work / loop.CHECKPOINT))
    found = _fit(work)
    assert all(torch.equal(found[name], whole[0][name]) for name in found)


def test_a_damaged_file_that_was_never_ours_is_kept(tmp_path: Path) -> None:
    """Somebody's own file in the folder given to ``train``."""
    path = tmp_path / loop.CHECKPOINT
    torch.save({"state_dict": {}}, path)
    content = path.read_bytes()
    assert checkpoint.recover(path) is None
    assert (tmp_path / "checkpoint.damaged.pt").read_bytes() == content


def test_the_one_before_it_goes_when_training_is_done(tmp_path: Path) -> None:
    _fit(tmp_path)
    names = [loop.CHECKPOINT, loop.CURVE, first_iteration.FILE]
    assert sorted(one.name for one in tmp_path.iterdir()) == names


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_weights_cut_short_are_trained_again(
    tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a finished training left for cells that only evaluate it otherwise."""
    cell = resolve.cell("fcos-r50", "smoke", 0, SMALL).cell
    assert cell is not None
    job = TrainJob(digest="d" * 64, label="row", cell=cell, store="", data_root="")
    path = tmp_path / "weights.pt"
    trained: list[int] = []

    def train(*arguments: object, **more: object) -> nn.Module:
        trained.append(1)
        return detector

    seeding.seed_everything(0)
    detector = build_detector(cell.detector, len(data.load(cell.data, "val", tmp_path).categories))
    monkeypatch.setattr(compute.loop, "train", train)
    monkeypatch.setattr(compute, "score", lambda *_, **__: Scored({}, [], 0))
    compute.train_eval(job, tmp_path, lambda event: None)
    whole = path.read_bytes()
    compute.train_eval(job, tmp_path, lambda event: None)
    assert len(trained) == 1
    _cut(path, int(share * len(whole)))
    compute.train_eval(job, tmp_path, lambda event: None)
    assert len(trained) == 2
    assert path.read_bytes() == whole


def test_the_user_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A cell's process sends the line to its runner, which prints it."""
    sent: list[dict[str, Any]] = []
    notes = Notes(sent.append)
    assert checkpoint.logger.name in NOTED
    logger = checkpoint.logger
    logger.addHandler(notes)
    try:
        (tmp_path / loop.CHECKPOINT).write_bytes(b"PK")
        assert checkpoint.recover(tmp_path / loop.CHECKPOINT) is None
    finally:
        logger.removeHandler(notes)
    [event] = sent
    assert event["phase"] == "note"
    assert event["message"].startswith(f"{tmp_path / loop.CHECKPOINT}: truncated")
    assert event["message"] in capfd.readouterr().err
