"""What an analysis is: the record that each kind's file makes, and what it is given. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.analysis.subjects import Subject
    from detbench.evaluation.detections import Truth
    from detbench.evaluation.truth import Truths
    from detbench.recipe.detector import Detector
    from detbench.results.store import Store

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Columns = dict[str, Array]
"""A long table: columns by name, of one length. ``image`` is the data set's id of the image that a
line is of; a kind that looks at no image has 0 there."""

Settings = Mapping[str, float]
Needs = Literal["weights", "detections", "curve", "boxes", "latency"]
"""What a row must have left in the store: a checkpoint, detections, the losses of training;
``boxes`` are detections, or a checkpoint that makes them; ``latency`` is scores with a time."""
DIGITS = 3
Pixels = Callable[[int], "NDArray[np.uint8] | None"]
SIZES = ("small objects", "medium objects", "large objects")
THIRDS = ("easy classes", "medium classes", "hard classes")


@dataclass(frozen=True)
class Setting:
    """A number that a kind can be told.

    Attributes:
        low, high: what it may be.
        whole: it is an integer.
    """

    name: str
    default: float
    low: float
    high: float
    help: str
    whole: bool = True


@dataclass(frozen=True)
class Groups:
    """By what objects are parted.

    Attributes:
        bounds: areas in square pixels between small, medium and large objects.
        thirds: of each label, the place in ``THIRDS`` of its class, -1 of none; empty where the
            classes' difficulty is not known.
        reason: why it is not; else empty.
    """

    bounds: tuple[float, float]
    thirds: tuple[int, ...] = ()
    reason: str = ""

    def names(self) -> tuple[str, ...]:
        """Those that there are, ``all`` first."""
        return ("all", *SIZES, *(THIRDS if self.thirds else ()))

    def lines(self, name: str, table: Columns) -> Flags:
        """Which lines of a table with ``area`` and ``label`` are of a group."""
        if name in SIZES:
            return np.digitize(table["area"], self.bounds) == SIZES.index(name)
        if name in THIRDS:
            return np.asarray(self.thirds)[table["label"]] == THIRDS.index(name)
        return np.ones(len(table["image"]), bool)


@dataclass(frozen=True)
class Measured:
    """What was measured of one row.

    Attributes:
        label: of the row.
        seeds: of its trainings.
        tables: one for each.
        spec: its detector.
    """

    label: str
    seeds: tuple[int, ...]
    tables: tuple[Columns, ...] = field(repr=False)
    spec: Detector | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Analysis:
    """Rows measured alike.

    Attributes:
        rows: what was measured, the baseline first.
        images: ids of the images that were looked at, ascending; [0] where none is.
        groups: by what objects are parted.
        names: of the classes, in the order of the labels.
        settings: what the kind was told.
        note: what was measured on what, in words.
        pixels: an image by its id, (H, W, 3), uint8, RGB; none where it is not here.
    """

    rows: tuple[Measured, ...]
    images: Ints
    groups: Groups
    names: tuple[str, ...]
    settings: Settings
    note: str = ""
    pixels: Pixels = lambda image: None

    @property
    def alone(self) -> bool:
        """Whether no image is looked at."""
        return self.images.tolist() == [0]


Sums = Callable[[Columns], Floats]
"""Of some lines, (lines, k): what each adds."""
Statistic = Callable[[Floats], Floats]
"""(..., k) sums to (...)."""


@dataclass(frozen=True)
class Quantity:
    """A number of each row, that follows from sums over lines.

    Attributes:
        name, part, group: what it is, of which part of the detector, of which objects.
        lines: which lines of a table count.
        sums, statistic: of those lines; the first sum counts what ``n`` says.
        differs: rows are compared in it.
        detail: of many alike; for scripts and the picture alone.
        digits: decimals that it is printed with.
    """

    name: str
    part: str
    group: str
    lines: Callable[[Columns], Flags]
    sums: Sums
    statistic: Statistic
    differs: bool = True
    detail: bool = False
    digits: int = DIGITS


@dataclass(frozen=True)
class Number:
    """A number, with its interval.

    Attributes:
        row: of which row; of a difference, that less the ``baseline``.
        baseline: empty where it is no difference.
        value: none where nothing counts.
        low, high: of its 95 % interval; none with a ``reason``.
        n: what counts, over the seeds; ``images``: that hold any.
        sd: over the seeds; none with one.
        detail, digits: as of its ``Quantity``.
    """

    row: str
    baseline: str
    part: str
    group: str
    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    images: int
    sd: float | None = None
    reason: str = ""
    detail: bool = False
    digits: int = DIGITS


@dataclass(frozen=True)
class Asked:
    """What a kind measures: one row, one seed, one image.

    Attributes:
        subject: the row.
        image: id of the image; 0 of a kind that looks at none.
        opened: the detector and its data; none of a kind that needs no checkpoint.
        detections: of this image, as COCO results.
        place: of the image among those that are looked at, from 0.
        truth: of a kind that needs detections or boxes, the objects of all images.
        store, truths: of a kind that needs latency.
    """

    subject: Subject
    image: int
    settings: Settings
    opened: Any = None
    points: Sequence[Mapping[str, float]] = ()
    detections: Sequence[Mapping[str, Any]] = ()
    place: int = 0
    truth: Truth | None = None
    store: Store | None = None
    truths: Truths | None = None


Draw = Callable[[Analysis, Sequence[Number], tuple[str, str]], "Figure"]


def fits(detector: Detector) -> str:
    """``Kind.unfit`` of a kind that any detector fits."""
    return ""


def nothing(analysis: Analysis) -> Sequence[Any]:
    """``Kind.notes`` of a kind that has none, ``quantities`` of one that has ``numbers``."""
    return ()


@dataclass(frozen=True)
class Kind:
    """An analysis.

    Attributes:
        name: on the command line; ``title`` in words.
        figures: of the papers, that show it.
        needs: what it is measured from.
        measure: a table of one image; of the whole row where ``images`` is 0.
        quantities: what is told of an analysis in numbers; ``numbers`` are made in its place where
            they are no sums over the lines of one row.
        draw: the picture, of the numbers too; the words are its title and note.
        images: how many are looked at unless asked otherwise; none is all, 0 is none at all.
        settings: what can be told.
        revision: raised when what is measured changes.
        unfit: why a detector cannot be asked; empty where it can.
        claimed: what claims can be made of: an analysis, made ready, with the quantities of its
            rows; by default ``quantities``.
        explain: what the numbers mean, below their table.
        notes: sentences on this analysis, below them too.
        source: what a training's table depends on beside the training; plain data.
        photographs: its picture shows some.
    """

    name: str
    title: str
    figures: str
    needs: Needs
    measure: Callable[[Asked], Columns]
    quantities: Callable[[Analysis], Sequence[Quantity]]
    draw: Draw
    images: int | None = None
    settings: tuple[Setting, ...] = ()
    revision: int = 1
    unfit: Callable[[Detector], str] = fits
    claimed: Callable[[Analysis], tuple[Analysis, Sequence[Quantity]]] | None = None
    explain: str = ""
    numbers: Callable[[Analysis], Sequence[Number]] | None = None
    notes: Callable[[Analysis], Sequence[str]] = nothing
    source: Callable[[Subject, Store], Any] | None = None
    photographs: bool = False
