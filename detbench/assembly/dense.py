"""Dense detectors from resolved recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import nn

from detbench.assembly import contract
from detbench.assembly.common import make, per_task
from detbench.detectors import dense
from detbench.detectors.supervision import Supervision
from detbench.detectors.tasks import TaskModules
from detbench.errors import RecipeError
from detbench.pertask import PerTask
from detbench.recipe import detector as recipe
from detbench.recipe import stages as option
from detbench.recipe.base import Task
from detbench.recipe.model import Neck
from detbench.recipe.predictor import Convolutions
from detbench.recipe.supervision import Auxiliary
from detbench.stages.predictor import PredictorShape


def build_dense(settings: recipe.Dense, num_classes: int) -> dense.DenseDetector:
    """Build a dense detector; see ``assembly.build_detector``."""
    backbone = make(settings.backbone, partial(contract.backbone, maps=4))
    first, levels = settings.neck.first, settings.neck.levels
    neck = _neck(settings.neck, backbone.channels[first - 2 :])
    below = backbone.channels[first - 3] if first > 2 else 3
    maps = per_task(settings.features, _features_maker(neck.channels, below, first, levels))
    towers = _towers(settings, maps)
    grid, code = make(settings.candidates), make(settings.boxes)
    strides = [2 ** (first + level) for level in range(levels)]
    trial = contract.Outputs(grid, code, strides, num_classes)
    score = settings.score or option.ProductScore(kind="product")
    parts = dense.DenseParts(
        backbone=backbone,
        neck=neck,
        first_level=first,
        features=TaskModules(maps),
        heads=TaskModules(towers),
        predictor=_predictor(settings, maps, towers, trial),
        grid=grid,
        code=code,
        score=make(score, partial(contract.score, trial=trial)),
        supervisions=list(_supervisions(settings, trial)),
        inference=dense.Inference(**settings.inference.model_dump(exclude={"views"})),
        num_classes=num_classes,
    )
    return dense.DenseDetector(parts)


def _neck(settings: Neck, inputs: list[int]) -> Any:
    """The neck on backbone maps of ``inputs`` channels."""
    levels = settings.levels
    check = partial(contract.neck, inputs=inputs, levels=levels)
    return make(settings, check, inputs=inputs, channels=settings.channels, levels=levels)


def _features_maker(
    channels: int, below: int, first: int, levels: int
) -> Callable[[option.Features], nn.Module]:
    """Makes a task's features of a pyramid and the map under it, ``below`` channels wide."""
    check = partial(contract.features, channels=channels, below=below, first=first, count=levels)
    return partial(make, check=check, channels=channels, below_channels=below)


def _towers(settings: recipe.Dense, maps: PerTask[Any]) -> PerTask[Any]:
    def tower(task: Task) -> nn.Module:
        inputs = getattr(maps, task).channels
        head, convs = settings.heads.of(task), settings.sampling.of(task).convs
        if isinstance(head, option.Convs) and any(position >= head.depth for position in convs):
            raise RecipeError(
                f"sampling.convs: {list(convs)} asks for a convolution that a tower of "
                f"depth {head.depth} does not have; positions start at 0"
            )
        context: dict[str, Any] = {"deformable": convs} if convs else {}
        made: nn.Module = make(
            head, partial(contract.head, inputs=inputs), inputs=inputs, **context
        )
        return made

    if not settings.heads.shared:
        return PerTask(tower("cls"), tower("loc"))
    if maps.cls.channels != maps.loc.channels:
        raise RecipeError(
            "heads.both: a shared head needs features of one width, but cls has "
            f"{maps.cls.channels} channels and loc {maps.loc.channels}; give heads.cls and .loc"
        )
    if settings.sampling.of("cls") != settings.sampling.of("loc"):
        raise RecipeError("heads.both: a shared head samples one way; give sampling.both")
    return PerTask.both(tower("cls"))


def _predictor(
    settings: recipe.Dense, maps: PerTask[Any], towers: PerTask[Any], trial: contract.Outputs
) -> nn.Module:
    quality = settings.supervision.quality
    asked = {} if quality is None else {"quality": quality.task}
    shape = PredictorShape(
        channels=towers.map(lambda tower: tower.channels),
        coarseness=maps.map(lambda module: module.coarseness),
        classes=trial.classes,
        dims=trial.code.dims,
        per_cell=trial.grid.per_cell,
        levels=settings.neck.levels,
    )
    option = settings.predictor or Convolutions(kind="convolutions")
    objectness = getattr(option, "objectness", None)
    wiring = {
        "shape": shape,
        "extras": asked | ({"objectness": objectness} if objectness else {}),
        "scaled": settings.boxes.per_level_scale,
        "bias": getattr(settings.boxes, "bias", 0.0),
        "layers": towers.map(lambda tower: getattr(tower, "layers", 1)),
        "offset": settings.candidates.offset,
    }
    check = partial(contract.predictor, shape=shape, trial=trial, extras=list(asked))
    made: nn.Module = make(option, check, wiring, **vars(shape))
    return made


def _supervisions(settings: recipe.Dense, trial: contract.Outputs) -> Iterator[Supervision]:
    """The main one, then the auxiliary ones, whose losses are called ``auxiliary1_cls``."""
    parts: list[recipe.Dense | Auxiliary] = [settings, *(settings.auxiliary or ())]
    for number, part in enumerate(parts):
        assigners = per_task(
            part.assignment,
            partial(
                make,
                check=partial(contract.assigner, trial=trial),
                wiring={"classes": trial.classes},
            ),
        )
        losses = {}
        for name in ("cls", "loc", "quality", "joint"):
            loss = getattr(part.supervision, name)
            if loss is not None:
                check = partial(contract.loss, trial=trial, joint=name == "joint")
                losses[name] = make(loss, check)
        levels = _levels(settings, trial) if number == 0 else None
        yield Supervision(assigners, losses, levels, f"auxiliary{number}_" if number else "")


def _levels(settings: recipe.Dense, trial: contract.Outputs) -> PerTask[nn.Module] | None:
    if settings.levels is None:
        return None
    check = partial(contract.levels, trial=trial)
    return per_task(settings.levels, partial(make, check=check, levels=len(trial.strides)))
