"""Settings that do nothing in a cell, whatever their value: asked for by hand they are a mistake.

What a profile or a published recipe states beside the point is harmless. What somebody sets
(``--set``, a row of their own table) and nothing reads would be measured as if it had been tried.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from detbench.recipe.assignment import IouAssignment, TaskAlignedAssignment
from detbench.recipe.base import Custom, PerTaskSpec, Spec, Task
from detbench.recipe.detector import Dense, Detector, Roi
from detbench.recipe.experiment import Cell, Cosine, Evaluation, Sgd, Steps, Training
from detbench.recipe.model import ResNet, Timm
from detbench.recipe.override import split
from detbench.recipe.predictor import Aligned, DistributionGuided, MaxFilter
from detbench.recipe.roi import BoxLoss, Branch, Conv, Res5
from detbench.recipe.stages import Convs, Deformable, Dpe, Sce, Ssh
from detbench.recipe.supervision import AutoAssign, OverlapLoss, TaskAlignedFocal
from detbench.recipe.table import Row

Path = tuple[str, ...]
Findings = Iterator[tuple[Path, str]]
TASKS = ("both", "cls", "loc")
OF_A_SWEEP: Path = ("detector", "readout", "average")
"""A sweep over rounds states it in every row, and one of them averages over one round."""
OF_A_BACKBONE: Path = ("detector", "backbone", "weights")


def of_overrides(cell: Cell, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Of some ``--set``, those that do nothing in ``cell``, which they were applied to, and why."""
    reasons = _idle(cell)
    found = []
    for override in overrides:
        path, text = split(override)
        for leaf in _leaves(tuple(path), _plain(text)):
            if (why := _why(reasons, leaf)) is not None:
                found.append((f"--set '{override}'", why))
                break
    return found


def of_row(cell: Cell, row: Row) -> list[tuple[str, str]]:
    """Of the settings that a row gives, those that do nothing in its cell, and why.

    What is at its default claims nothing: grids, sweeps and copies write every setting out. Nor do
    the weights of a backbone that a row brings, which are there for who asks for them.
    """
    reasons = _idle(cell)
    return [
        (f'row "{row.label}": {_shown(leaf)}', why)
        for leaf in _leaves(("detector",), row.replaced)
        if (why := _why(reasons, leaf)) is not None
        and leaf not in (OF_A_SWEEP, OF_A_BACKBONE)
        and not _default(cell, leaf)
    ]


def _default(cell: Cell, leaf: Path) -> bool:
    """Whether a setting of a cell is what it is where nobody says anything."""
    owner: Any = cell
    for part in leaf[:-1]:
        owner = owner[int(part)] if isinstance(owner, tuple) else getattr(owner, part, None)
    if not isinstance(owner, Spec) or leaf[-1] not in type(owner).model_fields:
        return False
    return bool(getattr(owner, leaf[-1]) == type(owner).model_fields[leaf[-1]].default)


def sentence(what: str, why: str, where: str = "here") -> str:
    return f"{what} does nothing {where}: {why}"


def _idle(cell: Cell) -> dict[Path, str]:
    """Key path -> why nothing depends on what stands there."""
    found = dict(_evaluation(cell))
    for path, why in _training(cell.training, cell.detector):
        found[("training", *path)] = why
    for path, why in _detector(cell.detector, cell.training):
        found[("detector", *path)] = why
    return found


def _why(reasons: Mapping[Path, str], leaf: Path) -> str | None:
    return next((reasons[leaf[:n]] for n in range(1, len(leaf) + 1) if leaf[:n] in reasons), None)


def _leaves(path: Path, value: Any) -> Iterator[Path]:
    """The key paths of single settings in a table, arrays of tables included."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
        items = enumerate(value)
    else:
        yield path
    for key, item in items:
        yield from _leaves((*path, str(key)), item)


def _plain(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _shown(path: Path) -> str:
    return ".".join(path[1:])


# --- evaluation and training ----------------------------------------------------------------------


def _evaluation(cell: Cell) -> Findings:
    settings: Evaluation = cell.evaluation
    count = cell.data.count("val")
    if count is not None and (settings.limit or 0) > count:
        yield ("evaluation", "limit"), f"there are {count} val images"
    most = cell.detector.inference.max_detections
    if settings.max_detections > most:
        yield (
            ("evaluation", "max_detections"),
            f"the detector gives {most} an image (inference.max_detections)",
        )


def _training(settings: Training, detector: Detector) -> Findings:
    yield (
        ("reference_batch",),
        "it says for which batch a recipe chose its learning rate; set training.optimizer.lr",
    )
    if len(set(settings.input.short)) == 1:
        yield ("input", "draw"), "training.input.short is a single side"
    optimizer, schedule = settings.optimizer, settings.schedule
    if isinstance(optimizer, Sgd):
        if not optimizer.weight_decay:
            for name in ("decay_norms", "decay_biases"):
                yield ("optimizer", name), "training.optimizer.weight_decay is 0"
        elif not _trains_norms(detector):
            yield ("optimizer", "decay_norms"), "no norm of this detector trains"
    length = float(settings.epochs or settings.iterations or 0)
    if isinstance(schedule, Steps):
        yield from _steps(schedule, length)
    if isinstance(schedule, Steps | Cosine) and not schedule.warmup_iterations:
        yield ("schedule", "warmup_ratio"), "training.schedule.warmup_iterations is 0"
    unit = "epochs" if settings.iterations is None else "iterations"
    looks = settings.validation
    if looks is not None and looks.unit == unit and looks.every >= length:
        yield ("validation",), f"the training ends at {length:g} {unit}, before a first look"


def _steps(schedule: Steps, length: float) -> Findings:
    if schedule.gamma == 1:
        yield ("schedule", "drops"), "training.schedule.gamma is 1"
    elif late := [drop for drop in schedule.drops if drop >= length]:
        listed = ", ".join(f"{drop:g}" for drop in late)
        yield ("schedule", "drops"), f"the training ends at {length:g}, before {listed}"
    if not [drop for drop in schedule.drops if drop < length]:
        yield ("schedule", "gamma"), "no drop of the learning rate comes before the end"


def _trains_norms(detector: Detector) -> bool:
    """Whether any norm has parameters that train; of a user's own module it may."""
    options = [one for _, one in _options(detector)]
    if any(isinstance(one, (Custom, Conv)) for one in (*options, detector.backbone, detector.neck)):
        return True
    backbone = detector.backbone
    if isinstance(backbone, Timm):
        return True
    live = isinstance(backbone, ResNet) and backbone.norm != "frozen"
    if live and isinstance(backbone, ResNet) and backbone.frozen_stages < 4:
        return True
    if live and any(isinstance(one, Res5) for one in options):
        return True
    return any(_has_norm(one) for one in options)


def _has_norm(option: Spec) -> bool:
    match option:
        case Convs():
            return option.norm != "none" and option.depth > 0
        case Ssh() | MaxFilter():
            return option.norm != "none"
        case Sce():
            return option.norm != "none" and option.down == "conv"
        case Dpe():
            return option.norm != "none" and -1 in option.levels
    return False


# --- detectors ------------------------------------------------------------------------------------


def _options(detector: Detector) -> Iterator[tuple[Path, Spec]]:
    """Every option of the stages that are per task, and the predictor, with its key path."""
    for stage in ("features", "sampling", "assignment", "heads"):
        yield from _of_pair((stage,), getattr(detector, stage))
    if isinstance(detector, Dense) and detector.predictor is not None:
        yield ("predictor",), detector.predictor
    if not isinstance(detector, Roi):
        return
    branches = [(("rounds", str(n)), one) for n, one in enumerate(detector.rounds)]
    for path, branch in (*_siblings(detector), *branches):
        for stage in ("sampling", "heads"):
            pair = getattr(branch, stage)
            if pair is not None:
                yield from _of_pair((*path, stage), pair)


def _siblings(detector: Roi) -> Iterator[tuple[Path, Branch]]:
    """Every sibling branch with its key path."""
    if detector.sibling is not None:
        yield ("sibling",), detector.sibling
    for number, each in enumerate(detector.rounds):
        if each.sibling is not None:
            yield ("rounds", str(number), "sibling"), each.sibling


def _of_pair(path: Path, pair: PerTaskSpec[Any]) -> Iterator[tuple[Path, Spec]]:
    for task in TASKS:
        if (option := getattr(pair, task)) is not None:
            yield (*path, task), option


def _detector(detector: Detector, training: Training) -> Findings:
    backbone = detector.backbone
    if isinstance(backbone, ResNet) and training.weights != "default":
        yield ("backbone", "weights"), "training.weights=default alone asks for them"
    if isinstance(backbone, ResNet | Timm) and backbone.deformable == "none":
        yield ("backbone", "deformable_stages"), "backbone.deformable is 'none'"
    for path, option in _options(detector):
        for name, why in _option(option):
            yield (*path, name), why
    yield from _dense(detector) if isinstance(detector, Dense) else _roi(detector)


def _option(option: Spec) -> Iterator[tuple[str, str]]:
    """Fields of one option that its other fields leave without effect."""
    match option:
        case Convs() if not option.depth:
            for name in ("channels", "norm", "conv_bias"):
                yield name, "a tower of depth 0 has no convolution"
        case Sce() if option.down != "conv":
            for name in ("norm", "conv_bias"):
                yield name, f"down = '{option.down}' has no convolution"
        case Dpe() if -1 not in option.levels:
            for name in ("norm", "conv_bias"):
                yield name, "levels without -1 need no convolution"
        case Convs() | Sce() | Dpe() | Ssh() | MaxFilter() if (
            option.norm == "none" and not option.conv_bias
        ):
            yield "conv_bias", "without a norm a convolution always has a bias"
        case Deformable() if not option.convs:
            yield "convs", "it names no convolution, which is kind = 'regular'"
        case IouAssignment() if not option.match_low_quality:
            yield "min_positive", "match_low_quality is false"


def _dense(detector: Dense) -> Findings:
    for task in ("cls", "loc"):
        head, sampling = detector.heads.of(task), detector.sampling.of(task)
        if not isinstance(head, Convs) or not isinstance(sampling, Deformable):
            continue
        if any(position >= head.depth for position in sampling.convs):
            place = "both" if detector.sampling.shared else task
            why = f"the {task} tower has depth {head.depth}, and positions start at 0"
            yield ("sampling", place, "convs"), why
    losses = detector.supervision
    for name in ("cls", "loc", "quality"):
        loss: Any = getattr(losses, name)
        if loss is None:
            continue
        if getattr(loss, "weight", 1) or getattr(loss, "distribution_weight", 0):
            continue
        for setting in type(loss).model_fields:
            if setting not in ("kind", "weight", "distribution_weight"):
                yield ("supervision", name, setting), f"supervision.{name}.weight is 0"
    if isinstance(detector.predictor, Custom):
        for setting in ("bias", "per_level_scale"):
            yield ("boxes", setting), "the predictor is your own"
    if isinstance(detector.predictor, Aligned):
        yield ("boxes", "bias"), "the predictor 'aligned' starts at one stride to each side"
    if isinstance(detector.predictor, DistributionGuided):
        yield ("supervision", "quality", "task"), "the predictor has its own output 'quality'"
    if isinstance(losses.joint, AutoAssign) and detector.levels and not detector.levels.shared:
        yield ("levels", "loc"), "'autoassign' counts levels by levels.cls: give levels.both"
    yield from _without_further_outputs(detector)
    yield from _without_soft_targets(detector)
    loc = losses.loc
    if isinstance(loc, OverlapLoss) and loc.weighting != "score":
        yield ("supervision", "loc", "on"), "weighting is not 'score'"
    if isinstance(loc, OverlapLoss) and loc.weighting == "none" and loc.normaliser != "weights":
        yield ("supervision", "loc", "least"), "weighting is 'none'"


def _without_further_outputs(detector: Dense) -> Findings:
    """What makes the score of a detector that has the class alone."""
    option = detector.predictor
    own = isinstance(option, (Custom, Aligned, DistributionGuided, MaxFilter))
    further = own or detector.supervision.quality or getattr(option, "objectness", None)
    if further or isinstance(detector.score, Custom):
        return
    why = "the score is the class probability: the detector has no further output"
    yield ("score", "kind"), why
    for name in ("cls", "loc"):
        yield ("supervision", name, "on"), why


def _without_soft_targets(detector: Dense) -> Findings:
    """What reads soft targets where no assignment gives any."""
    names: tuple[Task, ...] = ("cls", "loc")
    for name in names:
        loss = getattr(detector.supervision, name)
        if isinstance(detector.assignment.of(name), (TaskAlignedAssignment, Custom)):
            continue
        why = f"the assignment of {name} gives no soft targets, as 'task-aligned' does"
        if isinstance(loss, TaskAlignedFocal):
            yield ("supervision", name, "kind"), f"{why}: 'focal' is the same"
        if isinstance(loss, OverlapLoss) and loss.weighting == "target":
            yield ("supervision", name, "weighting"), f"{why}: 'centerness' is the same"


def _roi(detector: Roi) -> Findings:
    if not detector.assignment.shared:
        yield (
            ("assignment", "loc", "test_count"),
            "at test both tasks have the proposals of assignment.cls",
        )
    readout = detector.readout
    if len(readout.cls_rounds) == 1:
        yield ("readout", "average"), "readout.cls_rounds names one round"
    elif readout.cls not in ("cls", "loc"):
        yield ("readout", "average"), f"readout.cls = '{readout.cls}' fuses probabilities"
    if not detector.rounds:
        yield ("mask", "stages"), "the detector has one stage: it has no rounds"
    yield from _box_loss(("supervision", "loc"), detector.supervision.loc)
    for path, sibling in _siblings(detector):
        yield from _box_loss((*path, "supervision", "loc"), sibling.supervision.loc)
    for number, each in enumerate(detector.rounds):
        path = ("rounds", str(number))
        yield from _box_loss((*path, "loc"), each.loc)
        if each.tasks == "loc":
            for stage in ("heads", "sampling"):
                yield (*path, stage, "cls"), "a round with tasks = 'loc' does not classify"


def _box_loss(path: Path, loss: BoxLoss) -> Findings:
    if not loss.weight:
        for name in ("beta", "normaliser"):
            yield (*path, name), f"{'.'.join((*path, 'weight'))} is 0"
