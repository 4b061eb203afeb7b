"""Schemas of the networks: backbone, neck, and what dense detectors need beside their stages."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from detbench.recipe.base import Custom, Option, Revision, Spec
from detbench.recipe.scaling import Scaling, kept

Positive = Annotated[int, Field(gt=0, le=10**9)]
"""A number of things; no machine comes near the bound."""
Width = Annotated[int, Field(gt=0, le=2**16)]
"""Channels: a 3x3 convolution of twice as many at both ends would not fit into 300 GB."""
Depth = Annotated[int, Field(gt=0, le=1000)]
"""Layers one after another."""
Levels = Annotated[int, Field(gt=0, le=12)]
"""Of a pyramid: the coarsest of a dozen has one cell for 16,384 pixels."""
Cells = Annotated[int, Field(gt=0, le=256)]
"""A side of a pooled map, or points along a side of its cells."""
ImageSide = Annotated[int, Field(ge=8, le=2**14)]
"""Pixels of an image: of fewer no object is left, and more fit into no memory."""
Weight = Annotated[float, Field(ge=0)]
Init = Literal["he"]
"""How hidden convolutions of heads start: ``he``, by what keeps the variance of what passes (He et
al. 2015); where none is given N(0, 0.01^2), as the papers' do (RetinaNet, section 4.1)."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
DeformableStages = Annotated[tuple[Annotated[int, Field(ge=2, le=5)], ...], Field(min_length=1)]


class ResNet(Option):
    """ResNet or ResNeXt (He et al. 2016; Xie et al. 2017), returning C2 to C5.

    Attributes:
        depth: number of layers, which says what blocks there are and how many: basic ones up to
            34, bottlenecks from 50. 10 is one basic block per stage.
        blocks: of C2 to C5 in place of the depth's numbers, for small profiles.
        groups: of the bottlenecks' 3x3 convolutions.
        base_width: channels of each group in C2.
        style: ``pytorch`` puts a down-sampling block's stride in its 3x3 convolution,
            ``caffe`` in its first 1x1.
        frozen_stages: 0 trains everything, 1 freezes the stem and C2, and so on; -1 too trains all.
        norm: ``frozen`` keeps statistics and affine parameters, ``eval`` trains the affine
            parameters on fixed statistics, ``batch`` is live.
        width: multiplies every channel count (1 for the paper's network); of grouped convolutions
            the number of groups, not their width.
        deformable: deformable 3x3 convolutions: ``v1`` offsets, ``v2`` also modulation.
        deformable_stages: where, as in [3, 4, 5] for C3 to C5.
        weights: what ``--weights`` means by default: a torchvision or timm name, or none.
    """

    target: ClassVar[str] = "detbench.backbones.resnet:ResNet"
    beside: ClassVar[frozenset[str]] = frozenset({"weights"})
    added: ClassVar[frozenset[str]] = frozenset({"deformable_stages"})
    scaling: ClassVar[Scaling] = {
        "depth": "backbone",
        "groups": "backbone",
        "base_width": "backbone",
        "frozen_stages": "backbone",
        "width": "backbone",
        "blocks": "backbone",
        **kept("deformable_stages"),
    }

    kind: Literal["resnet"]
    depth: Literal[10, 18, 34, 50, 101, 152]
    style: Literal["pytorch", "caffe"] = "pytorch"
    groups: Width = 1
    base_width: Width = 64
    frozen_stages: Annotated[int, Field(ge=-1, le=4)] = 1
    norm: Literal["frozen", "eval", "batch"] = "eval"
    width: Annotated[float, Field(gt=0, le=1)] = 1.0
    deformable: Literal["none", "v1", "v2"] = "none"
    deformable_stages: DeformableStages = (3, 4, 5)
    blocks: tuple[Depth, Depth, Depth, Depth] | None = None
    weights: str | None = None

    @model_validator(mode="after")
    def _only_bottlenecks_have_groups(self) -> Self:
        if self.depth < 50 and (self.groups > 1 or self.base_width != 64):
            raise ValueError(
                "basic blocks have no groups: 'groups' and 'base_width' need a depth of 50 or more"
            )
        return self


class Timm(Option):
    """A network of timm's with maps at strides 4, 8, 16 and 32, as C2 to C5: ConvNeXt, Swin,
    SENet, Res2Net and hundreds more. ``training.weights = "default"`` takes timm's own weights.

    Images whose sides are no multiples of 32 are padded at right and bottom for it.

    Attributes:
        name: in timm, as in ``convnext_tiny``; after a dot a tag, which says which weights.
        frozen_stages: 0 trains everything, 1 freezes the stem and C2, and so on; -1 too trains all.
        norm: of batch norms: ``frozen`` keeps statistics and affine parameters, ``eval`` trains the
            affine parameters on fixed statistics, ``batch`` is live. Other norms always train.
        drop_path: probability by which its last block is left out for an image in training; earlier
            ones less. Several processes draw as one does; parts (``training.accumulate``) draw one
            after another, as their images go through the network.
        deformable: deformable 3x3 convolutions: ``v1`` offsets, ``v2`` also modulation.
        deformable_stages: where, as in [3, 4, 5] for C3 to C5.
        width, blocks: what its channels, and the numbers of blocks of C2 to C5, are multiplied by,
            for small profiles; families with neither (``backbones.timm``) stay as they are.
    """

    target: ClassVar[str] = "detbench.backbones.timm:Timm"
    revisions: ClassVar[tuple[Revision, ...]] = (
        Revision(
            "2026-11-27",
            "tables of positions decayed, which timm says should not",
            lambda option: any(one in option.name for one in ("swin", "vit", "coat", "twins")),
        ),
    )
    scaling: ClassVar[Scaling] = {
        "frozen_stages": "backbone",
        "width": "backbone",
        "blocks": "backbone",
        **kept("drop_path", "deformable_stages"),
    }

    kind: Literal["timm"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)?$")]
    frozen_stages: Annotated[int, Field(ge=-1, le=4)] = 1
    norm: Literal["frozen", "eval", "batch"] = "eval"
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    deformable: Literal["none", "v1", "v2"] = "none"
    deformable_stages: DeformableStages = (3, 4, 5)
    width: Annotated[float, Field(gt=0, le=1)] = 1.0
    blocks: tuple[Share, Share, Share, Share] | None = None

    @property
    def weights(self) -> str:
        """What ``training.weights = "default"`` means."""
        return f"timm:{self.name}"


Backbone = Annotated[ResNet | Timm | Custom, Field(discriminator="kind")]


class Fpn(Option):
    """Feature pyramid (Lin et al. 2017).

    Attributes:
        channels: width of every map.
        first: level of the finest map; 3 gives P3 from C3.
        levels: number of maps, the extra ones included.
        extra: what the maps above the backbone's last are made from: ``input`` strided
            convolutions from C5, ``output`` from P5, ``pool`` sub-sampling of P5 (two-stage).
        relu_before_extra: ReLU before every extra convolution but the first.
        paths: ``top-down`` is FPN, ``pafpn`` adds the bottom-up path (Liu et al. 2018).
    """

    target: ClassVar[str] = "detbench.backbones.fpn:Fpn"
    beside: ClassVar[frozenset[str]] = frozenset({"first"})
    scaling: ClassVar[Scaling] = {"channels": "channels", "first": "first", "levels": "levels"}

    kind: Literal["fpn"]
    channels: Width = 256
    first: Annotated[int, Field(ge=2, le=5)] = 3
    levels: Levels = 5
    extra: Literal["input", "output", "pool"] = "output"
    relu_before_extra: bool = False
    paths: Literal["top-down", "pafpn"] = "top-down"

    @model_validator(mode="after")
    def _a_level_for_each_map(self) -> Self:
        if self.levels < (maps := 6 - self.first):
            raise ValueError(
                f"levels = {self.levels} are fewer than the backbone's {maps} maps from "
                f"C{self.first}: give at least {maps}, or a later 'first'"
            )
        return self


class C4(Spec):
    """No pyramid: the detector reads C4, and the backbone's last stage is its head (Ren 2015)."""

    scaling: ClassVar[Scaling] = {}

    kind: Literal["c4"]


class CustomNeck(Custom):
    """A neck of the user's own, called with ``inputs`` (widths from the backbone), ``channels``
    and ``levels``.

    Attributes:
        channels, first, levels: as of ``fpn``.
    """

    channels: Width = 256
    first: Annotated[int, Field(ge=2, le=5)] = 3
    levels: Levels = 5


Neck = Annotated[Fpn | CustomNeck, Field(discriminator="kind")]
RoiNeck = Annotated[Fpn | C4, Field(discriminator="kind")]


class Pixels(Spec):
    """How an image in [0, 255] becomes the network's input.

    Attributes:
        order: of the channels.
        mean: of each channel, which is subtracted.
        std: of each channel, by which it is divided then.
    """

    scaling: ClassVar[Scaling] = kept("mean", "std")

    order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


Side = Annotated[float, Field(gt=0)]


class Anchors(Option):
    """Anchor boxes: ``size x stride x 2^(i/scales)`` at each ratio (height / width).

    Attributes:
        size: side of the smallest square anchor in strides.
        scales: anchors per octave.
        octaves: doublings of the size.
        multiples: sides in units of ``size``, in place of ``scales`` and ``octaves``.
        ratios: height / width.
        offset: centre of the first anchor in strides (0 is the cell's corner, 0.5 its centre).
        rounding: to whole pixels: of their ``corners`` (MMDetection 1.x), or of half their sides,
            with scales between octaves down to whole ones (``halves``, torchvision); or of the
            sides of anchors of one stride, which are then enlarged (``cells``, maskrcnn-benchmark).
    """

    target: ClassVar[str] = "detbench.ops.candidates:anchor_grid"
    added: ClassVar[frozenset[str]] = frozenset({"multiples"})
    scaling: ClassVar[Scaling] = {
        "size": "anchors",
        **kept("scales", "octaves", "multiples", "ratios", "offset"),
    }

    kind: Literal["anchors"]
    size: Annotated[float, Field(gt=0)] = 8.0
    scales: Cells = 1
    octaves: Cells = 1
    multiples: Annotated[tuple[Side, ...], Field(min_length=1)] | None = None
    ratios: tuple[Side, ...] = (1.0,)
    offset: Fraction = 0.0
    rounding: Literal["corners", "halves", "cells"] | None = None

    @model_validator(mode="after")
    def _sides_are_said_once(self) -> Self:
        if self.multiples and (self.scales, self.octaves) != (1, 1):
            raise ValueError("give 'multiples', or 'scales' and 'octaves'")
        return self


class Points(Option):
    """One point per cell.

    Attributes:
        offset: of the point from its cell's corner, in strides.
    """

    target: ClassVar[str] = "detbench.ops.candidates:point_grid"
    scaling: ClassVar[Scaling] = kept("offset")

    kind: Literal["points"]
    offset: Fraction = 0.5


Candidates = Annotated[Anchors | Points, Field(discriminator="kind")]


class DeltaCoding(Option):
    """Boxes as (dx, dy, dw, dh) against an anchor (R-CNN).

    Attributes:
        stds: what each of the four is divided by.
        per_level_scale: a learnt scalar per level on the prediction (ATSS).
    """

    target: ClassVar[str] = "detbench.ops.coding:Delta"
    beside: ClassVar[frozenset[str]] = frozenset({"per_level_scale"})
    scaling: ClassVar[Scaling] = kept("stds")

    kind: Literal["delta"]
    stds: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    per_level_scale: bool = False


class DistanceCoding(Option):
    """Boxes as distances (left, top, right, bottom) from a point (FCOS).

    Attributes:
        activation: ``relu`` in units of the stride, ``exp`` in pixels; ``none`` in units of the
            stride too, where a box may be inverted (DDOD's FCOS).
        per_level_scale: a learnt scalar per level before the activation.
        bias: of the prediction, to start with.
    """

    target: ClassVar[str] = "detbench.ops.coding:Distance"
    beside: ClassVar[frozenset[str]] = frozenset({"per_level_scale", "bias"})
    added: ClassVar[frozenset[str]] = frozenset({"bias"})
    scaling: ClassVar[Scaling] = kept("bias")

    kind: Literal["distance"]
    activation: Literal["relu", "exp", "none"] = "relu"
    per_level_scale: bool = True
    bias: float = 0.0


class DistributionCoding(Option):
    """Each distance as a distribution over ``bins`` + 1 values 0..bins, in strides (GFL).

    Attributes:
        bins: how many, each a stride wide.
        per_level_scale: a learnt scalar per level on the prediction.
    """

    target: ClassVar[str] = "detbench.ops.coding:Distribution"
    beside: ClassVar[frozenset[str]] = frozenset({"per_level_scale"})
    scaling: ClassVar[Scaling] = kept("bins")

    kind: Literal["distribution"]
    bins: Width = 16
    per_level_scale: bool = True


BoxCoding = Annotated[
    DeltaCoding | DistanceCoding | DistributionCoding, Field(discriminator="kind")
]


ViewScale = Annotated[float, Field(ge=0.1, le=10)]


class Views(Spec):
    """Several views of each image at test, each detected by itself, their boxes merged then.

    Attributes:
        scales: of the testing scale, as in [0.75, 1.0, 1.25].
        flip: each mirrored left to right too.
        nms: IoU above which the lower-scored box of the same class is dropped, whatever its view.
        soft: linear soft-NMS (Bodla et al. 2017) instead, with this lowest score; none is hard NMS.
    """

    scaling: ClassVar[Scaling] = kept("scales", "nms", "soft")

    scales: Annotated[tuple[ViewScale, ...], Field(min_length=1)] = (1.0,)
    flip: bool = True
    nms: Annotated[float, Field(gt=0, le=1)] = 0.6
    soft: Fraction | None = None

    @model_validator(mode="after")
    def _several(self) -> Self:
        if len(self.scales) == 1 and not self.flip:
            raise ValueError("one scale and no flip is a single view: give more, or no 'views'")
        return self


class DenseInference(Spec):
    """Test-time settings of a dense detector.

    Attributes:
        score_threshold: candidates with a lower class score are dropped before anything else.
        candidates_per_level: the best this many (candidate, class) pairs of each level go on.
        nms: IoU above which the lower-scored box of the same class is dropped; 1 is off.
        max_detections: per image, after NMS.
        best: what are counted on a level: ``pairs``, or ``candidates`` by their best class, all of
            whose pairs above the threshold go on.
        voting: boxes that survive are moved by those around them (PAA, section 3.4): spread of what
            these count by their IoU, 0.025 there; none is off.
        clip: boxes to the image, before NMS.
        views: test-time augmentation; none is the image as it is.
    """

    added: ClassVar[frozenset[str]] = frozenset({"best", "voting", "clip"})
    scaling: ClassVar[Scaling] = kept(
        "score_threshold",
        "candidates_per_level",
        "nms",
        "max_detections",
        "voting",
    )

    score_threshold: Fraction = 0.05
    candidates_per_level: Positive = 1000
    nms: Annotated[float, Field(gt=0, le=1)] = 0.6
    max_detections: Positive = 100
    best: Literal["pairs", "candidates"] = "pairs"
    voting: Annotated[float, Field(gt=0)] | None = None
    clip: bool = True
    views: Views | None = None
