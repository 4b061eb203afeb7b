"""Dense detectors from resolved recipes. One ``match`` per stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from detbench.assembly import contract
from detbench.assembly.common import backbone_of, custom, given, grid_of, neck_of, per_task
from detbench.detectors import dense
from detbench.detectors.supervision import Supervision
from detbench.detectors.tasks import TaskModules
from detbench.errors import RecipeError
from detbench.ops.coding import BoxCode, Delta, Distance, Distribution
from detbench.pertask import PerTask
from detbench.recipe import detector as recipe
from detbench.recipe import model as spec
from detbench.recipe import stages as option
from detbench.recipe.base import Custom
from detbench.stages import assignment, features, heads, score, supervision


def build_dense(settings: recipe.Dense, num_classes: int) -> dense.DenseDetector:
    """Build a dense detector; see ``assembly.build_detector``."""
    backbone = backbone_of(settings.backbone)
    first, levels = settings.neck.first, settings.neck.levels
    neck = neck_of(settings.neck, backbone.channels[first - 2 :])
    below = backbone.channels[first - 3] if first > 2 else 3
    make = _FeaturesMaker(neck.channels, below, first, levels)
    maps = per_task(settings.features, make)
    towers = _towers(settings, maps)
    grid, code = grid_of(settings.candidates), _code(settings.boxes)
    strides = [2 ** (first + level) for level in range(levels)]
    trial = contract.Outputs(grid, code, strides, num_classes)
    parts = dense.DenseParts(
        backbone=backbone,
        neck=neck,
        first_level=first,
        features=TaskModules(maps),
        heads=TaskModules(towers),
        predictor=_predictor(settings, maps, towers, trial),
        grid=grid,
        code=code,
        score=_score(settings.score, trial),
        supervisions=list(_supervisions(settings, trial)),
        inference=dense.Inference(**settings.inference.model_dump()),
        num_classes=num_classes,
    )
    return dense.DenseDetector(parts)


def _towers(settings: recipe.Dense, maps: PerTask[Any]) -> PerTask[Any]:
    def make(task: str) -> nn.Module:
        positions: tuple[int, ...] = ()
        sampling = settings.sampling.of(task)  # type: ignore[arg-type]
        if isinstance(sampling, option.Deformable):
            positions = sampling.convs
        return _head(settings.heads.of(task), getattr(maps, task).channels, positions)  # type: ignore[arg-type]

    if not settings.heads.shared:
        return PerTask(make("cls"), make("loc"))
    if maps.cls.channels != maps.loc.channels:
        raise RecipeError(
            "heads.both: a shared head needs features of one width, but cls has "
            f"{maps.cls.channels} channels and loc {maps.loc.channels}; give heads.cls and .loc"
        )
    if settings.sampling.of("cls") != settings.sampling.of("loc"):
        raise RecipeError("heads.both: a shared head samples one way; give sampling.both")
    return PerTask.both(make("cls"))


@dataclass(frozen=True)
class _FeaturesMaker:
    """Makes the features of one task.

    Attributes:
        channels, below: widths of the pyramid and of the map under it.
        first, levels: of the pyramid.
    """

    channels: int
    below: int
    first: int
    levels: int

    def __call__(self, settings: option.Features) -> Any:
        channels, below = self.channels, self.below
        match settings:
            case option.Level():
                return features.Level(channels)
            case option.Sce():
                return features.Sce(channels, **settings.model_dump(exclude={"kind"}))
            case option.Dpe():
                return features.Dpe(channels, below, **settings.model_dump(exclude={"kind"}))
            case Custom():
                needs = ("channels", "coarseness")
                made = custom(settings, needs, channels=channels, below_channels=below)
                contract.features(settings, made, channels, below, self.first, self.levels)
                return made


def _head(settings: option.Head, inputs: int, deformable: tuple[int, ...]) -> Any:
    match settings:
        case option.Tower():
            kept = settings.model_dump(exclude={"kind"})
            if any(position >= settings.depth for position in deformable):
                raise RecipeError(
                    f"sampling.convs: {list(deformable)} asks for a convolution that a tower of "
                    f"depth {settings.depth} does not have; positions start at 0"
                )
            return heads.Tower(inputs, deformable=deformable, **kept)
        case Custom():
            positions = {"deformable": deformable} if deformable else {}
            made = custom(settings, ("channels",), inputs=inputs, **positions)
            contract.head(settings, made, inputs)
            return made


def _code(settings: spec.BoxCoding) -> BoxCode:
    match settings:
        case spec.DeltaCoding():
            return Delta(settings.stds)
        case spec.DistanceCoding():
            return Distance(settings.activation)
        case spec.DistributionCoding():
            return Distribution(settings.bins)


def _predictor(
    settings: recipe.Dense, maps: PerTask[Any], towers: PerTask[Any], trial: contract.Outputs
) -> nn.Module:
    quality = settings.supervision.quality
    shape = dense.PredictorShape(
        channels=towers.map(lambda tower: tower.channels),
        coarseness=maps.map(lambda module: module.coarseness),
        classes=trial.classes,
        dims=trial.code.dims,
        per_cell=trial.grid.per_cell,
        levels=settings.neck.levels,
    )
    if settings.predictor is None:
        extras = {} if quality is None else {"quality": quality.task}
        return dense.DensePredictor(shape, extras, settings.boxes.per_level_scale)
    made: nn.Module = custom(settings.predictor, **vars(shape))
    wanted = [] if quality is None else ["quality"]
    contract.predictor(settings.predictor, made, shape, trial, wanted)
    return made


def _score(settings: option.Score | None, trial: contract.Outputs) -> nn.Module:
    match settings:
        case None:
            return score.Product()
        case option.ProductScore():
            return score.Product(settings.select)
        case option.GeometricScore():
            return score.Geometric(settings.select)
        case Custom():
            made: nn.Module = custom(settings, ("select",))
            contract.score(settings, made, trial)
            return made


def _supervisions(settings: recipe.Dense, trial: contract.Outputs) -> Iterator[Supervision]:
    """The main one, then the auxiliary ones, whose losses are called ``auxiliary1_cls``."""
    parts: list[recipe.Dense | option.Auxiliary] = [settings, *(settings.auxiliary or ())]
    for number, part in enumerate(parts):
        made = per_task(part.assignment, lambda each: _assigner(each, trial))
        losses = {}
        for name in ("cls", "loc", "quality", "joint"):
            loss = getattr(part.supervision, name)
            if loss is not None:
                losses[name] = _loss(loss, made.cls if name == "cls" else made.loc, trial, name)
        yield Supervision(made, losses, f"auxiliary{number}_" if number else "")


def _assigner(settings: option.Assignment, trial: contract.Outputs) -> nn.Module:
    match settings:
        case option.IouAssignment():
            return assignment.IouAssigner(**given(settings))
        case option.FcosAssignment():
            return assignment.FcosAssigner(**given(settings))
        case option.AtssAssignment():
            return assignment.AtssAssigner(**given(settings))
        case Custom():
            made: nn.Module = custom(settings)
            contract.assigner(settings, made, trial)
            return made


def _loss(settings: Any, assigner: nn.Module, trial: contract.Outputs, place: str) -> nn.Module:
    """A loss, divided by what it says, or else by what the assigner of its task says."""
    if isinstance(settings, Custom):
        made: nn.Module = custom(settings)
        contract.loss(settings, made, trial, joint=place == "joint")
        return made
    weighted = isinstance(settings, option.Giou) and settings.weighting != "none"
    default = "weights" if weighted else getattr(assigner, "normaliser", "batch")
    arguments = {"normaliser": default} | given(settings, {"task"})
    kinds: dict[type, type[nn.Module]] = {
        option.Focal: supervision.Focal,
        option.QualityFocal: supervision.QualityFocal,
        option.L1: supervision.L1,
        option.Giou: supervision.Giou,
        option.Centerness: supervision.Centerness,
    }
    return kinds[type(settings)](**arguments)
