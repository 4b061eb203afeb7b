"""Schemas of a table recipe and of a profile."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from detbench.recipe.base import Spec
from detbench.recipe.claims import Claim
from detbench.recipe.detector import Fidelity
from detbench.recipe.experiment import Data, Evaluation, Training
from detbench.recipe.model import Init, Positive
from detbench.recipe.printed import Printed

REPLACEABLE = (
    "backbone",
    "neck",
    "pixels",
    "rpn",
    "candidates",
    "boxes",
    "features",
    "sampling",
    "assignment",
    "heads",
    "supervision",
    "levels",
    "predictor",
    "score",
    "auxiliary",
    "sibling",
    "rounds",
    "mask",
    "readout",
    "inference",
)
"""Tables of a detector that a row may replace, of both skeletons."""


def without(table: Any) -> Any:
    """None for the word ``none``: TOML has no null, by which to leave out an optional table."""
    return None if table == "none" else table


Paper = Literal["tscode", "tsd", "decoupled-rcnn", "ddod", "double-head", "beyond", "own"]


class Row(Spec):
    """One row of a table: a detector, the stages it replaces, and what the paper printed.

    Attributes:
        label: unique within the table.
        detector: id of a detector recipe; absent for a row that is only cited.
        backbone .. inference: whole tables of the detector that this row replaces, never merged;
            ``"none"`` leaves out a ``sibling`` or a ``mask``.
        columns: what the paper prints in the row's descriptive columns, as in ``{SCE = "yes"}``.
        published: printed numbers, by metric key.
        misprints: metric key -> why the printed number is not believed, with the right one.
        unmatched: metric key -> why our figure differs from the printed one.
        schedule: replaces the table's.
        cited: why the row is only cited and not run.
        baseline: label of the row it is compared with, or ``none``; replaces the table's.
        published_on: what its printed APs are of, or ``none`` where that is what can be measured;
            replaces the table's.
    """

    label: str
    detector: str | None = None
    backbone: dict[str, Any] | None = None
    neck: dict[str, Any] | None = None
    pixels: dict[str, Any] | None = None
    rpn: dict[str, Any] | None = None
    candidates: dict[str, Any] | None = None
    boxes: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None
    assignment: dict[str, Any] | None = None
    heads: dict[str, Any] | None = None
    supervision: dict[str, Any] | None = None
    levels: dict[str, Any] | Literal["none"] | None = None
    predictor: dict[str, Any] | None = None
    score: dict[str, Any] | None = None
    auxiliary: tuple[dict[str, Any], ...] | None = None
    sibling: dict[str, Any] | Literal["none"] | None = None
    rounds: tuple[dict[str, Any], ...] | None = None
    mask: dict[str, Any] | Literal["none"] | None = None
    readout: dict[str, Any] | None = None
    inference: dict[str, Any] | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    published: dict[str, Printed] = Field(default_factory=dict)
    misprints: dict[str, str] = Field(default_factory=dict)
    unmatched: dict[str, str] = Field(default_factory=dict)
    fidelity: Fidelity = "text-only"
    notes: tuple[str, ...] = ()
    schedule: str | None = None
    cited: str | None = None
    baseline: str | None = None
    published_on: str | None = None

    @property
    def replaced(self) -> dict[str, Any]:
        """The detector's tables that this row replaces, by name; none for one it does without."""
        found = {name: getattr(self, name) for name in REPLACEABLE}
        return {name: without(table) for name, table in found.items() if table is not None}


class Table(Spec):
    """A published table.

    Attributes:
        columns: metric keys, in print order.
        input: ``WxH`` at which the paper counts GFLOPs.
        published_on: what the printed APs are of, as "COCO test-dev", where that is not what can be
            measured; without it, the schedules' data.
        schedule: id of a schedule recipe, what ``--profile paper`` trains; without one, each
            detector's own.
        breaks: labels of the rows before which the paper draws a line.
        baseline: label of the row that the others are compared with, or ``none``; by default the
            first of each part between two lines.
        claims: what the rows are said to show.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    paper: Paper
    columns: tuple[str, ...]
    schedule: str | None = None
    input: Annotated[str, Field(pattern=r"^\d+x\d+$")] = "1280x800"
    published_on: str | None = None
    notes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    baseline: str | None = None
    rows: tuple[Row, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()

    def elsewhere(self, row: Row) -> str | None:
        """What a row's printed APs are of; none where that is what can be measured."""
        named = row.published_on or self.published_on
        return None if named == "none" else named

    @property
    def labels(self) -> tuple[str, ...]:
        """Titles of the rows' descriptive columns, in print order."""
        return tuple(dict.fromkeys(title for row in self.rows for title in row.columns))

    @property
    def baselines(self) -> dict[str, str | None]:
        """The label of each row's baseline, by its own; none of a row that is one itself."""
        found: dict[str, str | None] = {}
        first = self.rows[0].label
        for row in self.rows:
            first = row.label if row.label in self.breaks else first
            named = row.baseline or self.baseline or first
            found[row.label] = None if named in (row.label, "none") else named
        return found


class SweepOption(Spec):
    """One value of a sweep's axis.

    Attributes:
        label: unique in its axis.
        set: key path -> value, as in ``{"supervision.cls.weight" = 1.4}``; single settings, changed
            in the detector's (or ``fixed``) tables.
    """

    label: str
    set: dict[str, Any]


class SweepAxis(Spec):
    """An axis of a sweep: the title of its descriptive column, and its values."""

    title: str
    options: tuple[SweepOption, ...] = Field(min_length=1)


class SweepNumbers(Spec):
    """What is printed for one combination, by the labels of its options in the axes' order."""

    at: tuple[str, ...]
    published: dict[str, Printed]


class Sweep(Spec):
    """A table's rows as every combination of single settings along some axes.

    Attributes:
        detector: what all rows share; ``fixed`` holds the tables that all of them replace.
        axes: the first varies slowest.
        label: of a row, with the axes' titles in braces.
        without: combinations that do not exist: axis title -> label.
        numbers: what is printed, for the combinations of which anything is.
    """

    detector: str
    axes: tuple[SweepAxis, ...] = Field(min_length=1)
    label: str
    without: tuple[dict[str, str], ...] = ()
    numbers: tuple[SweepNumbers, ...] = ()
    fixed: dict[str, Any] = Field(default_factory=dict)
    fidelity: Fidelity = "text-only"
    notes: tuple[str, ...] = ()
    schedule: str | None = None


class GridOption(Spec):
    """One value of a grid's axis: its label and the stage's option."""

    label: str
    option: dict[str, Any]


class Grid(Spec):
    """A table's rows as every pair of a cls and a loc option of one stage.

    Attributes:
        stage: the stage that varies.
        detector: what all rows share; ``fixed`` holds the tables that all of them replace.
        cls, loc: the options of each axis.
        shared: where both options are equal they become one object (``both``).
        label: of a row, from the axes' labels.
        axes: titles of the two descriptive columns.
        published: metric key -> numbers as printed, one list per cls option, one number per loc
            option.
    """

    stage: Literal["features", "sampling", "assignment", "heads"]
    detector: str
    cls: tuple[GridOption, ...] = Field(min_length=1)
    loc: tuple[GridOption, ...] = Field(min_length=1)
    shared: bool = False
    label: str = "cls {cls}, loc {loc}"
    axes: tuple[str, str] = ("cls", "loc")
    fixed: dict[str, Any] = Field(default_factory=dict)
    published: dict[str, tuple[tuple[Printed, ...], ...]] = Field(default_factory=dict)
    fidelity: Fidelity = "text-only"
    schedule: str | None = None


class LightResNet(Spec):
    """The light counterpart of a ResNet-50, by which those of the other ResNets are made.

    Attributes:
        blocks: of C2 to C5; a deeper network has more in proportion to a ResNet-50's 3, 4, 6, 3.
        width: multiplies every channel count; of grouped convolutions the number of groups.
        norm, frozen_stages: as in ``ResNet``.
    """

    blocks: tuple[Positive, Positive, Positive, Positive]
    width: Annotated[float, Field(gt=0, le=1)] = 1.0
    norm: Literal["frozen", "eval", "batch"] = "batch"
    frozen_stages: Annotated[int, Field(ge=-1, le=4)] = -1


class Light(Spec):
    """The lighter network of a small profile. What becomes of each field is in its schema's
    ``scaling``, and why in ``docs/profiles.md``.

    Attributes:
        backbone: the light counterpart of a ResNet-50.
        channels: neck and head widths are scaled so that 256 becomes this.
        first, levels: of the pyramid.
        roi: widths of an RoI detector's heads are scaled so that 1024 becomes this.
        pool: sides of pooled maps are scaled so that 7 becomes this.
        candidates: the RPN's numbers of candidates per level are scaled so that 1000 becomes this.
        proposals: the most proposals per image.
        samples: the most proposals per image that teach.
        anchors: multiplies the size of anchors, for data whose objects are small.
        bounds: multiplies the object sizes at which one level of the pyramid gives way to the next,
            in the pooling of regions and in FCOS's assignment.
        shift: multiplies what an output of 1 of a shift network means.
        epochs: multiplies epochs that an option counts, of 12 in the papers.
        init: how hidden convolutions of towers, of SCE and DPE and of the RPN start.
        plain_lr: multiplies the learning rate of a dense detector whose towers have no norm.
    """

    backbone: LightResNet
    channels: Positive
    first: Annotated[int, Field(ge=2, le=5)] | None = None
    levels: Positive | None = None
    roi: Positive | None = None
    pool: Positive | None = None
    proposals: Positive | None = None
    candidates: Positive | None = None
    samples: Positive | None = None
    anchors: Annotated[float, Field(gt=0)] = 1.0
    bounds: Annotated[float, Field(gt=0)] = 1.0
    shift: Annotated[float, Field(gt=0)] = 1.0
    epochs: Annotated[float, Field(gt=0)] = 1.0
    init: Init | None = None
    plain_lr: Annotated[float, Field(gt=0)] = 1.0


class Pretraining(Spec):
    """What the embedded weights of a profile's backbones are made by.

    Attributes:
        detector: id of a dense detector, whose backbone is replaced by each in turn.
        data: drawn by seed if it is ``shapes``, so that no seed of a table trains on its scenes.
        training: from scratch.
        seed: of scenes, weights and order; none that a table is run with.
    """

    detector: str
    data: Data
    training: Training
    seed: Annotated[int, Field(ge=0)] = 1000

    @model_validator(mode="after")
    def _by_itself(self) -> Self:
        if self.data.drawn and not self.data.by_seed:
            raise ValueError(
                "data.scenes must be 'by-seed': else the rows' scenes may be among the weights' own"
            )
        if self.training.weights != "none":
            raise ValueError("training.weights must be 'none': these weights start from scratch")
        return self


class Profile(Spec):
    """How big a run is. ``paper`` replaces nothing.

    Attributes:
        pretraining: what makes the weights that ``training.weights = "embedded"`` asks for.
    """

    id: str
    title: str
    light: Light | None = None
    data: Data | None = None
    training: Training | None = None
    evaluation: Evaluation | None = None
    pretraining: Pretraining | None = None
    notes: tuple[str, ...] = ()
