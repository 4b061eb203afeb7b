"""Schemas of what makes a dense detector's outputs of both tasks' towers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from detbench.recipe.base import Custom, Option, Task
from detbench.recipe.model import Init, Positive, Width
from detbench.recipe.scaling import Scaling, kept

Probability = Annotated[float, Field(gt=0, lt=1)]


class Prediction(Option):
    """A 3x3 convolution for each output, shared by all levels.

    Attributes:
        prior: class probability that training starts with (RetinaNet, section 4.1).
        objectness: the task whose tower predicts a further output, which makes the score and is
            taught through it alone; without one there is none.
    """

    beside: ClassVar[frozenset[str]] = frozenset({"objectness"})
    scaling: ClassVar[Scaling] = kept("prior")

    kind: str
    prior: Probability = 0.01
    objectness: Task | None = None


class Convolutions(Prediction):
    """A 3x3 convolution for each output, shared by all levels (RetinaNet, FCOS)."""

    target: ClassVar[str] = "detbench.stages.predictor.convolutions:Convolutions"
    scaling: ClassVar[Scaling] = kept("prior")

    kind: Literal["convolutions"]


class DistributionGuided(Prediction):
    """And the extra output ``quality``, read from the distributions of a box's sides (GFLv2).

    It makes the score, and is taught through it; a loss of the third output teaches it too.

    Attributes:
        top: largest probabilities that are read of each side.
        mean: their mean is read too.
        hidden: width of the network that reads them.
    """

    target: ClassVar[str] = "detbench.stages.predictor.guided:DistributionGuided"
    scaling: ClassVar[Scaling] = {"hidden": "channels", **kept("prior", "top")}

    kind: Literal["distribution-guided"]
    top: Positive = 4
    mean: bool = True
    hidden: Width = 64


class Aligned(Prediction):
    """On features that each task chooses from all layers of its tower, aligned by them (TOOD).

    The extra output ``alignment`` makes the score with the class. Boxes are distances in strides
    that may be negative: each side is read where a learnt displacement says.
    """

    target: ClassVar[str] = "detbench.stages.predictor.aligned:Aligned"
    scaling: ClassVar[Scaling] = kept("prior")

    kind: Literal["aligned"]


class Refined(Prediction):
    """Convolutions whose boxes are refined (DW, section 3.5): each side is predicted anew at its
    foot, displaced by two further outputs of the localisation tower.
    """

    target: ClassVar[str] = "detbench.stages.predictor.refined:Refined"
    scaling: ClassVar[Scaling] = kept("prior")

    kind: Literal["refined"]


class MaxFilter(Prediction):
    """Beside those of ``convolutions`` a filter, which keeps what is strongest among its
    neighbours, of the localisation tower (DeFCN, section 3.4); it makes the score with the class
    and is taught through it.

    Attributes:
        neighbours: levels to each side whose maps count, resized.
        kernel: side of the neighbourhood in cells.
        norm: after the maximum; ``gn`` is GroupNorm with 32 groups.
        conv_bias: of the convolution before it.
        init: of that convolution.
    """

    target: ClassVar[str] = "detbench.stages.predictor.max_filter:Filtered"
    scaling: ClassVar[Scaling] = {"init": "init", **kept("prior", "neighbours", "kernel")}

    kind: Literal["max-filter"]
    neighbours: Annotated[int, Field(ge=0, le=12)] = 1
    kernel: Literal[1, 3, 5, 7] = 3
    norm: Literal["gn", "none"] = "gn"
    conv_bias: bool = True
    init: Init | None = None


Predictor = Annotated[
    Convolutions | DistributionGuided | Aligned | Refined | MaxFilter | Custom,
    Field(discriminator="kind"),
]
