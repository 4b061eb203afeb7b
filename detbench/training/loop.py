"""The training loop.

A run is a function of its cell alone: batch k depends on the seed and k, the learning rate on the
iteration, and everything else that changes is in the checkpoint. So a run that was interrupted
anywhere ends with the same bits as one that was not (on one machine, at one number of threads).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from detbench.errors import DataError, WeightsError
from detbench.progress import Progress, Report
from detbench.recipe import digest
from detbench.recipe.experiment import Cell, Training
from detbench.structures import Batch
from detbench.training import checkpoint, optimiser, schedule, seeding, weights
from detbench.training.curve import Curve
from detbench.training.meter import Meter
from detbench.training.precision import autocast, loss_scaler, memory_format

if TYPE_CHECKING:
    from detbench.data import Dataset

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"
READ_EVERY_S = 1.0
"""Seconds between two looks at the losses, which wait for the device."""

__all__ = ["Progress", "fit", "train"]


class Loader(Protocol):
    """Training batches; batch k is a function of the loader's seed and k."""

    @property
    def iterations_per_epoch(self) -> int: ...

    def batches(self, start: int) -> Iterator[Batch]: ...


def train(
    cell: Cell,
    work: Path,
    data_root: Path,
    device: torch.device | str,
    report: Report,
    allow_partial: bool = False,
) -> nn.Module:
    """Train the detector of ``cell``, or finish training it.

    Args:
        work: folder of the checkpoint and the loss curve; if it has a checkpoint of this cell, the
            run goes on from there.
        report: told about once a second. An exception it raises stops the run at that iteration,
            checkpointed.
        allow_partial: initial weights may lack keys of the network and have others.

    Returns:
        The trained detector, on ``device``.

    Raises:
        CellFailed: the loss became NaN or infinite.
        DataError: a split of the data set is missing or damaged, or their classes differ.
        WeightsError: initial weights do not fit, or ``work`` has another cell's checkpoint.
    """
    from detbench import data
    from detbench.build import build_detector
    from detbench.data.loading import TrainLoader

    device, training = torch.device(device), cell.training
    seeding.choose_determinism(device)
    dataset = data.load(cell.data, "train", data_root)
    _check_val(dataset, data.load(cell.data, "val", data_root))
    seeding.seed_everything(cell.seed)
    detector = build_detector(cell.detector, len(dataset.categories))
    if not (work / CHECKPOINT).exists():
        default = getattr(cell.detector.backbone, "weights", None)
        weights.initialise(detector, training.weights, default, allow_partial)
    loader = TrainLoader(dataset, training.input, cell.detector.pixels, training.batch, cell.seed)
    identity = digest.training(cell)
    fit(detector, loader, training, work, device, report, cell.seed, identity)
    return detector


def _check_val(train: Dataset, val: Dataset) -> None:
    """Look at the split that will be evaluated before the training, not after it."""
    names = [[category.name for category in split.categories] for split in (train, val)]
    if names[0] == names[1]:
        return
    odd = sorted(set(names[0]) ^ set(names[1])) or ["their order"]
    raise DataError(
        f"the train split has {len(names[0])} classes and the val split {len(names[1])}, and they "
        f"differ ({', '.join(odd[:3])}{', ...' if len(odd) > 3 else ''}): give both the same "
        "categories"
    )


@dataclass(frozen=True)
class Run:
    """What one iteration changes."""

    detector: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    training: Training
    device: torch.device


def fit(
    detector: nn.Module,
    loader: Loader,
    training: Training,
    work: Path,
    device: torch.device,
    report: Report,
    seed: int,
    identity: str,
) -> None:
    """Train ``detector`` in place; see ``train``.

    Args:
        identity: what must be equal for a checkpoint in ``work`` to be this run's.
    """
    run = _prepare(detector, training, device)
    seeding.seed_everything(seed, stream=1)
    start = _resume(run, work / CHECKPOINT, identity)
    total = schedule.iterations(training, loader.iterations_per_epoch)
    meter = Meter(Curve(work / CURVE, start), total, device)
    detector.train()
    began = saved = looked = time.monotonic()

    def save(iteration: int) -> None:
        meter.read(sync=True)
        _save(run, work / CHECKPOINT, identity, iteration)

    with contextlib.closing(_endless(loader.batches(start))) as batches:
        for done in range(start + 1, total + 1):
            rate = schedule.rate(training, done - 1, loader.iterations_per_epoch)
            _guarded_step(run, next(batches), rate, done, meter)
            now = time.monotonic()
            if now - looked >= READ_EVERY_S or done in (start + 1, total):
                looked = now
                meter.read()
                progress = Progress("train", done, total, meter.last, now - began, start)
                _report(report, progress, save)
            if now - saved >= training.checkpoint_every and done < total:
                save(done)
                saved = time.monotonic()
    if start < total:
        save(total)


def _prepare(detector: nn.Module, training: Training, device: torch.device) -> Run:
    detector.to(device)
    detector.to(memory_format=memory_format(training.channels_last))
    optimizer = optimiser.build(detector, training.optimizer)
    return Run(detector, optimizer, loss_scaler(device, training.precision), training, device)


def _endless(batches: Iterator[Batch]) -> Any:
    """The batches as a generator, so that closing it ends the loader's workers at once."""
    yield from batches


def _guarded_step(run: Run, batch: Batch, rate: float, iteration: int, meter: Meter) -> None:
    """One step; where it breaks down after a loss that was not finite, that is the error."""
    try:
        losses, total = _step(run, batch, rate)
    except (RuntimeError, ValueError, IndexError):
        meter.read()
        raise
    meter.add(iteration, rate, losses, total)


def _step(run: Run, batch: Batch, rate: float) -> tuple[dict[str, Tensor], Tensor]:
    """Forward, backward and update; returns the losses and their sum, still on the device."""
    images = batch.images.to(
        run.device,
        non_blocking=True,
        memory_format=memory_format(run.training.channels_last),
    )
    detector: Any = run.detector
    with autocast(run.device, run.training.precision):
        losses: dict[str, Tensor] = detector.losses(images, batch.targets.to(run.device))
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    run.scaler.scale(total).backward()
    if run.training.clip is not None:
        run.scaler.unscale_(run.optimiser)
        nn.utils.clip_grad_norm_(run.detector.parameters(), run.training.clip)
    optimiser.set_rate(run.optimiser, rate)
    run.scaler.step(run.optimiser)
    run.scaler.update()
    run.optimiser.zero_grad(set_to_none=True)
    return losses, total


def _report(report: Report, progress: Progress, save: Any) -> None:
    """Report; if the one who is told stops the run, save it first."""
    try:
        report(progress)
    except BaseException:
        save(progress.iteration)
        raise


def _save(run: Run, path: Path, identity: str, iteration: int) -> None:
    checkpoint.save(
        path,
        {
            "identity": identity,
            "iteration": iteration,
            "detector": run.detector.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "scaler": run.scaler.state_dict(),
            "random": seeding.states(),
        },
    )


def _resume(run: Run, path: Path, identity: str) -> int:
    """Restore ``path`` into ``run``; returns the number of finished iterations, 0 without a file.

    Raises:
        WeightsError: truncated, or of another cell.
    """
    if not path.exists():
        return 0
    content = checkpoint.load(path)
    if content.get("identity") != identity:
        raise WeightsError(
            f"{path}: belongs to a run with other settings: choose another folder or delete it"
        )
    try:
        run.detector.load_state_dict(content["detector"])
        run.optimiser.load_state_dict(content["optimiser"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path}: does not fit this detector (made by another detbench?): delete it"
        ) from error
    run.scaler.load_state_dict(content["scaler"])
    seeding.restore(content["random"])
    return int(content["iteration"])
