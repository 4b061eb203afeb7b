"""The training loop.

A run is a function of its cell alone: batch k depends on the seed and k, the learning rate on the
iteration, and everything else that changes is in the checkpoint. So a run that was interrupted
anywhere ends with the same bits as one that was not (on one machine, at one number of threads).
Over several processes it is the same function up to rounding, and their number may change when it
resumes; see ``training.distributed``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from detbench.data import settle
from detbench.data.loading import TrainLoader, worker_deaths
from detbench.errors import DataError
from detbench.progress import Progress, Report
from detbench.recipe import digest
from detbench.recipe.experiment import Cell, Training
from detbench.sharding import on_shard
from detbench.structures import Batch
from detbench.training import (
    checkpoint,
    compiling,
    folder,
    norms,
    optimiser,
    schedule,
    seeding,
    state,
    stop,
    weights,
)
from detbench.training.accumulation import Accumulated
from detbench.training.average import Average
from detbench.training.curve import Curve
from detbench.training.first_iteration import FILE, FirstIteration, check_reached
from detbench.training.host import Host
from detbench.training.meter import Meter
from detbench.training.precision import autocast, loss_scaler, memory_format
from detbench.training.state import CHECKPOINT, CURVE, Own, Reached, Run
from detbench.training.validation import Heard, Scorer, Validations

if TYPE_CHECKING:
    from detbench.data import Dataset

READ_EVERY_S = 1.0
"""Seconds between two looks at the losses, which wait for the device."""

__all__ = ["CHECKPOINT", "CURVE", "Own", "Progress", "Run", "fit", "train"]


class Loader(Protocol):
    """Training batches; batch k is a function of the loader's seed and k."""

    @property
    def iterations_per_epoch(self) -> int: ...

    def batches(self, start: int) -> Iterator[Batch]: ...


def train(
    cell: Cell,
    work: Path,
    host: Host,
    allow_partial: bool | None = False,
    scorer: Scorer | None = None,
    extend: bool = False,
) -> nn.Module:
    """Train the detector of ``cell``, or finish training it.

    Args:
        work: folder of the checkpoint and the curve, which the first process alone needs; if it has
            a checkpoint of this cell, the run goes on from there.
        host: where it is trained.
        allow_partial: of the initial weights, see ``weights.initialise``.
        scorer: of ``training.validation``, which needs one.
        extend: whether the folder is one of the user's, who may have other files there, see
            ``training.folder``, and asks for more: it may go on from a checkpoint of another length
            or schedule, see ``training.extension``; what comes of it may not be what the cell's own
            training gives.

    Returns:
        The trained detector, on ``host.device``, in every process; its weights are the best or the
        averaged ones where ``training.validation`` or ``training.average`` ask for them.

    Raises:
        CellFailed: the loss became NaN or infinite.
        DataError: a split of the data set is missing or damaged, or their classes differ.
        WeightsError: initial weights do not fit, or ``work`` has another cell's checkpoint.
        StoreError: ``work`` cannot be written, or has files of others.
    """
    from detbench import data
    from detbench.assembly import build_detector

    training = cell.training
    seeding.choose_determinism(host.device)
    dataset = data.load(cell.data, "train", host.data_root, cell.seed, cell.masks)
    _check_val(dataset, data.load(cell.data, "val", host.data_root, masks=cell.masks))
    seeding.seed_everything(cell.seed)
    detector = build_detector(cell.detector, data.class_names(dataset))
    loader = TrainLoader(
        dataset, training.input, cell.detector.pixels, training.batch, cell.seed, host.loading
    )

    def initialise() -> None:
        if extend:
            host.team.from_first(lambda: folder.check_own(work))
        settle.check_weights(training)
        default = getattr(cell.detector.backbone, "weights", None)
        weights.initialise(detector, training.weights, default, allow_partial)
        weights.warn_of_pixels(detector, training.weights, cell.detector.pixels)

    kin = digest.training(cell.but_length()) if extend else ""
    own = Own(work, digest.training(cell), cell.seed, kin)
    fit(detector, loader, training, own, host, Hooks(initialise, scorer))
    return detector


def _check_val(train: Dataset, val: Dataset) -> None:
    """Look at the split that will be evaluated before the training, not after it."""
    from detbench.data import class_names

    names = [class_names(split) for split in (train, val)]
    if names[0] == names[1]:
        return
    odd = sorted(set(names[0]) ^ set(names[1])) or ["their order"]
    raise DataError(
        f"the train split has {len(names[0])} classes and the val split {len(names[1])}, and they "
        f"differ ({', '.join(odd[:3])}{', ...' if len(odd) > 3 else ''}): give both the same "
        "categories"
    )


@dataclass(frozen=True)
class Hooks:
    """What a training asks its cell for.

    Attributes:
        initialise: loads the detector's initial weights; called where there is no checkpoint.
        scorer: of its validations; None where it is not looked at.
    """

    initialise: Callable[[], None] = lambda: None
    scorer: Scorer | None = None


def fit(
    detector: nn.Module,
    loader: Loader,
    training: Training,
    own: Own,
    host: Host,
    hooks: Hooks = Hooks(),
) -> None:
    """Train ``detector`` in place; see ``train``."""
    path, team = own.work / CHECKPOINT, host.team
    saved_before = team.from_first(lambda: checkpoint.recover(path))
    if saved_before is None:
        hooks.initialise()
    run = _prepare(detector, training, host, own.seed, loader.iterations_per_epoch, hooks.scorer)
    reached = state.resume(run, saved_before, own)
    del saved_before  # as large as network and optimiser, which have it now
    start, total = reached.done, schedule.iterations(training, loader.iterations_per_epoch)
    counts = {} if run.validations is None else {"counts": run.validations.counts}
    curve = Curve(own.work / CURVE, start, kept=team.first, **counts)
    meter = Meter(curve, total, host.device)
    watch = _Watch(run, meter, host.report, own, reached, total)
    detector.train()
    with (
        compiling.compiled(detector, training.compile, host.device),
        worker_deaths(),
        contextlib.closing(_endless(loader.batches(start))) as batches,
    ):
        watch.look(start)  # which a stopped run may not have finished
        for done in range(start + 1, total + 1):
            rate = schedule.rate(training, done - 1, loader.iterations_per_epoch)
            _guarded_step(run, next(batches), rate, done, meter)
            if run.average is not None:
                run.average.update(done)
            watch.look(done)
            watch.after(done)
    if start < total or watch.looked:
        watch.save(total)
    run.put()


class _Watch:
    """Looks at a run from time to time: reports, validates, and saves.

    Args:
        reached: what was done before.
        total: iterations of the whole run.

    Attributes:
        looked: whether it validated.
    """

    def __init__(
        self, run: Run, meter: Meter, report: Report, own: Own, reached: Reached, total: int
    ) -> None:
        self._run, self._meter, self._report, self._own = run, meter, report, own
        self._start, self._extended, self._total = reached.done, reached.extended, total
        self.looked = False
        self._began = self._saved = self._looked = time.monotonic()

    def after(self, done: int) -> None:
        """Report and save if it is time for them, by the clock of any process."""
        now = time.monotonic()
        first, due = self._run.team.agree(
            now - self._looked >= READ_EVERY_S or done in (self._start + 1, self._total),
            now - self._saved >= self._run.training.checkpoint_every and done < self._total,
        )
        if first:
            self._looked = now
            self._meter.read()
            self._tell(done, now - self._began)
        if due:
            self.save(done)
            self._saved = time.monotonic()

    def save(self, iteration: int) -> None:
        """Write a checkpoint, by the first process."""
        self._meter.read(sync=True)
        if self._run.team.first:
            at = Reached(iteration, self._extended)
            state.save(self._run, self._own, at, keep=iteration < self._total)
        self._run.team.wait()

    def look(self, done: int) -> None:
        """Validate if it is time for it. If a report stops the run meanwhile, save it first."""
        looks, team = self._run.validations, self._run.team
        if looks is None or not looks.due(done):
            return
        self._meter.read()
        heard = Heard(self._report, team)
        try:
            looks.look(done, self._meter.curve, heard, team)
        except BaseException:
            if heard.raised is not None:
                self.save(done)
            raise
        self.looked = True
        if team.any(heard.raised is not None):
            self.save(done)
            raise heard.raised or SystemExit(stop.STOPPED)

    def _tell(self, done: int, seconds: float) -> None:
        """Report; if the report stops the run, in any process, save it first."""
        progress = Progress("train", done, self._total, self._meter.last, seconds, self._start)
        try:
            self._report(progress)
        except BaseException:
            self._run.team.any(True)
            self.save(done)
            raise
        if self._run.team.any(False):
            self.save(done)
            raise SystemExit(stop.STOPPED)


def _prepare(
    detector: nn.Module,
    training: Training,
    host: Host,
    seed: int,
    per_epoch: int,
    scorer: Scorer | None,
) -> Run:
    device, team = host.device, host.team
    detector.to(device)
    detector.to(memory_format=memory_format(training.channels_last))
    drawing = None
    if not team.alone:
        norms.see_whole_batch(detector)
        drawing = seeding.shared_generator(seed, device)
    parts = training.accumulate
    accumulated = Accumulated(detector, parts, team) if parts > 1 else None
    average = None if training.average is None else Average(detector, training.average)
    validations = None
    if training.validation is not None:
        if scorer is None:
            raise ValueError("training.validation needs a scorer")
        validations = Validations(detector, average, training, per_epoch, drawing, scorer)
    return Run(
        detector=detector,
        losses=accumulated or team.losses(detector),
        accumulated=accumulated,
        optimiser=optimiser.build(detector, training.optimizer),
        scaler=loss_scaler(device, training.precision),
        training=training,
        device=device,
        team=team,
        drawing=drawing,
        average=average,
        validations=validations,
        per_epoch=per_epoch,
    )


def _endless(batches: Iterator[Batch]) -> Any:
    """The batches as a generator, so that closing it ends the loader's workers at once."""
    yield from batches


def _guarded_step(run: Run, batch: Batch, rate: float, iteration: int, meter: Meter) -> None:
    """One step; if it raises after a loss that was not finite, that loss is the error reported.

    The first one of a training is looked at, see ``training.first_iteration``.
    """
    first = FirstIteration() if iteration == 1 else None
    try:
        losses, total = _step(run, batch, rate, (iteration - 1) / run.per_epoch, first)
    except (RuntimeError, ValueError, IndexError):
        meter.read()
        raise
    meter.add(iteration, rate, losses, total)
    if first is not None:
        first.judge(losses, run.training, meter.curve.path.with_name(FILE), run.team.first)


def _step(
    run: Run, batch: Batch, rate: float, epoch: float, first: FirstIteration | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Forward, backward and update after ``epoch`` epochs; returns the losses and their sum, still
    on the device.
    """
    batch, whole = run.team.pad(batch)
    images = batch.images.to(
        run.device,
        non_blocking=True,
        memory_format=memory_format(run.training.channels_last),
    )
    shard = run.team.shard(batch, whole, run.drawing)
    with on_shard(shard), autocast(run.device, run.training.precision):
        with contextlib.nullcontext() if first is None else first.watching(run.detector):
            losses = run.losses(images, batch.targets.to(run.device), epoch)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        counted = total * 0.0 if batch.spare else total
        if first is not None:
            check_reached(counted)
        run.scaler.scale(counted).backward()
        if run.accumulated is not None:
            run.accumulated.finish()
    norm = None
    if run.training.clip is not None:
        run.scaler.unscale_(run.optimiser)
        norm = nn.utils.clip_grad_norm_(run.detector.parameters(), run.training.clip)
    if first is not None:
        first.gradients(run.detector, norm, run.scaler.get_scale())
        first.priors = run.team.whole(first.priors, total, batch.spare)[0]
    optimiser.set_rate(run.optimiser, rate)
    run.scaler.step(run.optimiser)
    run.scaler.update()
    run.optimiser.zero_grad(set_to_none=True)
    return run.team.whole(losses, total, batch.spare)
