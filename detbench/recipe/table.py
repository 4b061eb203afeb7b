"""Schemas of a table recipe and of a profile."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from detbench.recipe.base import Spec
from detbench.recipe.detector import Fidelity
from detbench.recipe.experiment import Data, Evaluation, Training
from detbench.recipe.model import Backbone, Positive

REPLACEABLE = (
    "backbone",
    "neck",
    "pixels",
    "candidates",
    "boxes",
    "features",
    "sampling",
    "assignment",
    "heads",
    "supervision",
    "inference",
)

METRICS = (
    "AP",
    *(f"AP{threshold}" for threshold in range(50, 100, 5)),
    *("APs", "APm", "APl", "AR", "ARs", "ARm", "ARl", "VOC07", "VOC"),
    *("gflops", "params_m"),
)
"""Keys of ``columns`` and ``published``. AP and AR are in percent, as the papers print them; VOC07
and VOC are Pascal VOC's own mean APs (11 points; area), measured on VOC only."""

COSTS = ("gflops", "params_m")
"""The metrics that need no training."""

Paper = Literal["tscode", "tsd", "decoupled-rcnn", "ddod", "double-head", "own"]


class Row(Spec):
    """One row of a table: a detector, the stages it replaces, and what the paper printed.

    Attributes:
        label: unique within the table.
        detector: id of a detector recipe; absent for a row that is only cited.
        backbone .. inference: whole tables of the detector that this row replaces, never merged.
        columns: what the paper prints in the row's descriptive columns, as in ``{SCE = "yes"}``.
        published: printed numbers, by metric key.
        misprints: metric key -> why the printed number is not believed, with the right one.
        unmatched: metric key -> why our figure differs from the printed one.
        schedule: replaces the table's.
        cited: why the row is only cited and not run.
    """

    label: str
    detector: str | None = None
    backbone: dict[str, Any] | None = None
    neck: dict[str, Any] | None = None
    pixels: dict[str, Any] | None = None
    candidates: dict[str, Any] | None = None
    boxes: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None
    assignment: dict[str, Any] | None = None
    heads: dict[str, Any] | None = None
    supervision: dict[str, Any] | None = None
    inference: dict[str, Any] | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    published: dict[str, float] = Field(default_factory=dict)
    misprints: dict[str, str] = Field(default_factory=dict)
    unmatched: dict[str, str] = Field(default_factory=dict)
    fidelity: Fidelity = "text-only"
    notes: tuple[str, ...] = ()
    schedule: str | None = None
    cited: str | None = None

    @property
    def replaced(self) -> dict[str, dict[str, Any]]:
        """The detector's tables that this row replaces, by name."""
        return {name: table for name in REPLACEABLE if (table := getattr(self, name)) is not None}


class Table(Spec):
    """A published table.

    Attributes:
        columns: metric keys, in print order.
        input: ``WxH`` at which the paper counts GFLOPs.
        schedule: id of a schedule recipe, what ``--profile paper`` trains; without one, each
            detector's own.
        breaks: labels of the rows before which the paper draws a line.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    paper: Paper
    columns: tuple[str, ...]
    schedule: str | None = None
    input: Annotated[str, Field(pattern=r"^\d+x\d+$")] = "1280x800"
    notes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    rows: tuple[Row, ...] = Field(min_length=1)

    @property
    def labels(self) -> tuple[str, ...]:
        """Titles of the rows' descriptive columns, in print order."""
        return tuple(dict.fromkeys(title for row in self.rows for title in row.columns))


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
    published: dict[str, tuple[tuple[float, ...], ...]] = Field(default_factory=dict)
    fidelity: Fidelity = "text-only"
    schedule: str | None = None


class Light(Spec):
    """The lighter network of a small profile.

    Attributes:
        backbone: replaces the recipe's.
        channels: neck and head widths are scaled so that 256 becomes this.
        first, levels: of the pyramid.
    """

    backbone: Backbone
    channels: Positive
    first: Annotated[int, Field(ge=2, le=5)] | None = None
    levels: Positive | None = None


class Profile(Spec):
    """How big a run is. ``paper`` replaces nothing."""

    id: str
    title: str
    light: Light | None = None
    data: Data | None = None
    training: Training | None = None
    evaluation: Evaluation | None = None
    notes: tuple[str, ...] = ()
