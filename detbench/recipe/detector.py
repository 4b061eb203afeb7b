"""Schema of a detector recipe. One class per skeleton; a paper is a file, never a class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from detbench.recipe.assignment import Assignment
from detbench.recipe.base import PerTaskSpec, Spec
from detbench.recipe.masks import Mask
from detbench.recipe.model import (
    Backbone,
    BoxCoding,
    Candidates,
    DenseInference,
    DistanceCoding,
    Neck,
    Pixels,
    Points,
    RoiNeck,
)
from detbench.recipe.predictor import Aligned, DistributionGuided, Predictor, Refined
from detbench.recipe.printed import Printed
from detbench.recipe.proposals import RoiAssignment, Rpn
from detbench.recipe.roi import (
    Branch,
    Readout,
    RoiFeatures,
    RoiHead,
    RoiInference,
    RoiSampling,
    RoiSupervision,
    Round,
)
from detbench.recipe.scaling import Scaling
from detbench.recipe.stages import Features, Head, Sampling, Score
from detbench.recipe.supervision import L1, Auxiliary, DenseSupervision, Levels, check_joint

Fidelity = Literal["official-config", "official-code", "text-only"]
STAGES = ("features", "sampling", "assignment", "heads", "supervision")


class Dense(Spec):
    """A dense (one-stage) detector: five stages on a shared pyramid.

    Attributes:
        backbone, neck: from images to the pyramid.
        pixels: how an image in [0, 255] becomes the network's input.
        candidates: what boxes are predicted for.
        boxes: what is predicted for each.
        features: which maps a task reads.
        sampling: where a task looks.
        assignment: which candidates teach a task.
        heads: with which layers and parameters a task predicts.
        supervision: with which losses.
        inference: what is done with predictions at test.
        levels: how much each level of the pyramid counts, by the positives of a task's assignment;
            ``both`` counts those of two assignments together, of cls first. None is 1.
        predictor: what makes outputs of both tasks' towers; none is ``convolutions``.
        score: what boxes are ranked by; none is ``product``.
        auxiliary: what teaches the same outputs beside the main supervision.
    """

    scaling: ClassVar[Scaling] = {}

    evaluated: ClassVar[frozenset[str]] = frozenset({"inference"})

    skeleton: Literal["dense"]
    backbone: Backbone
    neck: Neck
    pixels: Pixels = Pixels()
    candidates: Candidates
    boxes: BoxCoding
    features: PerTaskSpec[Features]
    sampling: PerTaskSpec[Sampling]
    assignment: PerTaskSpec[Assignment]
    heads: PerTaskSpec[Head]
    supervision: DenseSupervision
    levels: PerTaskSpec[Levels] | None = None
    predictor: Predictor | None = None
    score: Score | None = None
    auxiliary: tuple[Auxiliary, ...] | None = None
    inference: DenseInference = DenseInference()

    @model_validator(mode="after")
    def _both_tasks_are_taught(self) -> Self:
        losses = self.supervision
        for task in ("cls", "loc"):
            if losses.joint is None and getattr(losses, task) is None:
                raise ValueError(f"supervision.{task}: is missing, and so is supervision.joint")
        check_joint(self.assignment, losses)
        return self

    @model_validator(mode="after")
    def _refines_distances(self) -> Self:
        if isinstance(self.predictor, Refined):
            relu = isinstance(self.boxes, DistanceCoding) and self.boxes.activation == "relu"
            if not (relu and isinstance(self.candidates, Points)):
                raise ValueError(
                    "predictor: 'refined' needs candidates of kind 'points' and boxes of kind "
                    "'distance' with activation = 'relu'"
                )
        return self

    @model_validator(mode="after")
    def _boxes_are_what_the_predictor_makes(self) -> Self:
        boxes = self.boxes
        if isinstance(self.predictor, DistributionGuided) and boxes.kind != "distribution":
            raise ValueError(
                "predictor: 'distribution-guided' reads the distributions of boxes: "
                "boxes.kind must be 'distribution'"
            )
        negative = isinstance(boxes, DistanceCoding) and boxes.activation == "none"
        if isinstance(self.predictor, Aligned) and not negative:
            raise ValueError(
                "predictor: 'aligned' makes distances that may be negative: boxes must be "
                "{ kind = 'distance', activation = 'none' }"
            )
        return self

    @model_validator(mode="after")
    def _box_losses_fit_the_code(self) -> Self:
        for place, supervision in self._supervisions():
            loss, code = supervision.loc, self.boxes.kind
            if isinstance(loss, L1) and code != "delta":
                raise ValueError(f"{place}.loc: 'l1' needs boxes.kind 'delta', and not '{code}'")
            if getattr(loss, "distribution_weight", 0) and code != "distribution":
                setting = f"{place}.loc.distribution_weight"
                raise ValueError(f"{setting}: needs boxes.kind 'distribution', and not '{code}'")
        return self

    def _supervisions(self) -> Iterator[tuple[str, DenseSupervision]]:
        yield "supervision", self.supervision
        for number, one in enumerate(self.auxiliary or ()):
            yield f"auxiliary.{number}.supervision", one.supervision


class Roi(Spec):
    """An RoI (two-stage) detector: proposals, one main branch, and what is trained beside it.

    Attributes:
        backbone, neck: from images to the pyramid.
        pixels: how an image in [0, 255] becomes the network's input.
        rpn: where proposals come from.
        features: which maps a task reads.
        sampling: where a task looks.
        assignment: which proposals teach a task.
        heads: with which layers and parameters a task predicts.
        supervision: with which losses.
        inference: what is done with predictions at test.
        sibling: a second branch dropped at test.
        rounds: further rounds on refined boxes.
        readout: which head and round answers which task at test.
        mask: what makes a mask of each box; none makes none.
        finest_scale: regions are pooled from the finest level up to twice this side in pixels, from
            the next up to twice that, and so on (FPN, eq. 1); none is 56.
    """

    scaling: ClassVar[Scaling] = {"finest_scale": "bounds"}
    added: ClassVar[frozenset[str]] = frozenset({"mask"})

    evaluated: ClassVar[frozenset[str]] = frozenset({"readout", "inference"})

    skeleton: Literal["roi"]
    backbone: Backbone
    neck: RoiNeck
    pixels: Pixels = Pixels()
    rpn: Rpn = Rpn()
    features: PerTaskSpec[RoiFeatures]
    sampling: PerTaskSpec[RoiSampling]
    assignment: PerTaskSpec[RoiAssignment]
    heads: PerTaskSpec[RoiHead]
    supervision: RoiSupervision = RoiSupervision()
    sibling: Branch | None = None
    rounds: tuple[Round, ...] = ()
    readout: Readout = Readout()
    inference: RoiInference = RoiInference()
    mask: Mask | None = None
    finest_scale: Annotated[float, Field(gt=0)] | None = None


Detector = Annotated[Dense | Roi, Field(discriminator="skeleton")]


class DetectorRecipe(Spec):
    """A detector with a name, where it comes from, and what is published about it.

    Attributes:
        id: ``<method>-<backbone>``.
        source: paper and configuration it reproduces.
        fidelity: what the settings were read from.
        published: figures printed for it, with their protocol in ``notes``.
        schedule: id of the schedule it is trained with.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    source: str
    fidelity: Fidelity
    published: dict[str, Printed] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    schedule: str = "coco-1x"
    detector: Detector
