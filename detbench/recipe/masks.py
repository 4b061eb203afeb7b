"""Schema of masks, which an RoI detector makes beside its two tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from detbench.recipe.base import Option, Spec
from detbench.recipe.model import Depth, Weight, Width
from detbench.recipe.roi import RoiAlign
from detbench.recipe.scaling import Scaling, kept


class MaskFcn(Option):
    """3x3 convolutions with ReLU, a deconvolution to twice the side, a 1x1 convolution that
    predicts (He et al. 2017, Figure 4).

    Attributes:
        depth: of the 3x3 convolutions.
        channels: width of all but the last.
    """

    target: ClassVar[str] = "detbench.stages.heads.mask:MaskFcn"
    scaling: ClassVar[Scaling] = {"channels": "roi", **kept("depth")}

    kind: Literal["fcn"]
    depth: Depth = 4
    channels: Width = 256


class Mask(Spec):
    """A mask of each box (Mask R-CNN, He et al. 2017). It is no task: it is taught by the positives
    of loc, where they were sampled, and made for the boxes that are found.

    Attributes:
        sampling: what of a box is pooled; a mask has twice as many cells along a side.
        head: with which layers.
        class_agnostic: one mask for all classes instead of one for each.
        weight: of the loss.
        stages: of a detector with rounds, ``each`` has a head, whose masks are averaged at test
            (MMDetection's Cascade Mask R-CNN), or the ``last`` one alone.
    """

    scaling: ClassVar[Scaling] = kept("weight")

    sampling: RoiAlign = RoiAlign(kind="roi-align", size=14)
    head: MaskFcn = MaskFcn(kind="fcn")
    class_agnostic: bool = False
    weight: Weight = 1.0
    stages: Literal["each", "last"] = "each"
