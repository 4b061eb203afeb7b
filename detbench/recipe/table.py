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
    columns: dict[str, str] = {}
    published: dict[str, float] = {}
    misprints: dict[str, str] = {}
    unmatched: dict[str, str] = {}
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
        schedule: id of a schedule recipe: what ``--profile paper`` trains.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    paper: Paper
    columns: tuple[str, ...]
    schedule: str
    input: Annotated[str, Field(pattern=r"^\d+x\d+$")] = "1280x800"
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = Field(min_length=1)


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
