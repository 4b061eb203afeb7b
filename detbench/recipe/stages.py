"""Schemas of the options of the five stages, as tagged unions on ``kind``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from detbench.recipe.base import Custom, Option, Spec
from detbench.recipe.model import Depth, Init, Width
from detbench.recipe.scaling import Scaling, kept

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
    """Deformable convolution (v1) at some positions of the tower (DDOD, Table 6).

    Attributes:
        convs: 0-based positions.
    """

    scaling: ClassVar[Scaling] = kept("convs")

    kind: Literal["deformable"]
    convs: tuple[Annotated[int, Field(ge=0, lt=1000)], ...] = (0,)


Sampling = Annotated[Regular | Deformable, Field(discriminator="kind")]

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
    depth: Annotated[int, Field(ge=0, le=1000)] = 4
    channels: Width = 256
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
    depth: Depth = 6


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
