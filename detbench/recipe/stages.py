"""Schemas of the options of the five stages, as tagged unions on ``kind``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from detbench.recipe.base import Custom, Option, Spec
from detbench.recipe.model import Fraction, Init, Positive
from detbench.recipe.scaling import Scaling, kept

Weight = Annotated[float, Field(ge=0)]

# --- features: which maps a task reads -----------------------------------------------------------


class Level(Option):
    """The pyramid level itself."""

    target: ClassVar[str] = "detbench.stages.features.level:Level"
    scaling: ClassVar[Scaling] = {}

    kind: Literal["level"]


class Sce(Option):
    """Semantic context encoding (TSCODE, eq. 3): the level at half its resolution, beside the next.

    Attributes:
        down: how the level is halved.
        kernel: of the halving operation, stride 2.
        next_level: concatenate P_{l+1}.
        norm, conv_bias, init: of the convolution; the host head's.
    """

    target: ClassVar[str] = "detbench.stages.features.sce:Sce"
    scaling: ClassVar[Scaling] = {"init": "init", **kept("kernel")}

    kind: Literal["sce"]
    down: Literal["conv", "avg", "max"] = "conv"
    kernel: Literal[3, 5, 7] = 3
    next_level: bool = True
    norm: Literal["gn", "none"] = "gn"
    conv_bias: bool = False
    init: Init | None = None


class Dpe(Option):
    """Detail-preserving encoding (TSCODE, eq. 5 and Table 3): a sum over a subset of levels.

    Attributes:
        levels: offsets from l: -1 is the finer level through the strided convolution, 0 the level
            itself, 1 and 2 the coarser ones, up-sampled. Their order does not matter.
        norm, conv_bias, init: of the strided convolution; the host head's.
    """

    target: ClassVar[str] = "detbench.stages.features.dpe:Dpe"
    scaling: ClassVar[Scaling] = {"init": "init", **kept("levels")}

    kind: Literal["dpe"]
    levels: Annotated[tuple[Literal[-1, 0, 1, 2], ...], Field(min_length=1)] = (-1, 0, 1)
    norm: Literal["gn", "none"] = "gn"
    conv_bias: bool = False
    init: Init | None = None

    @field_validator("levels")
    @classmethod
    def _sorted(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(levels)) < len(levels):
            raise ValueError("a level is given twice")
        return tuple(sorted(levels))


class Ssh(Option):
    """The level through three fields of view, of 3, 5 and 7 cells (SSH, Najibi et al. 2017).

    Attributes:
        norm, conv_bias, init: of the convolutions; the host head's.
    """

    target: ClassVar[str] = "detbench.stages.features.ssh:Ssh"
    scaling: ClassVar[Scaling] = {"init": "init"}

    kind: Literal["ssh"]
    norm: Literal["gn", "none"] = "gn"
    conv_bias: bool = False
    init: Init | None = None


Features = Annotated[Level | Sce | Dpe | Ssh | Custom, Field(discriminator="kind")]

# --- sampling: where a task looks -----------------------------------------------------------------


class Regular(Spec):
    """Plain convolutions."""

    scaling: ClassVar[Scaling] = {}
    convs: ClassVar[tuple[int, ...]] = ()

    kind: Literal["regular"]


class Deformable(Spec):
    """Deformable convolution (v1) at some positions of the tower (DDOD, Table 3).

    Attributes:
        convs: 0-based positions.
    """

    scaling: ClassVar[Scaling] = kept("convs")

    kind: Literal["deformable"]
    convs: tuple[Annotated[int, Field(ge=0)], ...] = (0,)


Sampling = Annotated[Regular | Deformable, Field(discriminator="kind")]

# --- assignment: which candidates teach a task ----------------------------------------------------


class IouAssignment(Option):
    """IoU thresholds (Faster R-CNN's RPN, RetinaNet); between the two a candidate is ignored.

    Attributes:
        positive: IoU from which on a candidate has an object.
        negative: IoU below which it is background.
        min_positive: IoU that an object's best candidates must reach.
        match_low_quality: each object has its best candidates too.
    """

    target: ClassVar[str] = "detbench.stages.assignment.iou:IouAssigner"
    scaling: ClassVar[Scaling] = kept("positive", "negative", "min_positive")

    kind: Literal["iou"]
    positive: float = 0.5
    negative: float = 0.4
    min_positive: float = 0.0
    match_low_quality: bool = True


class FcosAssignment(Option):
    """Points inside an object's centre whose longest distance fits the level (FCOS, section 3.2).

    Attributes:
        radius: half side of the centre box in strides; 0 takes the whole box.
        range_factor: a level of stride s is responsible for distances in
            [range_factor/2 x s, range_factor x s]; the first from 0, the last to infinity.
    """

    target: ClassVar[str] = "detbench.stages.assignment.fcos:FcosAssigner"
    scaling: ClassVar[Scaling] = {"range_factor": "anchors", **kept("radius")}

    kind: Literal["fcos"]
    radius: Weight = 1.5
    range_factor: Annotated[float, Field(gt=0)] = 8.0


class AtssAssignment(Option):
    """A threshold that adapts to each object (ATSS, algorithm 1).

    Attributes:
        top_k: nearest anchors of every level, over which it is computed.
    """

    target: ClassVar[str] = "detbench.stages.assignment.atss:AtssAssigner"
    scaling: ClassVar[Scaling] = kept("top_k")

    kind: Literal["atss"]
    top_k: Positive = 9


class CostAssignment(Option):
    """Predictions that fit an object in class and box, by a threshold that adapts (DDOD, eq. 1).

    Attributes:
        alpha: exponent of the predicted box's IoU with the object; 1 - alpha is that of the
            probability of its class.
        top_k: nearest anchors of every level, over which the threshold is computed.
    """

    target: ClassVar[str] = "detbench.stages.assignment.cost:CostAssigner"
    scaling: ClassVar[Scaling] = kept("alpha", "top_k")

    kind: Literal["cost"]
    alpha: Fraction = 0.8
    top_k: Positive = 9


class TaskAlignedAssignment(Option):
    """Predictions that are aligned best with an object, with soft targets; before, ATSS (TOOD).

    Attributes:
        top_k: predictions of each object, over all levels.
        alpha: exponent of the score of its class in the alignment.
        beta: exponent of the predicted box's IoU with it.
        warmup: epochs at the beginning in which ATSS assigns, without soft targets.
        warmup_top_k: ATSS's nearest anchors of every level.
    """

    target: ClassVar[str] = "detbench.stages.assignment.task_aligned:TaskAlignedAssigner"
    scaling: ClassVar[Scaling] = {
        "warmup": "epochs",
        **kept("top_k", "alpha", "beta", "warmup_top_k"),
    }

    kind: Literal["task-aligned"]
    top_k: Positive = 13
    alpha: Weight = 1.0
    beta: Weight = 6.0
    warmup: Weight = 4.0
    warmup_top_k: Positive = 9


class MixtureAssignment(Option):
    """Candidates whose loss lies in the better of two Gaussians fitted to an object's (PAA).

    Attributes:
        iou: with an object from which on an anchor is one of its candidates; its best are, too.
        top_k: of each level, the candidates of least loss that are fitted.
        alpha, gamma: of the focal loss among an object's losses.
        loc_weight: of the GIoU loss beside it.
        iterations: of the fit, at most.
    """

    target: ClassVar[str] = "detbench.stages.assignment.mixture:MixtureAssigner"
    scaling: ClassVar[Scaling] = kept("iou", "top_k", "alpha", "gamma", "loc_weight", "iterations")

    kind: Literal["mixture"]
    iou: Fraction = 0.1
    top_k: Positive = 9
    alpha: Fraction = 0.25
    gamma: Weight = 2.0
    loc_weight: Weight = 1.3
    iterations: Positive = 100


class CenterPrior(Option):
    """All places inside an object, by a Gaussian of their distance to its centre in strides.

    A place may have several objects, which a joint criterion takes all; other losses take that of
    the largest prior, and a positive counts by it (AutoAssign, eq. 5; DW, section 3.3).

    Attributes:
        sigma: deviation, to start with.
        learnt: mean and deviation of each class are trained, which only a joint criterion does.
        threshold: priors above it are 1, all others next to nothing; none keeps them.
    """

    target: ClassVar[str] = "detbench.stages.assignment.center:CenterPrior"
    scaling: ClassVar[Scaling] = kept("sigma", "threshold")

    kind: Literal["center-prior"]
    sigma: Annotated[float, Field(gt=0)] = 1.0
    learnt: bool = True
    threshold: Fraction | None = None


Assignment = Annotated[
    IouAssignment
    | FcosAssignment
    | AtssAssignment
    | CostAssignment
    | TaskAlignedAssignment
    | MixtureAssignment
    | CenterPrior
    | Custom,
    Field(discriminator="kind"),
]

# --- heads: with which layers ---------------------------------------------------------------------


class Convs(Option):
    """``depth`` 3x3 convolutions, each with norm and ReLU.

    Attributes:
        depth: how many.
        channels: width of the tower.
        norm: ``gn`` is GroupNorm with 32 groups.
        conv_bias: a bias beside the norm too; without a norm there always is one.
        init: of the convolutions.
    """

    scaling: ClassVar[Scaling] = {"channels": "channels", "init": "init", **kept("depth")}

    kind: str
    depth: Annotated[int, Field(ge=0)] = 4
    channels: Positive = 256
    norm: Literal["gn", "none"] = "gn"
    conv_bias: bool = False
    init: Init | None = None


class Tower(Convs):
    """``depth`` 3x3 convolutions, each with norm and ReLU, then a 3x3 prediction convolution."""

    target: ClassVar[str] = "detbench.stages.heads.tower:Tower"
    scaling: ClassVar[Scaling] = {"channels": "channels", "init": "init", **kept("depth")}

    kind: Literal["tower"]


class Interactive(Convs):
    """A tower all of whose layers are read, side by side (TOOD, section 3.1).

    Attributes:
        depth: how many, 1 or more.
    """

    target: ClassVar[str] = "detbench.stages.heads.interactive:Interactive"
    scaling: ClassVar[Scaling] = {"channels": "channels", "init": "init", **kept("depth")}

    kind: Literal["interactive"]
    depth: Positive = 6


Head = Annotated[Tower | Interactive | Custom, Field(discriminator="kind")]

# --- score: what boxes are ranked by --------------------------------------------------------------

Select = Literal["class", "score"]


class Ranking(Option):
    """How a score is made of the class probability and the extra outputs'.

    Attributes:
        select: what the score threshold and the best of each level are taken by: the probability
            of the ``class``, or the ``score``.
    """

    scaling: ClassVar[Scaling] = {}

    kind: str
    select: Select


class ProductScore(Ranking):
    """Class probability times those of the extra outputs (FCOS, section 3.3)."""

    target: ClassVar[str] = "detbench.stages.score:Product"
    scaling: ClassVar[Scaling] = {}

    kind: Literal["product"]
    select: Select = "class"


class GeometricScore(Ranking):
    """Their geometric mean (PAA, section 3.4)."""

    target: ClassVar[str] = "detbench.stages.score:Geometric"
    scaling: ClassVar[Scaling] = {}

    kind: Literal["geometric"]
    select: Select = "score"


Score = Annotated[ProductScore | GeometricScore | Custom, Field(discriminator="kind")]
