"""Schemas of assignment in dense detectors: which candidates teach a task."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from detbench.recipe.base import Custom, Option, Revision
from detbench.recipe.model import Fraction, Positive, Weight
from detbench.recipe.scaling import Scaling, kept


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
        top_k: so many candidates of every level, over which the threshold is computed.
        among: which: those with the ``nearest`` anchors, or the ``best`` predictions (DDOD's text,
            DeFCN's auxiliary loss), of which a positive is anywhere inside, where of the others it
            is by 0.01 pixels.
    """

    target: ClassVar[str] = "detbench.stages.assignment.cost:CostAssigner"
    scaling: ClassVar[Scaling] = kept("alpha", "top_k")
    added: ClassVar[frozenset[str]] = frozenset({"among"})
    revisions: ClassVar[tuple[Revision, ...]] = (
        Revision(
            "2026-11-27",
            "among the best, places within 0.01 pixels of an object's edge were no positives",
            lambda option: option.among == "best",
        ),
    )

    kind: Literal["cost"]
    alpha: Fraction = 0.8
    top_k: Positive = 9
    among: Literal["nearest", "best"] = "nearest"


class TransportAssignment(Option):
    """Optimal transport of objects and background to places (OTA, section 3).

    An object without a place in its centre may have any.

    Attributes:
        radius: half side of the square around an object's centre in strides, cut to the object; 0
            takes the whole object.
        top: an object supplies as many positives as the IoUs of so many best predictions add up to.
        loc_weight: what -log IoU counts beside the focal loss.
        alpha, gamma: of that focal loss.
        epsilon: how much the entropy of the plan counts; below 0.001 float32 does not tell the
            plan's logarithms apart.
        iterations: of Sinkhorn's algorithm.
    """

    target: ClassVar[str] = "detbench.stages.assignment.transport:TransportAssigner"
    scaling: ClassVar[Scaling] = kept(
        "radius", "top", "loc_weight", "alpha", "gamma", "epsilon", "iterations"
    )
    revisions: ClassVar[tuple[Revision, ...]] = (
        Revision("2026-11-27", "an object without a candidate reached near places alone"),
    )

    kind: Literal["transport"]
    radius: Weight = 2.5
    top: Positive = 20
    loc_weight: Weight = 1.5
    alpha: Fraction = 0.25
    gamma: Weight = 2.0
    epsilon: Annotated[float, Field(ge=1e-3)] = 0.1
    iterations: Positive = 50


class OneToOneAssignment(Option):
    """One place for each object, by predictions (DeFCN, eqs. 3 to 5).

    Attributes:
        alpha: exponent of the predicted box's IoU with the object; 1 - alpha is that of the score.
        radius: half side of the square around an object's centre in strides, cut to the object; 0
            takes the whole object.
        match: ``hungarian`` is the best match in all, for which a training step waits for a GPU
            once, and an object without a place in its centre has the first that is left; ``argmax``
            each object's best place, and of several objects the better one keeps it.
    """

    target: ClassVar[str] = "detbench.stages.assignment.one_to_one:OneToOneAssigner"
    scaling: ClassVar[Scaling] = kept("alpha", "radius")
    revisions: ClassVar[tuple[Revision, ...]] = (
        Revision(
            "2026-11-27",
            "an object without a candidate had the nearest place, not the first that was left",
            lambda option: option.match == "hungarian",
        ),
    )

    kind: Literal["one-to-one"]
    alpha: Fraction = 0.8
    radius: Weight = 1.5
    match: Literal["hungarian", "argmax"] = "hungarian"


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
        sigma: deviation, to start with; below 0.001 strides only a place at the very centre counts,
            and the code's least spread is reached.
        learnt: mean and deviation of each class are trained, which only a joint criterion does.
        threshold: priors above it are 1, all others next to nothing; none keeps them.
    """

    target: ClassVar[str] = "detbench.stages.assignment.center:CenterPrior"
    scaling: ClassVar[Scaling] = kept("sigma", "threshold")

    kind: Literal["center-prior"]
    sigma: Annotated[float, Field(ge=1e-3)] = 1.0
    learnt: bool = True
    threshold: Fraction | None = None


Assignment = Annotated[
    IouAssignment
    | FcosAssignment
    | AtssAssignment
    | CostAssignment
    | TransportAssignment
    | OneToOneAssignment
    | TaskAlignedAssignment
    | MixtureAssignment
    | CenterPrior
    | Custom,
    Field(discriminator="kind"),
]
