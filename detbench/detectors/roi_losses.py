"""Losses of an RoI branch on sampled proposals, and of a branch against its sibling."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from detbench.detectors.branch import HeadOutput
from detbench.detectors.roi_settings import BranchLosses
from detbench.pertask import PerTask
from detbench.stages.assignment.sampling import Rois
from detbench.stages.supervision.roi import (
    BoxLoss,
    CrossEntropy,
    constraint_cls,
    constraint_loc,
)
from detbench.structures import Targets

Outputs = PerTask[HeadOutput | None]


def branch_losses(
    outputs: Outputs,
    rois: PerTask[Rois],
    targets: Targets,
    settings: BranchLosses,
    classes: int,
    both_rows: Tensor,
) -> dict[str, Tensor]:
    """Classification and box losses of a branch, unfocused ones included.

    Args:
        outputs: of the branch for ``rois``; ``cls`` may be none in a loc-only round.
        rois: each task's sampled proposals; with shared ones both are the same object.
        classes: without background.
        both_rows: scalar, proposals of both tasks' sets.
    """
    total = _divisor(rois, settings, both_rows)

    def classify(loss: CrossEntropy, output: HeadOutput | None, task: Rois) -> Tensor:
        labels = task.labels(targets, classes)
        return loss(run_output(output).scores, labels, task.valid.flatten())

    def localise(loss: BoxLoss, output: HeadOutput | None, task: Rois) -> Tensor:
        output = run_output(output)
        return loss(
            output.boxes,
            output.references,
            task.goals(targets),
            task.labels(targets, classes),
            task.positive,
            total,
        )

    losses = {"loc": localise(settings.loc, outputs.loc, rois.loc)}
    if outputs.cls is not None and outputs.cls.logits is not None:
        losses["cls"] = classify(settings.cls, outputs.cls, rois.cls)
    if settings.unfocused is not None:  # weights of their own, in place of the focused ones
        cls = replace(settings.cls, weight=settings.unfocused.cls)
        loc = replace(settings.loc, weight=settings.unfocused.loc)
        losses["unfocused_cls"] = classify(cls, outputs.loc, rois.loc)
        losses["unfocused_loc"] = localise(loc, outputs.cls, rois.cls)
    return losses


def _divisor(rois: PerTask[Rois], settings: BranchLosses, both_rows: Tensor) -> Tensor:
    """What box losses are divided by, see ``recipe.roi.BoxLoss``."""
    match settings.divisor:
        case "both":
            return both_rows
        case "twice":
            return 2 * rois.loc.rows
        case "sampled":
            return rois.loc.rows


def constraint_losses(
    main: Outputs,
    sibling: Outputs,
    rois: PerTask[Rois],
    targets: Targets,
    settings: PerTask[BranchLosses],
    classes: int,
) -> dict[str, Tensor]:
    """The progressive constraint of each task that has a margin (TSD, eq. 7 and 8).

    Args:
        main, sibling: outputs of the two branches for ``rois``.
        settings: ``cls`` has the main branch's losses, ``loc`` the sibling's.
    """
    ours, theirs = settings.cls, settings.loc
    losses = {}
    if ours.margins.cls is not None:
        losses["constraint_cls"] = constraint_cls(
            run_output(sibling.cls).scores,
            run_output(main.cls).scores,
            rois.cls.labels(targets, classes),
            rois.cls.valid,
            rois.cls.matched >= 0,
            ours.margins.cls,
            ours.without_positives,
        )
    if ours.margins.loc is not None:
        labels = rois.loc.labels(targets, classes)
        losses["constraint_loc"] = constraint_loc(
            decode(run_output(sibling.loc), theirs.loc, labels),
            decode(run_output(main.loc), ours.loc, labels),
            rois.loc.goals(targets),
            rois.loc.matched >= 0,
            ours.margins.loc,
            ours.without_positives,
        )
    return losses


def decode(output: HeadOutput, loss: BoxLoss, labels: Tensor) -> Tensor:
    """(K, 4): each proposal's box for its label."""
    deltas = loss.of_class(output.boxes.float(), labels)
    return loss.code.decode(deltas, output.references)


def decode_all(output: HeadOutput, loss: BoxLoss) -> Tensor:
    """Each proposal's boxes: (K, 4), or (K, C, 4) of every class (and the background, if it has
    one).
    """
    deltas = output.boxes.float()
    if loss.class_agnostic:
        return loss.code.decode(deltas, output.references)
    shaped = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
    return loss.code.decode(shaped, output.references[:, None])


def run_output(output: HeadOutput | None) -> HeadOutput:
    """The output of a head that was run."""
    if output is None:
        raise ValueError("a head is asked for an output, but was not run")
    return output
