"""Schemas of what a run needs beside its detector: data, training, evaluation; and the cell."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from detbench.data.kinds import Data
from detbench.recipe.augment import Augment, order_problem
from detbench.recipe.base import Spec
from detbench.recipe.detector import Detector
from detbench.recipe.metrics import listed, of
from detbench.recipe.model import Fraction, ImageSide, Positive

Batch = Annotated[int, Field(gt=0, le=2**16)]
"""Images at once: of more not even the pixels fit into a machine."""
Rate = Annotated[float, Field(gt=0, le=1e30)]
"""What single precision holds; most of it diverges, which is said when it does."""
Iterations = Annotated[int, Field(ge=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""What every generator takes."""
NotNegative = Annotated[float, Field(ge=0)]
LayerDecay = Annotated[float, Field(gt=0, le=1)]


class Input(Spec):
    """How images enter the network.

    Attributes:
        short, long: images are scaled, keeping their aspect, so that the shorter side is
            ``short`` unless the longer one would pass ``long``. Several ``short`` sides: one is
            drawn per training image, the last is used for testing.
        draw: ``listed`` draws one of the ``short`` sides, ``range`` any whole number between two of
            them; a third one, the last, is for testing.
        flip: probability of a horizontal flip in training.
        multiple: images are padded at right and bottom to a multiple of this.
        sampling: which are trained on: all ``images``, each once an epoch, or as many draws, each
            of a class with an object and then one of its images (``classes``, Shen et al. 2016).
        augment: transforms of torchvision's for training images, in their order: those at
            ``original``, scaling, those at ``scaled``, flip.
    """

    added: ClassVar[frozenset[str]] = frozenset({"draw", "sampling", "augment"})

    short: tuple[ImageSide, ...] = (800,)
    long: ImageSide = 1333
    draw: Literal["listed", "range"] = "listed"
    flip: Fraction = 0.5
    multiple: Annotated[int, Field(gt=0, le=2**12)] = 32
    sampling: Literal["images", "classes"] = "images"
    augment: tuple[Augment, ...] = ()

    @model_validator(mode="after")
    def _order_of_augmentation(self) -> Self:
        if said := order_problem(self.augment):
            raise ValueError(f"'augment': {said}")
        return self

    @model_validator(mode="after")
    def _ends_of_a_range(self) -> Self:
        least, most = min(self.short, default=0), max(self.short, default=0)
        beside = [side for side in self.short[:-1] if side not in (least, most)]
        if self.draw == "range" and beside:
            raise ValueError(
                f"draw = 'range' draws between {least} and {most} and never reads {beside[0]}: "
                "'short' takes the two ends, and after them the side at test"
            )
        return self


class Sgd(Spec):
    """SGD with momentum.

    Attributes:
        decay_norms: weight decay on norm layers too.
        bias_lr: factor on the learning rate of biases.
        decay_biases: weight decay on biases too.
        layer_decay: of the backbone's last block; of each one before, down to the stem, it is the
            next one's times this again. A factor on the learning rate.
    """

    added: ClassVar[frozenset[str]] = frozenset({"layer_decay"})

    kind: Literal["sgd"]
    lr: Rate
    momentum: NotNegative = 0.9
    weight_decay: NotNegative = 1e-4
    decay_norms: bool = True
    bias_lr: NotNegative = 1.0
    decay_biases: bool = True
    layer_decay: LayerDecay = 1.0


class AdamW(Spec):
    """AdamW (Loshchilov and Hutter 2019). Parameters of one dimension do not decay.

    Attributes:
        layer_decay: as of ``sgd``.
    """

    added: ClassVar[frozenset[str]] = frozenset({"layer_decay"})

    kind: Literal["adamw"]
    lr: Rate
    weight_decay: NotNegative = 0.05
    layer_decay: LayerDecay = 1.0


class Steps(Spec):
    """Linear warm-up, then ``gamma`` at each of ``drops``, in the unit of the length."""

    kind: Literal["steps"]
    drops: tuple[Annotated[float, Field(gt=0)], ...] = (8, 11)
    gamma: NotNegative = 0.1
    warmup_iterations: Iterations = 500
    warmup_ratio: NotNegative = 0.001


class Cosine(Spec):
    """Fall by a cosine from the learning rate to ``least`` of it (Loshchilov and Hutter 2017).

    Attributes:
        period: after which it starts anew, in the unit of the length; none is one fall over all.
        least: share of the learning rate at the end of each period.
        warmup_iterations, warmup_ratio: linear, as of ``steps``.
    """

    kind: Literal["cosine"]
    period: Annotated[float, Field(gt=0)] | None = None
    least: Fraction = 0.0
    warmup_iterations: Iterations = 500
    warmup_ratio: NotNegative = 0.001


class OneCycle(Spec):
    """Rise for ``rise`` of the iterations, then anneal by a cosine to nothing (Smith 2018)."""

    kind: Literal["one-cycle"]
    rise: Fraction = 0.2


class Ema(Spec):
    """Evaluate an exponential moving average of the weights (Polyak and Juditsky 1992).

    After iteration t it is a <- d a + (1 - d) w, with d the smaller of ``decay`` and
    (1 + t) / (10 + t), over weights and running statistics alike; it starts from the initial ones.

    Attributes:
        decay: about 1 / (1 - ``decay``) iterations count.
    """

    kind: Literal["ema"]
    decay: Annotated[float, Field(gt=0, lt=1)]


class Validation(Spec):
    """Evaluate on the val split while training, at equal distances and at the end.

    Attributes:
        every: how many of ``unit`` lie between two evaluations.
        unit: ``epochs`` or ``iterations``.
        metric: what is best by; any number that the data set is scored by, the higher the better.
        keep: whose weights are the training's: the ``best``, the first of equals, or the ``last``,
            as without. The best are chosen on the images that they are scored on, which makes
            their scores too good.
    """

    every: Positive = 1
    unit: Literal["epochs", "iterations"] = "epochs"
    metric: str = "AP"
    keep: Literal["best", "last"] = "best"

    @field_validator("metric")
    @classmethod
    def _of_detections(cls, value: str) -> str:
        known = of("score", "mask score", "own score")
        if value not in known:
            raise ValueError(f"{value!r} is no score of detections: take one of {listed(known)}")
        return value


class Training(Spec):
    """One run of training.

    Attributes:
        epochs, iterations: the length; exactly one is given. Steps' drops are in the same unit.
        batch: images per step, over all devices.
        accumulate: parts that each process's images go through the network in, one after another,
            for a batch that does not fit into memory; the losses are those of the whole batch.
        clip: largest gradient norm; none is no clipping.
        average: of the weights, to be evaluated and kept; none takes those of the last iteration.
        validation: scores during the training, and which weights are kept; none is no look at val.
        precision: ``fp32``, ``bf16`` or ``fp16`` autocast (fp16 with loss scaling).
        channels_last: memory format of the network.
        compile: backbone, neck and towers by ``torch.compile``.
        weights: ``default`` takes the backbone's, ``none`` starts from scratch, ``embedded`` takes
            detbench's own of a light backbone; or a name or file.
        weights_content: of a file, the sha256 of what it holds, known when a cell is planned, which
            stands for its path; in a recipe it asks for just that content.
        reference_batch: batch the learning rate was chosen for.
        checkpoint_every: seconds between checkpoints of an unfinished run.
    """

    undigested: ClassVar[frozenset[str]] = frozenset({"reference_batch", "checkpoint_every"})
    added: ClassVar[frozenset[str]] = frozenset({"accumulate", "compile", "validation"})

    epochs: Annotated[float, Field(gt=0, le=1e6)] | None = None
    iterations: Positive | None = None
    batch: Batch = 16
    accumulate: Batch = 1
    input: Input = Input()
    optimizer: Annotated[Sgd | AdamW, Field(discriminator="kind")]
    schedule: Annotated[Steps | Cosine | OneCycle, Field(discriminator="kind")] = Steps(
        kind="steps"
    )
    clip: Annotated[float, Field(gt=0)] | None = None
    average: Ema | None = None
    validation: Validation | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = True
    compile: bool = False
    weights: Annotated[str, Field(min_length=1)] = "default"
    weights_content: str | None = None
    reference_batch: Batch = 16
    checkpoint_every: Annotated[float, Field(gt=0)] = 600.0

    @property
    def left_out(self) -> frozenset[str]:
        content = {"weights"} if self.weights_content else set()
        looked = set() if self.chosen_by else {"validation"}  # the outcome is as without
        return self.undigested | content | looked

    @property
    def chosen_by(self) -> str:
        """The metric that its weights are chosen by; empty where they are not."""
        looks = self.validation
        return looks.metric if looks is not None and looks.keep == "best" else ""

    @property
    def caveat(self) -> str | None:
        """What is to be known of its scores, in words; none if nothing."""
        if not self.chosen_by:
            return None
        return (
            f"Weights were chosen during the training by their {self.chosen_by} on the very images "
            "that are scored (training.validation), which makes scores too good"
        )

    @model_validator(mode="after")
    def _content_of_a_file(self) -> Self:
        if self.weights_content and self.weights in ("none", "default", "embedded"):
            raise ValueError("'weights_content' is of a file, which 'weights' must name")
        return self

    @model_validator(mode="after")
    def _no_empty_part(self) -> Self:
        if self.accumulate > self.batch:
            raise ValueError("'accumulate' asks for more parts than 'batch' has images")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("give exactly one of 'epochs' and 'iterations'")
        return self


class Evaluation(Spec):
    """How detections are scored.

    Attributes:
        max_detections: per image and class, COCO's maxDets.
        area_scale: multiplies COCO's 32 and 96 pixel bounds of small, medium and large, for data
            whose images are small.
        batch: images per forward pass.
        limit: only the first this many images; none is all.
        compile: backbone, neck and towers by ``torch.compile``.
    """

    added: ClassVar[frozenset[str]] = frozenset({"compile"})

    max_detections: Positive = 100
    area_scale: Annotated[float, Field(gt=0)] = 1.0
    batch: Batch = 1
    limit: Positive | None = None
    compile: bool = False


class Schedule(Spec):
    """What a paper trains on and how: a file in ``recipes/schedules``."""

    id: str
    title: str
    data: Data
    training: Training
    evaluation: Evaluation = Evaluation()
    notes: tuple[str, ...] = ()


class Scored(Spec):
    """What detections of any detector are scored on, and how."""

    data: Data
    evaluation: Evaluation


class Learnt(Spec):
    """What is trained on, and how it enters a network."""

    data: Data
    training: Training


class Cell(Spec):
    """Everything that determines the outcome of one training and evaluation."""

    evaluated: ClassVar[frozenset[str]] = frozenset({"evaluation"})

    detector: Detector
    data: Data
    training: Training
    evaluation: Evaluation
    seed: Seed = 0

    @property
    def trains_by_scores(self) -> bool:
        return bool(self.training.chosen_by)

    def but_length(self) -> Self:
        """The same for trainings that differ in their length and in their schedule alone."""
        alike = {"epochs": None, "iterations": 1, "schedule": OneCycle(kind="one-cycle")}
        return self.model_copy(update={"training": self.training.model_copy(update=alike)})

    @property
    def masks(self) -> bool:
        """Whether the detector makes masks, so that data need them."""
        return getattr(self.detector, "mask", None) is not None
