"""Dense detectors from resolved recipes. One ``match`` per stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from detbench.assembly import contract
from detbench.assembly.common import backbone_of, custom, grid_of, neck_of, per_task
from detbench.detectors import dense
from detbench.detectors.tasks import TaskModules
from detbench.errors import RecipeError
from detbench.ops.candidates import Grid
from detbench.ops.coding import BoxCode, Delta, Distance, Distribution
from detbench.pertask import PerTask
from detbench.recipe import detector as recipe
from detbench.recipe import model as spec
from detbench.recipe import stages as option
from detbench.recipe.base import Custom
from detbench.stages import assignment, features, heads, supervision


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
    teach = _Teaching(grid, code, [2 ** (first + level) for level in range(levels)], num_classes)
    quality = settings.supervision.quality
    predictor = dense.DensePredictor(
        channels=towers.map(lambda tower: tower.channels),
        coarseness=maps.map(lambda module: module.coarseness),
        classes=num_classes,
        dims=code.dims,
        per_cell=grid.per_cell,
        quality_task=None if quality is None else quality.task,
        scaled_levels=levels if settings.boxes.per_level_scale else 0,
    )
    return dense.DenseDetector(
        backbone=backbone,
        neck=neck,
        first_level=first,
        features=TaskModules(maps),
        heads=TaskModules(towers),
        predictor=predictor,
        grid=grid,
        code=code,
        assigners=per_task(settings.assignment, teach.assigner),
        supervision=teach.supervision(settings.supervision),
        inference=dense.Inference(**settings.inference.model_dump()),
        num_classes=num_classes,
    )


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


@dataclass(frozen=True)
class _Teaching:
    """Makes the assigners and losses of one detector.

    Attributes:
        grid, code, strides, classes: of the detector, for those of a user's own.
    """

    grid: Grid
    code: BoxCode
    strides: list[int]
    classes: int

    def assigner(self, settings: option.Assignment) -> Any:
        match settings:
            case option.IouAssignment():
                return assignment.IouAssigner(**settings.model_dump(exclude={"kind"}))
            case option.FcosAssignment():
                return assignment.FcosAssigner(settings.radius, settings.range_factor)
            case option.AtssAssignment():
                return assignment.AtssAssigner(settings.top_k)
            case Custom():
                made = custom(settings, ("assign",))
                contract.assigner(settings, made, self.grid, self.strides, self.classes)
                return made

    def supervision(self, settings: option.DenseSupervision) -> dense.Supervision:
        quality = settings.quality
        return dense.Supervision(
            cls=self._cls_loss(settings.cls),
            loc=self._loc_loss(settings.loc),
            quality=None
            if quality is None
            else supervision.Centerness(quality.task, quality.weight),
        )

    def _cls_loss(self, settings: option.ClsLoss) -> Any:
        match settings:
            case option.Focal():
                return supervision.Focal(settings.alpha, settings.gamma, settings.weight)
            case option.QualityFocal():
                return supervision.QualityFocal(settings.beta, settings.weight)
            case Custom():
                made = custom(settings, ("needs_quality",))
                contract.cls_loss(settings, made, self.classes)
                return made

    def _loc_loss(self, settings: option.LocLoss) -> Any:
        match settings:
            case option.L1():
                return supervision.L1(settings.beta, settings.weight)
            case option.Giou():
                return supervision.Giou(**settings.model_dump(exclude={"kind"}))
            case Custom():
                made = custom(settings)
                contract.loc_loss(settings, made, self.grid, self.strides, self.code)
                return made
