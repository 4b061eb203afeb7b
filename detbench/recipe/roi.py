"""Schemas of RoI (two-stage) detectors: their options of the stages but of ``assignment``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from detbench.recipe.base import Custom, Option, PerTaskSpec, Spec
from detbench.recipe.model import Cells, Depth, Fraction, Positive, Views, Weight, Width
from detbench.recipe.scaling import Scaling, kept

Stds = tuple[float, float, float, float]


class SharedLevel(Option):
    """The detector's one pyramid."""

    target: ClassVar[str] = "detbench.stages.features.own:Shared"
    scaling: ClassVar[Scaling] = {}

    kind: Literal["level"]


class Own(Option):
    """An own copy of the network for the task from a stride upwards (TSD, Figure 3 and Table 1).

    Attributes:
        stride: of the last shared map: 8 copies C4, C5 and the pyramid, 16 copies C5 and the
            pyramid, 32 the pyramid alone.
    """

    target: ClassVar[str] = "detbench.stages.features.own:Own"
    scaling: ClassVar[Scaling] = kept("stride")

    kind: Literal["own"]
    stride: Literal[8, 16, 32]


RoiFeatures = Annotated[SharedLevel | Own | Custom, Field(discriminator="kind")]


class RoiAlign(Option):
    """RoIAlign on the level of the proposal's size (He et al. 2017).

    Attributes:
        size: side of the pooled map.
        scale: proposals are enlarged by this about their centre first (Double-Head's code: 1.3).
        samples: points along a bin's side; none takes one for each cell that it covers.
        aligned: false reads half a cell to the right and below, as RoIAlign did at first
            (MMDetection 1.x, maskrcnn-benchmark).
        last_pixel: regions end a pixel before their right and lower edge (maskrcnn-benchmark, whose
            boxes name their last pixel, and whose RoIAlign takes it for the edge).
    """

    target: ClassVar[str] = "detbench.stages.sampling.align:Align"
    scaling: ClassVar[Scaling] = {"size": "pool", **kept("scale", "samples")}

    kind: Literal["roi-align"]
    size: Cells = 7
    scale: Annotated[float, Field(gt=0)] = 1.0
    samples: Cells | None = None
    aligned: Literal[False] | None = None
    last_pixel: Literal[True] | None = None


LinearInit = Literal["xavier-uniform", "kaiming-normal", "kaiming-uniform", "default"]
"""How linear layers start, see ``detbench.stages.initial``."""

OutputInit = Annotated[float, Field(gt=0)] | Literal["default"]
"""How layers that predict start: normal with this deviation, or as PyTorch's."""


class Reads(Spec):
    """How the plain feature that shift networks read is pooled.

    Attributes:
        samples, aligned: as in ``roi-align``.
    """

    scaling: ClassVar[Scaling] = kept("samples")

    samples: Cells | None = None
    aligned: Literal[False] | None = None


class Shifting(Option):
    """What regions that a small network shifts have in common.

    Attributes:
        size: side of the pooled map.
        gamma: share of the proposal's sides by which an output of 1 shifts.
        hidden: width of the network that predicts the shifts.
        samples: points along a bin's side; a light profile's bins have fewer, as they are smaller.
        pooling: ``aligned`` as RoIAlign; ``whole-pixels`` as TSD's released code, which rounds
            proposals to whole pixels and reads each bin at the left and top edges of its samples'
            shares.
        init: how that network starts; by default as released (``kaiming-normal``).
        reads: how the feature that it reads is pooled; by default as ``RoiAlign`` does.
    """

    beside: ClassVar[frozenset[str]] = frozenset({"reads"})
    scaling: ClassVar[Scaling] = {
        "size": "pool",
        "samples": "pool",
        "gamma": "shift",
        "hidden": "channels",
    }

    kind: str
    size: Cells = 7
    samples: Cells = 4
    gamma: Annotated[float, Field(gt=0)] = 0.1
    hidden: Width = 256
    pooling: Literal["aligned", "whole-pixels"] = "aligned"
    init: LinearInit | None = None
    reads: Reads | None = None


class Pointwise(Shifting):
    """A learnt shift of every bin: deformable RoI pooling (TSD, eq. 5 and 6)."""

    target: ClassVar[str] = "detbench.stages.sampling.shifted:Pointwise"
    scaling: ClassVar[Scaling] = Shifting.scaling

    kind: Literal["pointwise"]


class Translated(Shifting):
    """One learnt shift of the whole proposal (TSD, eq. 3 and 4)."""

    target: ClassVar[str] = "detbench.stages.sampling.shifted:Translated"
    scaling: ClassVar[Scaling] = Shifting.scaling

    kind: Literal["translated"]


RoiSampling = Annotated[RoiAlign | Pointwise | Translated | Custom, Field(discriminator="kind")]


class Fc(Option):
    """Fully connected layers with ReLU.

    Attributes:
        depth: how many.
        channels: width of each.
        init: how they start; by default ``xavier-uniform``, as in MMDetection.
    """

    target: ClassVar[str] = "detbench.stages.heads.fc:Fc"
    scaling: ClassVar[Scaling] = {"channels": "roi", **kept("depth")}

    kind: Literal["fc"]
    depth: Depth = 2
    channels: Width = 1024
    init: LinearInit | None = None


class Conv(Option):
    """Residual convolutions, then the average over the map (Double-Head, Figure 5).

    Attributes:
        blocks: residual blocks, the first of which widens to ``channels``.
        non_local: a non-local block before every block but the first.
        channels: of the result.
        init: how convolutions start: He's ``fan-out`` normal (the default), in the widening block
            alone (``fan-out-first``, MMDetection), or PyTorch's ``default`` (the authors' code).
    """

    target: ClassVar[str] = "detbench.stages.heads.conv:Conv"
    scaling: ClassVar[Scaling] = {"channels": "roi", **kept("blocks")}

    kind: Literal["conv"]
    blocks: Depth = 3
    non_local: bool = False
    channels: Width = 1024
    init: Literal["fan-out", "fan-out-first", "default"] | None = None


class Res5(Option):
    """The backbone's last stage on 14x14 RoIs, then the average (Faster R-CNN on C4)."""

    target: ClassVar[str] = "detbench.stages.heads.res5:Res5"
    scaling: ClassVar[Scaling] = {}

    kind: Literal["res5"]


RoiHead = Annotated[Fc | Conv | Res5 | Custom, Field(discriminator="kind")]


class CrossEntropy(Option):
    """Softmax cross-entropy over the classes and background.

    Attributes:
        weight: of the loss.
        init: how the layer that predicts starts; by default normal with a deviation of 0.01.
    """

    target: ClassVar[str] = "detbench.stages.supervision.roi:CrossEntropy"
    beside: ClassVar[frozenset[str]] = frozenset({"init"})
    scaling: ClassVar[Scaling] = kept("weight", "init")

    kind: Literal["cross-entropy"]
    weight: Weight = 1.0
    init: OutputInit | None = None


class BoxLoss(Option):
    """(Smooth) L1 on box deltas.

    Attributes:
        beta: 0 is L1.
        weight: of the loss.
        class_agnostic: one box per proposal instead of one per class.
        background: the layer has a box for background too, which nothing teaches or reads
            (MMDetection 1.x).
        stds: of the deltas.
        normaliser: proposals the sum is divided by: the task's own ``sampled`` ones, those of
            ``both`` tasks' sets (Decoupled R-CNN's code), or ``twice`` the task's own (there, in
            further rounds, where one set is left).
        init: how the layer that predicts starts; by default normal with a deviation of 0.001.
    """

    target: ClassVar[str] = "detbench.stages.supervision.roi:BoxLoss"
    beside: ClassVar[frozenset[str]] = frozenset(
        {"class_agnostic", "background", "stds", "normaliser", "init"}
    )
    scaling: ClassVar[Scaling] = kept("beta", "weight", "stds", "init")

    kind: Literal["box"]
    beta: Weight = 0.0
    weight: Weight = 1.0
    class_agnostic: bool = False
    background: Literal[True] | None = None
    stds: Stds = (0.1, 0.1, 0.2, 0.2)
    normaliser: Literal["sampled", "both", "twice"] = "sampled"
    init: OutputInit | None = None

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

    scaling: ClassVar[Scaling] = kept("cls", "loc")

    cls: Weight
    loc: Weight


class ProgressiveConstraint(Spec):
    """The main branch must beat its sibling by a margin (TSD, eq. 7 and 8), for each task that has
    one.

    Attributes:
        cls_margin: of the label's probability, a mean over all sampled proposals.
        loc_margin: of the IoU with the object, a mean over positives.
        without_positives: what an image without positives adds to the means: its proposals
            ``as-others`` (the default, the text), or ``one-zero`` to each (TSD's released code).
    """

    scaling: ClassVar[Scaling] = kept("cls_margin", "loc_margin")

    cls_margin: Weight | None = None
    loc_margin: Weight | None = None
    without_positives: Literal["as-others", "one-zero"] | None = None


class RoiSupervision(Spec):
    """Losses of a branch.

    Attributes:
        cls, loc: of each task.
        unfocused: of the other task, which each head does too; none where it does not.
        constraint: to the sibling.
    """

    scaling: ClassVar[Scaling] = {}

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
    """A second branch, trained beside the main one and dropped at test (TSD's sibling head).

    Attributes:
        sampling, heads, supervision: as the main branch's.
    """

    scaling: ClassVar[Scaling] = {}

    sampling: PerTaskSpec[RoiSampling]
    heads: PerTaskSpec[RoiHead]
    supervision: RoiSupervision = RoiSupervision()


class Round(Spec):
    """One more round on refined boxes (Cascade R-CNN; Decoupled R-CNN's cascaded regression).

    A proposal that the round before has shifted is refined from where it is then (TSD's code).

    Attributes:
        tasks: ``loc`` refines only; ``both`` classifies again.
        positive: IoU threshold of its proposals.
        weight: of the round's losses.
        heads: as in the main branch; ``both`` is also given for a loc-only round.
        sampling: the main branch's where none is given.
        loc: loss of its boxes.
        cls: loss of its classes; by default cross-entropy as it is.
        sibling, constraint: as beside the main branch.
    """

    scaling: ClassVar[Scaling] = kept("positive", "weight")

    tasks: Literal["loc", "both"] = "loc"
    positive: Fraction = 0.5
    weight: Weight = 1.0
    heads: PerTaskSpec[RoiHead]
    sampling: PerTaskSpec[RoiSampling] | None = None
    loc: BoxLoss = BoxLoss(kind="box", class_agnostic=True)
    cls: CrossEntropy | None = None
    sibling: Branch | None = None
    constraint: ProgressiveConstraint | None = None

    @model_validator(mode="after")
    def _classifies(self) -> Self:
        for name in ("cls", "sibling", "constraint"):
            if self.tasks == "loc" and getattr(self, name) is not None:
                raise ValueError(f"'{name}' needs a round that classifies: tasks = 'both'")
        return self

    @property
    def supervision(self) -> RoiSupervision:
        """Its losses as a branch has them."""
        cls = self.cls or CrossEntropy(kind="cross-entropy")
        return RoiSupervision(cls=cls, loc=self.loc, constraint=self.constraint)


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

    scaling: ClassVar[Scaling] = kept("cls_rounds", "loc_round")

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
        views: test-time augmentation; none is the image as it is.
    """

    scaling: ClassVar[Scaling] = kept("score_threshold", "nms", "soft", "max_detections")

    score_threshold: Fraction = 0.05
    nms: Annotated[float, Field(gt=0, le=1)] = 0.5
    soft: Fraction | None = None
    max_detections: Positive = 100
    views: Views | None = None
