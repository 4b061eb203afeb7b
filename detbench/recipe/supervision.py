"""Schemas of what teaches a dense detector: losses, factors of levels, auxiliary supervision."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from detbench.recipe.assignment import Assignment, CenterPrior
from detbench.recipe.base import Custom, Option, PerTaskSpec, Spec
from detbench.recipe.model import Weight
from detbench.recipe.scaling import Scaling, kept

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
        on: the probability of the ``class``, or the ``score`` that ranks (DeFCN).
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


class OverlapLoss(Option):
    """A loss on how decoded boxes overlap their objects, each positive weighted.

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

    added: ClassVar[frozenset[str]] = frozenset({"on"})
    scaling: ClassVar[Scaling] = kept("weight", "distribution_weight", "least")

    kind: str
    weighting: Literal["centerness", "score", "iou", "target", "none"] = "none"
    weight: Weight = 1.0
    distribution_weight: Weight = 0.0
    least: Weight = 1.0
    normaliser: Normaliser | None = None
    on: On = "class"


class Giou(OverlapLoss):
    """Generalised IoU loss on decoded boxes (Rezatofighi et al. 2019)."""

    target: ClassVar[str] = "detbench.stages.supervision.localisation:Giou"
    scaling: ClassVar[Scaling] = kept("weight", "distribution_weight", "least")

    kind: Literal["giou"]


class Diou(OverlapLoss):
    """Distance IoU loss on decoded boxes (Zheng et al. 2020): how far centres are apart too."""

    target: ClassVar[str] = "detbench.stages.supervision.localisation:Diou"
    scaling: ClassVar[Scaling] = kept("weight", "distribution_weight", "least")

    kind: Literal["diou"]


class Ciou(OverlapLoss):
    """Complete IoU loss on decoded boxes (Zheng et al. 2020): centres and aspects too."""

    target: ClassVar[str] = "detbench.stages.supervision.localisation:Ciou"
    scaling: ClassVar[Scaling] = kept("weight", "distribution_weight", "least")

    kind: Literal["ciou"]


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
LocLoss = Annotated[L1 | Giou | Diou | Ciou | Custom, Field(discriminator="kind")]


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


class AutoAssign(Option):
    """Weights inside the logarithm (AutoAssign, eqs. 2 to 8): an object's loss is that of the
    weighted mean of its places' probabilities. Both tasks have one assignment.

    Attributes:
        positive, negative, center: weights of the objects' loss, of the places' as background, and
            of that of the prior's sum.
        box: exponent of the localisation probability exp(-GIoU loss).
        sharpness: how much more sure places count.
        gamma: exponent of the score that modulates negatives.
    """

    target: ClassVar[str] = "detbench.stages.supervision.joint:AutoAssign"
    scaling: ClassVar[Scaling] = kept("positive", "negative", "center", "box", "sharpness", "gamma")

    kind: Literal["autoassign"]
    positive: Weight = 0.25
    negative: Weight = 0.75
    center: Weight = 0.75
    box: Weight = 5.0
    sharpness: Weight = 3.0
    gamma: Weight = 2.0


class DualWeighting(Option):
    """Weights outside the logarithm, of positives and of negatives apart (DW, section 3).

    Attributes:
        weight: of the positives' losses.
        beta: exponent of the localisation probability exp(-GIoU loss).
        mu: of a positive's weight exp(mu t) t, t = score times localisation probability.
        nu: of that in the sum that weights are divided by; the text has mu there too, the released
            code 3.
        gamma1, gamma2: exponents of IoU and score in a negative's weight.
    """

    target: ClassVar[str] = "detbench.stages.supervision.joint:DualWeighting"
    scaling: ClassVar[Scaling] = kept("weight", "beta", "mu", "nu", "gamma1", "gamma2")

    kind: Literal["dual-weighting"]
    weight: Weight = 0.25
    beta: Weight = 5.0
    mu: Weight = 5.0
    nu: Weight = 3.0
    gamma1: Annotated[float, Field(gt=0)] = 2.0
    gamma2: Weight = 2.0


Joint = Annotated[
    AutoAssign | DualWeighting | Custom,
    Field(discriminator="kind"),
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
    joint: Joint | None = None

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

    @model_validator(mode="after")
    def _joint_fits(self) -> Self:
        check_joint(self.assignment, self.supervision)
        return self


def check_joint(assignment: PerTaskSpec[Assignment], supervision: DenseSupervision) -> None:
    """Raise ``ValueError`` where a joint criterion is missing, or has two assignments for one."""
    if isinstance(supervision.joint, AutoAssign) and not assignment.shared:
        raise ValueError("assignment: 'autoassign' has one for both tasks; give assignment.both")
    for task in ("both", "cls", "loc"):
        option = getattr(assignment, task)
        if isinstance(option, CenterPrior) and option.learnt and supervision.joint is None:
            raise ValueError(
                f"assignment.{task}: only supervision.joint teaches a prior; set learnt = false"
            )
