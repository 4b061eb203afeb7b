"""Schemas of RoI (two-stage) detectors: proposals, and their options of the five stages."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from detbench.recipe.base import Custom, PerTaskSpec, Spec
from detbench.recipe.model import Anchors, Fraction, Positive
from detbench.recipe.stages import Level, Weight

Stds = tuple[float, float, float, float]


class Rpn(Spec):
    """Region proposal network (Ren et al. 2015).

    Attributes:
        channels: of its 3x3 convolution.
        positive, negative, min_positive: IoU thresholds of its assignment.
        samples, fraction: anchors per image in its loss, and the largest share of positives.
        border: anchors that leave their image, without its padding, by more pixels than this teach
            nothing; none keeps all.
        beta: of the smooth L1 on its boxes; 0 is L1.
        train_candidates, test_candidates: best anchors of each level before NMS.
    """

    channels: Positive = 256
    anchors: Anchors = Anchors(kind="anchors", size=8.0, ratios=(0.5, 1.0, 2.0))
    positive: Fraction = 0.7
    negative: Fraction = 0.3
    min_positive: Fraction = 0.3
    samples: Positive = 256
    fraction: Fraction = 0.5
    border: Weight | None = None
    beta: Weight = 0.0
    train_candidates: Positive = 2000
    test_candidates: Positive = 1000


class Own(Spec):
    """An own copy of the network for the task from a stride upwards (TSD, Figure 3 and Table 1).

    Attributes:
        stride: of the last shared map: 8 copies C4, C5 and the pyramid, 16 copies C5 and the
            pyramid, 32 the pyramid alone.
    """

    kind: Literal["own"]
    stride: Literal[8, 16, 32]


RoiFeatures = Annotated[Level | Own | Custom, Field(discriminator="kind")]


class RoiAlign(Spec):
    """RoIAlign on the level of the proposal's size (He et al. 2017).

    Attributes:
        size: side of the pooled map.
        scale: proposals are enlarged by this about their centre first (Double-Head's code: 1.3).
    """

    kind: Literal["roi-align"]
    size: Positive = 7
    scale: Annotated[float, Field(gt=0)] = 1.0


class Pointwise(Spec):
    """A learnt shift of every bin: deformable RoI pooling (TSD, eq. 5 and 6).

    Attributes:
        size: side of the pooled map.
        gamma: share of the proposal's sides by which an output of 1 shifts.
        hidden: width of the network that predicts the shifts.
        rounding: round proposals to whole pixels of the map, as TSD's released code does.
    """

    kind: Literal["pointwise"]
    size: Positive = 7
    gamma: Annotated[float, Field(gt=0)] = 0.1
    hidden: Positive = 256
    rounding: bool = False


class Translated(Spec):
    """One learnt shift of the whole proposal (TSD, eq. 3 and 4); fields as in ``Pointwise``."""

    kind: Literal["translated"]
    size: Positive = 7
    gamma: Annotated[float, Field(gt=0)] = 0.1
    hidden: Positive = 256
    rounding: bool = False


RoiSampling = Annotated[RoiAlign | Pointwise | Translated | Custom, Field(discriminator="kind")]


class RandomSampler(Spec):
    """``count`` proposals per image, at most ``fraction`` of them positive, the rest background."""

    kind: Literal["random"]
    count: Positive = 512
    fraction: Fraction = 0.25
    add_ground_truth: bool = True


class PositiveSampler(Spec):
    """Positives only, up to ``count`` per image (Decoupled R-CNN's code)."""

    kind: Literal["positive"]
    count: Positive = 512
    add_ground_truth: bool = False


class Proposals(Spec):
    """Which proposals teach a task (Decoupled R-CNN, section IV).

    Attributes:
        nms: IoU above which the lower-scored proposal is dropped.
        train_count, test_count: proposals per image after NMS.
        positive, negative: IoU thresholds.
    """

    kind: Literal["proposals"]
    nms: Fraction = 0.7
    train_count: Positive = 1000
    test_count: Positive = 1000
    positive: Fraction = 0.5
    negative: Fraction = 0.5
    sampler: Annotated[RandomSampler | PositiveSampler, Field(discriminator="kind")] = (
        RandomSampler(kind="random")
    )


RoiAssignment = Annotated[Proposals | Custom, Field(discriminator="kind")]


class Fc(Spec):
    """``depth`` fully connected layers with ReLU."""

    kind: Literal["fc"]
    depth: Positive = 2
    channels: Positive = 1024


class Conv(Spec):
    """Residual convolutions, then the average over the map (Double-Head, Figure 5).

    Attributes:
        blocks: residual blocks, the first of which widens to ``channels``.
        non_local: a non-local block before every block but the first.
        channels: of the result.
    """

    kind: Literal["conv"]
    blocks: Positive = 3
    non_local: bool = False
    channels: Positive = 1024


class Res5(Spec):
    """The backbone's last stage on 14x14 RoIs, then the average (Faster R-CNN on C4)."""

    kind: Literal["res5"]


RoiHead = Annotated[Fc | Conv | Res5 | Custom, Field(discriminator="kind")]


class CrossEntropy(Spec):
    """Softmax cross-entropy over the classes and background."""

    kind: Literal["cross-entropy"]
    weight: Weight = 1.0


class BoxLoss(Spec):
    """(Smooth) L1 on box deltas.

    Attributes:
        beta: 0 is L1.
        class_agnostic: one box per proposal instead of one per class.
        background: the layer has a box for background too, which nothing teaches or reads
            (MMDetection 1.x).
        stds: of the deltas.
        normaliser: proposals the sum is divided by: the task's own ``sampled`` ones, or those of
            ``both`` tasks' sets (Decoupled R-CNN's code).
    """

    kind: Literal["box"]
    beta: Weight = 0.0
    weight: Weight = 1.0
    class_agnostic: bool = False
    background: Literal[True] | None = None
    stds: Stds = (0.1, 0.1, 0.2, 0.2)
    normaliser: Literal["sampled", "both"] = "sampled"

    @model_validator(mode="after")
    def _one_box_has_no_class(self) -> Self:
        if self.background and self.class_agnostic:
            raise ValueError("give 'background' or 'class_agnostic', not both")
        return self

    def outputs(self, classes: int) -> int:
        """Numbers that the box layer predicts for each proposal."""
        return 4 if self.class_agnostic else 4 * (classes + bool(self.background))


class Unfocused(Spec):
    """Each task's head also does the other task (Double-Head-Ext, section 4.2).

    Attributes:
        cls: weight of the classification loss of the loc head.
        loc: weight of the box loss of the cls head.
    """

    cls: Weight
    loc: Weight


class ProgressiveConstraint(Spec):
    """The main branch must beat its sibling by a margin (TSD, eq. 7 and 8), for each task that has
    one.
    """

    cls_margin: Weight | None = None
    loc_margin: Weight | None = None


class RoiSupervision(Spec):
    """Losses of a branch."""

    cls: CrossEntropy = CrossEntropy(kind="cross-entropy")
    loc: BoxLoss = BoxLoss(kind="box")
    unfocused: Unfocused | None = None
    constraint: ProgressiveConstraint | None = None

    @field_validator("unfocused")
    @classmethod
    def _weightless(cls, given: Unfocused | None) -> Unfocused | None:
        """Unfocused tasks without weight are none (Double-Head as a case of its extension)."""
        return None if given is not None and given.cls == given.loc == 0 else given


class Branch(Spec):
    """A second branch, trained beside the main one and dropped at test (TSD's sibling head)."""

    sampling: PerTaskSpec[RoiSampling]
    heads: PerTaskSpec[RoiHead]
    supervision: RoiSupervision = RoiSupervision()


class Round(Spec):
    """One more round on refined boxes (Cascade R-CNN; Decoupled R-CNN's cascaded regression).

    Attributes:
        tasks: ``loc`` refines only; ``both`` classifies again.
        positive: IoU threshold.
        weight: of the round's losses.
        heads: as in the main branch; ``both`` is also given for a loc-only round.
    """

    tasks: Literal["loc", "both"] = "loc"
    positive: Fraction = 0.5
    weight: Weight = 1.0
    heads: PerTaskSpec[RoiHead]
    sampling: PerTaskSpec[RoiSampling] | None = None
    loc: BoxLoss = BoxLoss(kind="box", class_agnostic=True)


class Readout(Spec):
    """Which head answers which task at test.

    Attributes:
        cls: the ``cls`` head's scores, the ``loc`` head's, or both fused (Double-Head, Table 3).
        loc: whose boxes.
        cls_rounds: rounds whose scores are averaged; 1 is the main branch.
        average: of their ``probabilities``, or of ``logits`` before softmax (MMDetection's Cascade
            R-CNN).
        loc_round: round whose boxes are taken; none is the last.
    """

    cls: Literal["cls", "loc", "max", "average", "complementary"] = "cls"
    loc: Literal["loc", "cls"] = "loc"
    cls_rounds: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1,)
    average: Literal["probabilities", "logits"] = "probabilities"
    loc_round: Positive | None = None


class RoiInference(Spec):
    """Test-time settings of an RoI detector.

    Attributes:
        score_threshold: (proposal, class) pairs must score higher.
        nms: IoU above which the lower-scored box of the same class is dropped.
        soft: linear soft-NMS (Bodla et al. 2017) instead, with this lowest score; none is hard NMS.
        max_detections: per image.
    """

    score_threshold: Fraction = 0.05
    nms: Annotated[float, Field(gt=0, le=1)] = 0.5
    soft: Fraction | None = None
    max_detections: Positive = 100
