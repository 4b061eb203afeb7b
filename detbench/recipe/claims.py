"""Schemas of claims: what a table's rows are said to show, in words and as comparisons.

A claim changes no cell: it is no part of any digest. What the printed numbers say of one is
computed from them (``report.claims``), never written down.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detbench.recipe.base import Spec

Rows = Annotated[tuple[str, ...], Field(min_length=1)]
"""Labels of rows, or patterns of them, as in ``["* + SCE"]``."""

Metrics = Annotated[tuple[str, ...], Field(min_length=1)]
Words = Annotated[str, Field(min_length=1)]
Margin = Annotated[float, Field(ge=0)]

Analysis = Literal[
    "alignment",
    "sliding-window",
    "sensitivity",
    "weights",
    "features",
    "gradients",
    "shifts",
    "curves",
    "speed",
    "cases",
]
"""Kinds of analyses whose figures answer what no table does."""


class Said(Spec):
    """What every claim has.

    Attributes:
        says: the claim, in one's own words.
        place: where it is made, as "section 4.1, Table 1".
        rows: what it is about: labels or patterns.
    """

    says: Words
    place: Words
    rows: Rows


class Compared(Said):
    """Rows against others.

    Attributes:
        than: what ``rows`` are compared with, every one with every one; without it, each with its
            own baseline.
        paired: the first of ``rows`` with the first of ``than`` alone, and so on.
        metrics: each by itself; columns of the table.
    """

    than: Rows | None = None
    paired: bool = False
    metrics: Metrics = ("AP",)


class Better(Compared):
    """``rows`` beat ``than``.

    Attributes:
        least, most: of the gain, in the column's points; without ``least`` any gain at all.
    """

    kind: Literal["better"]
    least: float | None = None
    most: float | None = None


class Equal(Compared):
    """``rows`` are about as good, or as costly, as ``than``.

    Attributes:
        margin: of the difference, in the column's points.
        share: of the difference, as a fraction of what ``than`` has; in place of ``margin``.
    """

    kind: Literal["equal"]
    margin: Margin | None = None
    share: Margin | None = None


class Cheaper(Compared):
    """``rows`` cost less than ``than``.

    Attributes:
        metrics: columns that are costs: GFLOPs, parameters, time.
        least, most: of what is saved, as a fraction of ``than``; without ``least`` anything at all.
    """

    kind: Literal["cheaper"]
    metrics: Metrics = ("gflops",)
    least: float | None = None
    most: float | None = None


class Grows(Compared):
    """The gain of ``rows`` over ``than`` grows along ``metrics``: IoU thresholds, or sizes.

    Attributes:
        metrics: at least two, in the order along which it grows.
        shape: ``steadily`` from each to the next; ``first``: it is the smallest at the first of
            them; ``last``: it is the largest at the last.
    """

    kind: Literal["grows"]
    metrics: Annotated[tuple[str, ...], Field(min_length=2)]
    shape: Literal["steadily", "first", "last"] = "steadily"


class Order(Said):
    """Each of ``rows`` beats the one before it.

    Attributes:
        rows: in the order of the claim; with ``along`` the table's order counts.
        along: title of a descriptive column that varies: rows that differ in it alone are one
            sequence, and every sequence is asked.
        falls: each is worse than the one before it.
    """

    kind: Literal["order"]
    along: str | None = None
    falls: bool = False
    metrics: Metrics = ("AP",)


class Best(Said):
    """Each of ``rows`` beats every other of ``of``.

    Attributes:
        of: by default all rows of the table.
        along: title of a descriptive column: of these, those that differ from the row in it alone.
    """

    kind: Literal["best"]
    of: Rows | None = None
    along: str | None = None
    metrics: Metrics = ("AP",)


class Additive(Said):
    """What ``parts`` gain alone is what they gain together.

    All sets have as many rows as ``rows``: the first of each belong together, and so on.

    Attributes:
        rows: with all parts.
        base: without any.
        parts: sets of rows, each with one part.
        sum: the gain together is ``equal`` to the sum of the single ones, ``more`` or ``less``.
        margin: how far from it counts as equal, in the column's points.
    """

    kind: Literal["additive"]
    base: Rows
    parts: Annotated[tuple[Rows, ...], Field(min_length=2)]
    sum: Literal["equal", "more", "less"] = "equal"
    margin: Margin | None = None
    metrics: Metrics = ("AP",)


class Named(Spec):
    """Which number of an analysis, as ``analyze`` prints it.

    Attributes:
        name, part, group: its "What", "Part" and "Of".
    """

    name: Words | None = None
    part: Words | None = None
    group: Words | None = None


class Shown(Spec):
    """What a claim says of one number of an analysis: that it lies within bounds.

    Attributes:
        name, part, group: of the number, as ``analyze`` prints them under "What", "Part" and "Of".
        less: the number with this name, part or group is subtracted; of several, differences of
            differences.
        falls: the sign is turned: less is what is claimed.
        least, most: of the number then; without either anything above 0.
        margin: differences below it do not matter; none: all do.
    """

    name: Words
    part: Words
    group: Words = "all"
    less: Named | None = None
    falls: bool = False
    least: float | None = None
    most: float | None = None
    margin: Margin | None = None


class Figure(Said):
    """What only an analysis can answer, as the papers' figures do.

    Attributes:
        than: rows whose numbers are subtracted from those of ``rows``; without it, numbers of each
            row by itself.
        paired: the first of ``rows`` with the first of ``than`` alone, and so on.
        analysis: its kind.
        shows: its numbers, each of which the claim needs; empty: nothing decides it.
        images: how many it looks at; none is the kind's own number.
        options: settings of the kind.
    """

    kind: Literal["figure"]
    analysis: Analysis
    than: Rows | None = None
    paired: bool = False
    shows: tuple[Shown, ...] = ()
    images: Annotated[int, Field(ge=1)] | None = None
    options: dict[str, float] = Field(default_factory=dict)


Claim = Annotated[
    Better | Order | Best | Additive | Grows | Equal | Cheaper | Figure,
    Field(discriminator="kind"),
]
