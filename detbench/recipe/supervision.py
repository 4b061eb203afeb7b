"""Schemas of what teaches a dense detector: losses, factors of levels, auxiliary supervision."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from detbench.recipe.base import Custom, Option, PerTaskSpec, Spec
from detbench.recipe.scaling import Scaling, kept
from detbench.recipe.stages import Assignment, Weight

Normaliser = Literal["images", "batch", "weights", "targets"]
"""What a loss is divided by: the positives, at least one in each of the ``images`` or in the
``batch``, what they weigh, or the sum of their soft ``targets``; none is as the assigner says:
``batch`` for ``fcos`` and ``mixture``, ``targets`` for ``task-aligned``, or ``images``.
"""
On = Literal["class", "score"]


class Focal(Option):
    """Focal loss on sigmoid scores (RetinaNet, eq. 5).

    Attributes:
        alpha: weight of a candidate's class; 1 - alpha of all others.
        gamma: exponent of the modulating factor.
        weight: of the loss.
        normaliser: what it is divided by, see below.
        on: the probability of the ``class``, or the ``score`` that ranks.
    """

    target: ClassVar[str] = "detbench.stages.supervision.classification:Focal"
    added: ClassVar[frozenset[str]] = frozenset({"on"})
    scaling: ClassVar[Scaling] = kept("alpha", "gamma", "weight")

    kind: Literal["focal"]
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.25
    gamma: Weight = 2.0
    weight: Weight = 1.0
    normaliser: Normaliser | None = None
    on: On = "class"


class QualityFocal(Option):
    """Quality focal loss (GFL, eq. 4): its target is the assignment's, or the predicted box's IoU.

    Attributes:
        beta: exponent of the modulating factor.
        weight: of the loss.
        normaliser: what it is divided by, see below.
        on: the probability of the ``class``, or the ``score`` that ranks.
    """

    target: ClassVar[str] = "detbench.stages.supervision.classification:QualityFocal"
    added: ClassVar[frozenset[str]] = frozenset({"on"})
    scaling: ClassVar[Scaling] = kept("beta", "weight")

    kind: Literal["quality-focal"]
    beta: Weight = 2.0
    weight: Weight = 1.0
    normaliser: Normaliser | None = None
    on: On = "class"


class TaskAlignedFocal(Option):
    """Focal loss while assignments have no soft targets, quality focal loss once they do (TOOD).

    Attributes:
        alpha: of the focal loss.
        gamma: exponent of both modulating factors.
        weight: of the loss.
        normaliser: what it is divided by, see below.
        on: the probability of the ``class``, or the ``score`` that ranks.
    """

    target: ClassVar[str] = "detbench.stages.supervision.classification:TaskAligned"
    scaling: ClassVar[Scaling] = kept("alpha", "gamma", "weight")

    kind: Literal["task-aligned"]
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.25
    gamma: Weight = 2.0
    weight: Weight = 1.0
    normaliser: Normaliser | None = None
    on: On = "class"


class L1(Option):
    """(Smooth) L1 on the box code.

    Attributes:
        beta: 0 is L1.
        weight: of the loss.
        normaliser: what it is divided by, see below.
    """

    target: ClassVar[str] = "detbench.stages.supervision.localisation:L1"
    scaling: ClassVar[Scaling] = kept("beta", "weight")

    kind: Literal["l1"]
    beta: Weight = 0.0
    weight: Weight = 1.0
    normaliser: Normaliser | None = None


class Giou(Option):
    """Generalised IoU loss on decoded boxes, each positive weighted.

    Attributes:
        weighting: ``centerness`` of the target, the detached class ``score``, the ``iou`` of the
            predicted box (PAA), the soft ``target``, or centre-ness while there is none (TOOD), or
            ``none``.
        weight: of the loss.
        distribution_weight: weight of the distribution focal loss (GFL, eq. 6).
        least: the sum of the positives' weights is taken to be at least this.
        normaliser: what it is divided by, see below; where there is a weighting, ``weights``
            unless given.
        on: what the weighting ``score`` takes: the probability of the ``class``, or the ``score``
            that ranks (GFLv2).
    """

    target: ClassVar[str] = "detbench.stages.supervision.localisation:Giou"
    added: ClassVar[frozenset[str]] = frozenset({"on"})
    scaling: ClassVar[Scaling] = kept("weight", "distribution_weight", "least")

    kind: Literal["giou"]
    weighting: Literal["centerness", "score", "iou", "target", "none"] = "none"
    weight: Weight = 1.0
    distribution_weight: Weight = 0.0
    least: Weight = 1.0
    normaliser: Normaliser | None = None
    on: On = "class"


class QualityLoss(Option):
    """Binary cross-entropy on a positive's third output.

    Attributes:
        task: whose tower predicts it.
        weight: of the loss.
        normaliser: what it is divided by, see below.
    """

    beside: ClassVar[frozenset[str]] = frozenset({"task"})
    scaling: ClassVar[Scaling] = kept("weight")

    kind: str
    task: Literal["cls", "loc"] = "loc"
    weight: Weight = 1.0
    normaliser: Normaliser | None = None


class Centerness(QualityLoss):
    """Binary cross-entropy on centre-ness (FCOS, eq. 3)."""

    target: ClassVar[str] = "detbench.stages.supervision.quality:Centerness"
    scaling: ClassVar[Scaling] = kept("weight")

    kind: Literal["centerness"]


class IouQuality(QualityLoss):
    """Binary cross-entropy on the predicted box's IoU with its object (ATSS with IoU, DDOD)."""

    target: ClassVar[str] = "detbench.stages.supervision.quality:Iou"
    scaling: ClassVar[Scaling] = kept("weight")

    kind: Literal["iou"]


Quality = Annotated[Centerness | IouQuality, Field(discriminator="kind")]
ClsLoss = Annotated[Focal | QualityFocal | TaskAlignedFocal | Custom, Field(discriminator="kind")]
LocLoss = Annotated[L1 | Giou | Custom, Field(discriminator="kind")]


class LinearLevels(Option):
    """Factors equally spaced from the finest level to the coarsest (DDOD, Table 2).

    Attributes:
        first: of the finest.
        last: of the coarsest.
    """

    target: ClassVar[str] = "detbench.stages.supervision.levels:Linear"
    scaling: ClassVar[Scaling] = kept("first", "last")

    kind: Literal["linear"]
    first: Weight = 1.0
    last: Weight = 2.0


class CountedLevels(Option):
    """Factors by how many positives each level has.

    Attributes:
        totals: positives of all batches so far, or of each batch alone.
        synchronise: those of all processes, or each process's own, as the released code does.
    """

    scaling: ClassVar[Scaling] = {}

    kind: str
    totals: bool = True
    synchronise: bool = True


class SumLevels(CountedLevels):
    """2 less the share of all positives that a level has (DDOD, section 5.4.3)."""

    target: ClassVar[str] = "detbench.stages.supervision.levels:Sum"
    scaling: ClassVar[Scaling] = {}

    kind: Literal["sum"]


class InterpolatedLevels(CountedLevels):
    """From 1 for the level with most positives to 2 for that with fewest (DDOD, eqs. 3 and 4)."""

    target: ClassVar[str] = "detbench.stages.supervision.levels:Interpolated"
    scaling: ClassVar[Scaling] = {}

    kind: Literal["interpolate"]


Levels = Annotated[
    LinearLevels | SumLevels | InterpolatedLevels | Custom, Field(discriminator="kind")
]


class DenseSupervision(Spec):
    """Losses of a dense detector.

    Attributes:
        cls, loc: of each task.
        quality: of the optional third output.
        joint: one criterion in place of both tasks' losses.
    """

    scaling: ClassVar[Scaling] = {}

    cls: ClsLoss | None = None
    loc: LocLoss | None = None
    quality: Quality | None = None
    joint: Custom | None = None

    @model_validator(mode="after")
    def _apart_or_joint(self) -> Self:
        if (self.joint is None) == (self.cls is None and self.loc is None):
            raise ValueError("give 'cls' and 'loc', or 'joint'")
        return self


class Auxiliary(Spec):
    """A further supervision of the same outputs, of one task or of both.

    Attributes:
        assignment, supervision: as the detector's own.
    """

    scaling: ClassVar[Scaling] = {}

    assignment: PerTaskSpec[Assignment]
    supervision: DenseSupervision
