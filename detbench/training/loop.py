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
from detbench.errors import DataError, WeightsError
from detbench.progress import Progress, Report
from detbench.recipe import digest
from detbench.recipe.experiment import Cell, Training
from detbench.sharding import on_shard
from detbench.stages import classes
from detbench.structures import Batch
from detbench.training import (
    checkpoint,
    compiling,
    norms,
    optimiser,
    schedule,
    seeding,
    stop,
    weights,
)
from detbench.training.accumulation import Accumulated
from detbench.training.average import Average
from detbench.training.curve import Curve
from detbench.training.distributed import Losses, Team
from detbench.training.first_iteration import FILE, FirstIteration, check_reached
from detbench.training.host import Host
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


def train(cell: Cell, work: Path, host: Host, allow_partial: bool | None = False) -> nn.Module:
    """Train the detector of ``cell``, or finish training it.

    Args:
        work: folder of the checkpoint and the loss curve, which the first process alone needs; if
            it has a checkpoint of this cell, the run goes on from there.
        host: where it is trained.
        allow_partial: of the initial weights, see ``weights.initialise``.

    Returns:
        The trained detector, on ``host.device``, in every process; its weights are the averaged
        ones where ``training.average`` asks for them.

    Raises:
        CellFailed: the loss became NaN or infinite.
        DataError: a split of the data set is missing or damaged, or their classes differ.
        WeightsError: initial weights do not fit, or ``work`` has another cell's checkpoint.
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
        settle.check_weights(training)
        default = getattr(cell.detector.backbone, "weights", None)
        weights.initialise(detector, training.weights, default, allow_partial)
        weights.warn_of_pixels(detector, training.weights, cell.detector.pixels)

    own = Own(work, digest.training(cell), cell.seed)
    fit(detector, loader, training, own, host, initialise)
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
class Run:
    """What one iteration reads and changes.

    Attributes:
        losses: the detector's.
        accumulated: the same, in parts; None where batches are not split.
        drawing: the generator that several processes share; None in a single one.
        average: of its weights; None where the last ones are evaluated.
        per_epoch: iterations of an epoch.
    """

    detector: nn.Module
    losses: Losses
    accumulated: Accumulated | None
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    training: Training
    device: torch.device
    team: Team
    drawing: torch.Generator | None
    average: Average | None
    per_epoch: int


@dataclass(frozen=True)
class Own:
    """Identity of a training.

    Attributes:
        work: folder of its files.
        identity: what must be equal for a checkpoint in ``work`` to be its own.
        seed: of whatever it draws.
    """

    work: Path
    identity: str
    seed: int


def fit(
    detector: nn.Module,
    loader: Loader,
    training: Training,
    own: Own,
    host: Host,
    initialise: Callable[[], None] = lambda: None,
) -> None:
    """Train ``detector`` in place; see ``train``.

    Args:
        initialise: loads the detector's initial weights; called where there is no checkpoint.
    """
    path, team = own.work / CHECKPOINT, host.team
    saved_before = team.from_first(lambda: checkpoint.recover(path))
    if saved_before is None:
        initialise()
    run = _prepare(detector, training, host, own.seed, loader.iterations_per_epoch)
    start = _resume(run, saved_before, own)
    del saved_before  # as large as network and optimiser, which have it now
    total = schedule.iterations(training, loader.iterations_per_epoch)
    meter = Meter(Curve(own.work / CURVE, start, kept=team.first), total, host.device)
    watch = _Watch(run, meter, host.report, own, start, total)
    detector.train()
    with (
        compiling.compiled(detector, training.compile, host.device),
        worker_deaths(),
        contextlib.closing(_endless(loader.batches(start))) as batches,
    ):
        for done in range(start + 1, total + 1):
            rate = schedule.rate(training, done - 1, loader.iterations_per_epoch)
            _guarded_step(run, next(batches), rate, done, meter)
            if run.average is not None:
                run.average.update(done)
            watch.after(done)
    if start < total:
        watch.save(total)
    if run.average is not None:
        run.average.put()


class _Watch:
    """Looks at a run from time to time: reports, and saves.

    Args:
        start, total: iterations done before, and of the whole run.
    """

    def __init__(
        self, run: Run, meter: Meter, report: Report, own: Own, start: int, total: int
    ) -> None:
        self._run, self._meter, self._report, self._own = run, meter, report, own
        self._start, self._total = start, total
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
            _save(self._run, self._own, iteration, keep=iteration < self._total)
        self._run.team.wait()

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


def _prepare(detector: nn.Module, training: Training, host: Host, seed: int, per_epoch: int) -> Run:
    device, team = host.device, host.team
    detector.to(device)
    detector.to(memory_format=memory_format(training.channels_last))
    drawing = None
    if not team.alone:
        norms.see_whole_batch(detector)
        drawing = seeding.shared_generator(seed, device)
    parts = training.accumulate
    accumulated = Accumulated(detector, parts, team) if parts > 1 else None
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
        average=None if training.average is None else Average(detector, training.average),
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


def _save(run: Run, own: Own, iteration: int, keep: bool) -> None:
    """Write a checkpoint, whose ``detector`` is what would be evaluated now."""
    averaged = run.average.state() if run.average else {}
    checkpoint.save(
        own.work / CHECKPOINT,
        {
            "identity": own.identity,
            "iteration": iteration,
            "detector": {**run.detector.state_dict(), **averaged},
            "current": run.average.current() if run.average else {},
            "classes": weights.class_names(run.detector),
            "optimiser": run.optimiser.state_dict(),
            "scaler": run.scaler.state_dict(),
            "random": seeding.states(run.device, run.drawing),
            "threads": torch.get_num_threads(),
        },
        keep,
    )


def _resume(run: Run, content: dict[str, Any] | None, own: Own) -> int:
    """Restore the content of a checkpoint into ``run``; returns the number of finished iterations,
    0 where there is none.

    Raises:
        WeightsError: of another cell, or of another detbench.
    """
    seeding.seed_everything(own.seed, stream=1 + run.team.rank)
    if content is None:
        return 0
    path = own.work / CHECKPOINT
    other = "settings" if content.get("identity") != own.identity else ""
    names, known = weights.class_names(run.detector), content.get("classes")
    if not other and names and known and names != known:
        same = classes.order(known, names) is not None
        other = f"classes ({'their order' if same else classes.difference(known, names)})"
    if other:
        raise WeightsError(
            f"{path}: belongs to a run with other {other}: choose another folder or delete it"
        )
    try:
        run.detector.load_state_dict(content["detector"])
        if run.average is not None:
            run.average.restore(content["detector"], content["current"])
        run.optimiser.load_state_dict(content["optimiser"])
        run.scaler.load_state_dict(content["scaler"])
        seeding.restore(content["random"], run.device, run.drawing)
        seeding.keep_threads(content.get("threads"), run.device)
        return int(content["iteration"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path}: does not fit this detector (made by another detbench?): delete it"
        ) from error
