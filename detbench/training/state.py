"""What a training is while it runs, and how that is kept in a checkpoint and had back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detbench.errors import WeightsError
from detbench.recipe.experiment import Training
from detbench.stages import classes
from detbench.training import checkpoint, curve, extension, seeding, weights
from detbench.training.accumulation import Accumulated
from detbench.training.average import Average
from detbench.training.distributed import Losses, Team
from detbench.training.extension import Extended
from detbench.training.validation import Validations

CHECKPOINT = "checkpoint.pt"
CURVE = curve.FILE


@dataclass(frozen=True)
class Run:
    """What one iteration reads and changes.

    Attributes:
        losses: the detector's.
        accumulated: the same, in parts; None where batches are not split.
        drawing: the generator that several processes share; None in a single one.
        average: of its weights; None where the last ones are evaluated.
        validations: its scores so far; None where it is not looked at.
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
    validations: Validations | None
    per_epoch: int

    def put(self) -> None:
        """Give the detector the weights that its training is for; nothing is trained after it."""
        if self.validations is not None and self.training.chosen_by:
            self.validations.put(self.detector)
        elif self.average is not None:
            self.average.put()


@dataclass(frozen=True)
class Own:
    """Identity of a training.

    Attributes:
        work: folder of its files.
        identity: what must be equal for a checkpoint in ``work`` to be its own.
        seed: of whatever it draws.
        kin: what must be equal for it to go on from a checkpoint of another length or schedule;
            empty if it must not.
    """

    work: Path
    identity: str
    seed: int
    kin: str = ""


@dataclass(frozen=True)
class Reached:
    """How far the checkpoint was that a training goes on from.

    Attributes:
        done: finished iterations, 0 where there is no checkpoint.
        extended: where it went on from shorter trainings.
    """

    done: int = 0
    extended: Extended = ()


def save(run: Run, own: Own, at: Reached, keep: bool) -> None:
    """Write a checkpoint, whose ``detector`` is what would be evaluated now.

    Args:
        keep: the one before it too.
    """
    averaged = run.average.state() if run.average else {}
    checkpoint.save(
        own.work / CHECKPOINT,
        {
            "identity": own.identity,
            "kin": own.kin,
            "training": run.training.model_dump(mode="json"),
            "extended": list(at.extended),
            "iteration": at.done,
            "detector": {**run.detector.state_dict(), **averaged},
            "current": run.average.current() if run.average else {},
            "validations": run.validations.state() if run.validations else {},
            "classes": weights.class_names(run.detector),
            "optimiser": run.optimiser.state_dict(),
            "scaler": run.scaler.state_dict(),
            "random": seeding.states(run.device, run.drawing),
            "threads": torch.get_num_threads(),
        },
        keep,
    )


def resume(run: Run, content: dict[str, Any] | None, own: Own) -> Reached:
    """Restore the content of a checkpoint into ``run``.

    Raises:
        WeightsError: of another cell, or of another detbench.
    """
    seeding.seed_everything(own.seed, stream=1 + run.team.rank)
    if content is None:
        return Reached()
    path = own.work / CHECKPOINT
    if other := _other(content, own, run):
        raise WeightsError(
            f"{path}: belongs to a run with other {other}: choose another folder or delete it"
        )
    extended = extension.of(content)
    if content.get("identity") != own.identity:
        extended = extension.extend(content, run.training, run.per_epoch, path)
    elif extended and not own.kin:
        raise WeightsError(f"{path}: {extension.said(extended)}: delete it")
    try:
        run.detector.load_state_dict(content["detector"])
        if run.average is not None:
            run.average.restore(content["detector"], content["current"])
        if run.validations is not None:
            run.validations.restore(content.get("validations", {}))
        run.optimiser.load_state_dict(content["optimiser"])
        run.scaler.load_state_dict(content["scaler"])
        seeding.restore(content["random"], run.device, run.drawing)
        seeding.keep_threads(content.get("threads"), run.device)
        return Reached(int(content["iteration"]), extended)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path}: does not fit this detector (made by another detbench?): delete it"
        ) from error


def _other(content: Mapping[str, Any], own: Own, run: Run) -> str:
    """In what a checkpoint is of another training than ``own``; empty if in nothing."""
    kin = own.kin and content.get("kin") == own.kin
    if content.get("identity") != own.identity and not kin:
        return "settings"
    names, known = weights.class_names(run.detector), content.get("classes")
    if not names or not known or names == known:
        return ""
    same = classes.order(known, names) is not None
    return f"classes ({'their order' if same else classes.difference(known, names)})"
