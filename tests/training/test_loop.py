from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import FORKS
from standin import SGD, Loader, Tiny, fit, training

from detbench.errors import CellFailed, WeightsError
from detbench.progress import Progress
from detbench.structures import Batch
from detbench.training import checkpoint, curve, loop, schedule, stop

ADAMW = {
    "optimizer": {"kind": "adamw", "lr": 0.01},
    "schedule": {"kind": "one-cycle", "rise": 0.3},
    "clip": None,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adamw": ADAMW,
    "bf16": {"precision": "bf16", "channels_last": False},
    "fp16": {"precision": "fp16"},
    "averaged": {"average": {"kind": "ema", "decay": 0.9}},
}


class Stop(BaseException):
    """What a runner raises to stop a cell."""


@pytest.fixture(autouse=True)
def _look_each_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", 0.0)


def assert_equal(first: Any, second: Any) -> None:
    """Bit for bit, through dicts, lists and tuples."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    else:
        assert first == second


def stopper(*iterations: int) -> Any:
    """A report that stops the run once at each of these iterations."""
    left = list(iterations)

    def report(progress: Progress) -> None:
        if left and progress.iteration == left[0]:
            left.pop(0)
            raise Stop

    return report


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("stops", [(1,), (4,), (5, 6), (11,), (12,)])
def test_resume_is_bit_identical(tmp_path: Path, name: str, stops: tuple[int, ...]) -> None:
    """Weights, buffers, optimiser, scaler, random states and losses equal the undisturbed run's."""
    settings = training(**SETTINGS[name])
    fit(tmp_path / "whole", settings)
    report = stopper(*stops)
    for _ in stops:
        with pytest.raises(Stop):
            fit(tmp_path / "cut", settings, report)
        torch.rand(7)  # what happens between must not matter
    detector = fit(tmp_path / "cut", settings, report)
    whole = checkpoint.load(tmp_path / "whole" / loop.CHECKPOINT)
    cut = checkpoint.load(tmp_path / "cut" / loop.CHECKPOINT)
    assert whole["iteration"] == 12
    assert_equal(whole, cut)
    assert_equal(dict(detector.state_dict()), dict(whole["detector"]))
    lines = [list(curve.read(tmp_path / run / loop.CURVE)) for run in ("whole", "cut")]
    assert lines[0] == lines[1]
    assert [line["iteration"] for line in lines[0]] == list(range(1, 13))


def test_a_run_goes_on_at_the_threads_it_began_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with pytest.raises(Stop):
            fit(tmp_path, training(), stopper(4))
        torch.set_num_threads(2)
        fit(tmp_path, training())
        assert torch.get_num_threads() == 3
        [said] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert said.startswith("it goes on at 3 threads, as it began, not at 2: ")
        assert checkpoint.load(tmp_path / loop.CHECKPOINT)["threads"] == 3
        caplog.clear()
        fit(tmp_path, training())  # at the same number there is nothing to say
        assert not caplog.records
    finally:
        torch.set_num_threads(before)


def test_a_run_that_lost_work_after_its_checkpoint_repeats_it(tmp_path: Path) -> None:
    """As after kill -9: the curve is ahead of the checkpoint and ends in half a line."""
    fit(tmp_path / "whole", training())
    with pytest.raises(Stop):
        fit(tmp_path / "cut", training(), stopper(7))
    old = (tmp_path / "cut" / loop.CHECKPOINT).read_bytes()
    with pytest.raises(Stop):
        fit(tmp_path / "cut", training(), stopper(10))
    (tmp_path / "cut" / loop.CHECKPOINT).write_bytes(old)
    with open(tmp_path / "cut" / loop.CURVE, "a") as file:
        file.write('{"iteration": 11, "lr')
    fit(tmp_path / "cut", training())
    read = [(tmp_path / run / loop.CURVE).read_text() for run in ("whole", "cut")]
    assert read[0] == read[1]


def test_resume_asks_for_the_right_batches_and_closes_the_loader(tmp_path: Path) -> None:
    loader = Loader()
    with pytest.raises(Stop):
        fit(tmp_path, training(), stopper(4), loader)
    fit(tmp_path, training(), loader=loader)
    assert loader.served == list(range(12))
    assert loader.closed == 2


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = fit(tmp_path, training())
    loader = Loader()
    again = fit(tmp_path, training(), loader=loader)
    assert loader.served == []
    assert_equal(dict(first.state_dict()), dict(again.state_dict()))


def test_checkpoints_come_in_time_and_the_interrupted_bits_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    real = checkpoint.save

    def save(path: Path, content: dict[str, Any], keep: bool) -> None:
        saved.append(content["iteration"])
        real(path, content, keep)

    monkeypatch.setattr(checkpoint, "save", save)
    fit(tmp_path / "often", training(checkpoint_every=1e-9))
    assert saved == list(range(1, 13))
    saved.clear()
    fit(tmp_path / "seldom", training())
    assert saved == [12]


@pytest.mark.parametrize("poison", [0, 3, 11])
@pytest.mark.parametrize("interval", [0.0, 1e9])
def test_nan_names_the_first_bad_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poison: int, interval: float
) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", interval)
    with pytest.raises(CellFailed, match=rf"at iteration {poison + 1} of 12") as caught:
        fit(tmp_path, training(), loader=Loader(poison))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    lines = list(curve.read(tmp_path / loop.CURVE))
    assert [line["iteration"] for line in lines] == list(range(1, poison + 1))
    assert not (tmp_path / loop.CHECKPOINT).exists()


def test_a_breakdown_after_nan_is_reported_as_nan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", 1e9)
    losses = Tiny.losses

    def fragile(self: Tiny, images: Any, targets: Any, epoch: float) -> Any:
        if torch.isnan(self.out.weight).any():
            raise IndexError("index out of range")
        return losses(self, images, targets, epoch)

    monkeypatch.setattr(Tiny, "losses", fragile)
    with pytest.raises(CellFailed, match="iteration 3 of 12"):
        fit(tmp_path, training(), loader=Loader(2))


def test_curve_has_each_loss_and_the_rate(tmp_path: Path) -> None:
    settings = training()
    fit(tmp_path, settings)
    lines = [json.loads(text) for text in (tmp_path / loop.CURVE).read_text().splitlines()]
    for index, line in enumerate(lines):
        assert set(line) == {"iteration", "lr", "total", "cls", "loc"}
        assert line["total"] == pytest.approx(line["cls"] + line["loc"], rel=1e-6)
        assert line["lr"] == SGD["lr"] * schedule.factor(settings, index, 5)  # type: ignore[operator]


def test_progress(tmp_path: Path) -> None:
    seen: list[Progress] = []
    fit(tmp_path, training(), seen.append)
    assert [item.iteration for item in seen] == list(range(1, 13))
    assert {(item.phase, item.iterations, item.start) for item in seen} == {("train", 12, 0)}
    last = list(curve.read(tmp_path / loop.CURVE))[-1]
    assert seen[-1].loss == last["total"]
    assert seen[-1].remaining == 0
    assert seen[5].remaining == pytest.approx(seen[5].seconds)


def test_frozen_parameters_do_not_move_and_others_do(tmp_path: Path) -> None:
    before = dict(Tiny().state_dict())
    torch.manual_seed(0)
    detector = fit(tmp_path, training())
    start = fit(tmp_path / "zero", training(iterations=1, optimizer=SGD | {"lr": 1e-12}))
    after, first = detector.state_dict(), start.state_dict()
    assert torch.equal(after["backbone.0.weight"], first["backbone.0.weight"])
    assert not torch.equal(after["out.weight"], first["out.weight"])
    assert set(before) == set(after)


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    plain = {"optimizer": {"kind": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}}
    still = {"schedule": {"kind": "steps", "drops": (5,), "warmup_iterations": 0}}
    start = fit(tmp_path / "a", training(iterations=1, optimizer=SGD | {"lr": 1e-20}))
    end = fit(tmp_path / "b", training(iterations=1, clip=0.01, **plain, **still))
    moved = sum(
        float((one - other).detach().square().sum())
        for one, other in zip(start.parameters(), end.parameters(), strict=True)
    )
    assert moved**0.5 == pytest.approx(0.01, rel=1e-3)


def test_checkpoint_of_another_run_is_one_line(tmp_path: Path) -> None:
    fit(tmp_path, training())
    path = tmp_path / loop.CHECKPOINT
    content = checkpoint.load(path)
    checkpoint.save(path, content | {"identity": "other"})
    with pytest.raises(WeightsError, match="other settings"):
        fit(tmp_path, training())
    checkpoint.save(path, content | {"detector": {"x": torch.zeros(1)}})
    with pytest.raises(WeightsError, match="does not fit this detector") as caught:
        fit(tmp_path, training())
    assert "\n" not in str(caught.value)


class Slow(Loader):
    def batches(self, start: int) -> Iterator[Batch]:
        for item in super().batches(start):
            time.sleep(0.02)
            yield item


def until_killed(work: Path, every: float, ready: Event) -> None:
    """A training in a process of its own, which hears signals from ``ready`` on."""
    torch.set_num_threads(1)
    loop.READ_EVERY_S = 0.0
    with stop.on_signals() as check:
        ready.set()
        fit(work, training(iterations=60, checkpoint_every=every), check, Slow())


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 1), (signal.SIGKILL, -9)],
)
def test_killed_processes_resume_to_the_same_bits(tmp_path: Path, number: int, code: int) -> None:
    """SIGTERM, SIGHUP and SIGINT save first; SIGKILL loses what came after the last checkpoint."""
    torch.set_num_threads(1)
    every = 0.1 if number == signal.SIGKILL else 1e9
    ready = FORKS.Event()
    process = FORKS.Process(target=until_killed, args=(tmp_path / "cut", every, ready))
    process.start()
    assert ready.wait(60)
    while number == signal.SIGKILL and not (tmp_path / "cut" / loop.CHECKPOINT).exists():
        time.sleep(0.01)
    time.sleep(0.3)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(30)
    assert process.exitcode == code
    reached = checkpoint.load(tmp_path / "cut" / loop.CHECKPOINT)["iteration"]
    assert 0 < reached < 60
    settings = training(iterations=60)
    fit(tmp_path / "cut", settings)
    fit(tmp_path / "whole", settings)
    for run in ("whole", "cut"):
        assert len(list(curve.read(tmp_path / run / loop.CURVE))) == 60
    assert_equal(
        checkpoint.load(tmp_path / "whole" / loop.CHECKPOINT),
        checkpoint.load(tmp_path / "cut" / loop.CHECKPOINT),
    )
