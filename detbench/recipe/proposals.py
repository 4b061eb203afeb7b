"""Schemas of an RoI detector's proposals: where they come from, and which teach."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from detbench.recipe.base import Custom, Option, Spec
from detbench.recipe.model import Anchors, Fraction, Init, Positive, Weight, Width
from detbench.recipe.scaling import Scaling, kept


class Rpn(Spec):
    """Region proposal network (Ren et al. 2015).

    Attributes:
        channels, init: of its 3x3 convolution.
        positive, negative, min_positive: IoU thresholds of its assignment, as in ``iou``.
        anchors: on every level of the pyramid.
        samples: anchors per image in its loss.
        fraction: largest share of positives among them.
        border: anchors that leave their image, without its padding, by more pixels than this teach
            nothing; none keeps all.
        weak: what anchors learn that are positive for being an object's best alone: that object
            (the default, MMDetection), or the one that they overlap most (``own-best``,
            maskrcnn-benchmark).
        outside: anchors that ``border`` leaves out are no object's best (the default), or are
            ``matched`` like the others and teach nothing after that (maskrcnn-benchmark).
        beta: of the smooth L1 on its boxes; 0 is L1.
        train_candidates, test_candidates: best anchors of each level before NMS.
        empty: proposals that lie outside of the image, and so have no area, are ``dropped`` (the
            default, MMDetection 3) or ``kept`` (MMDetection 1 and 2, maskrcnn-benchmark).
    """

    scaling: ClassVar[Scaling] = {
        "channels": "channels",
        "init": "init",
        "train_candidates": "candidates",
        "test_candidates": "candidates",
        **kept("positive", "negative", "min_positive", "samples", "fraction", "border", "beta"),
    }

    channels: Width = 256
    anchors: Anchors = Anchors(kind="anchors", size=8.0, ratios=(0.5, 1.0, 2.0))
    positive: Fraction = 0.7
    negative: Fraction = 0.3
    min_positive: Fraction = 0.3
    samples: Positive = 256
    fraction: Fraction = 0.5
    border: Weight | None = None
    weak: Literal["own-best"] | None = None
    outside: Literal["matched"] | None = None
    init: Init | None = None
    beta: Weight = 0.0
    train_candidates: Positive = 2000
    test_candidates: Positive = 1000
    empty: Literal["dropped", "kept"] | None = None


class RandomSampler(Option):
    """Positives up to a share, the rest background.

    Attributes:
        count: proposals per image.
        fraction: largest share of positives.
        add_ground_truth: the objects' own boxes are proposals too.
    """

    target: ClassVar[str] = "detbench.stages.assignment.proposals:ProposalSampler"
    scaling: ClassVar[Scaling] = {"count": "samples", **kept("fraction")}

    kind: Literal["random"]
    count: Positive = 512
    fraction: Fraction = 0.25
    add_ground_truth: bool = True


class PositiveSampler(Option):
    """All positives, and background to fill up (Decoupled R-CNN's code).

    The background teaches no boxes. Further rounds (``rounds``) refine the positives alone.

    Attributes:
        count: proposals per image.
        add_ground_truth: the objects' own boxes are proposals too.
    """

    target: ClassVar[str] = "detbench.stages.assignment.proposals:positive_sampler"
    scaling: ClassVar[Scaling] = {"count": "samples"}

    kind: Literal["positive"]
    count: Positive = 512
    add_ground_truth: bool = False


class Proposals(Option):
    """Which proposals teach a task (Decoupled R-CNN, section IV).

    Attributes:
        nms: IoU above which the lower-scored proposal is dropped.
        train_count, test_count: proposals per image after NMS.
        images: in training so many images, in the order of a process's part of the batch, share
            ``train_count``: the best of all of them (maskrcnn-benchmark: those of a GPU). By
            default each has its own.
        sampler: which of them are drawn.
        positive: IoU with an object from which on a proposal is positive.
        negative: IoU below which it is background.
    """

    target: ClassVar[str] = "detbench.detectors.roi_settings:TaskProposals"
    beside: ClassVar[frozenset[str]] = frozenset({"positive", "negative", "sampler"})
    scaling: ClassVar[Scaling] = {
        "train_count": "proposals",
        "test_count": "proposals",
        **kept("nms", "images", "positive", "negative"),
    }

    kind: Literal["proposals"]
    nms: Fraction = 0.7
    train_count: Positive = 1000
    test_count: Positive = 1000
    images: Annotated[int, Field(ge=2, le=10**6)] | None = None
    positive: Fraction = 0.5
    negative: Fraction = 0.5
    sampler: Annotated[RandomSampler | PositiveSampler, Field(discriminator="kind")] = (
        RandomSampler(kind="random")
    )


RoiAssignment = Annotated[Proposals | Custom, Field(discriminator="kind")]
