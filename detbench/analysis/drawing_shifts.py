"""Pictures of moved points and proposals: on the image, and in the mean over objects. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from detbench.analysis import drawing, drawing_maps
from detbench.analysis.kind import Analysis, Floats, Measured
from detbench.analysis.lines import MEAN, Picture, parts, unpack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 2.1
"""Inches of a line of panels."""
BEFORE, AFTER = "#E69F00", "#D55E00"
FACTORS = (1, 2, 5, 10, 20, 50, 100)
LONGEST = 0.25
"""Object sides that the longest mean arrow is to have at most."""


def figure(analysis: Analysis, words: tuple[str, str]) -> Figure:
    """A line of panels for each picture and row, a column for each part; then the mean points."""
    named = parts(analysis, MEAN)
    pairs = [pair for image in drawing_maps.side_by_side(analysis) for pair in image]
    note = (
        f"{words[1]} White: the object. Above, the largest object of the first images: a dashed "
        "box is the proposal, a solid one where it is moved to; crosses are points before, dots "
        "after. "
        "Below, about the object: means over all objects."
    )
    rows, columns = len(analysis.rows), max(1, len(named))
    heights = (LINE * len(pairs), (LINE + drawing_maps.HEAD) * rows)
    with drawing_maps.halves(analysis, heights, (words[0], note)) as (made, above, below):
        if above is not None:
            axes = above.subplots(len(pairs), columns, squeeze=False)
            for line, (row, one) in zip(axes, pairs, strict=True):
                for ax, part in zip(line, named, strict=True):
                    _picture(ax, one, part, f"{row.label}: {analysis.names[one.label]}\n{part}")
        axes = below.subplots(rows, columns, squeeze=False)
        for line, row in zip(axes, analysis.rows, strict=True):
            for ax, part in zip(line, named, strict=True):
                _mean(ax, row, part)
    return made


def _picture(ax: Axes, one: Picture, part: str, title: str) -> None:
    if part not in one.parts:
        drawing_maps.bare(ax)
        return
    extent, box, before, after, region = one.parts[part]
    drawing_maps.grey(ax, one.png, extent, title)
    drawing_maps.outline(ax, box)
    for each, style, colour in zip(region, ("--", "-"), (BEFORE, AFTER), strict=False):
        drawing_maps.outline(ax, each, linestyle=style, edgecolor=colour, linewidth=1.6, zorder=5)
    _arrows(ax, before, after)


def _arrows(ax: Axes, before: Floats, after: Floats) -> None:
    """From each point to where it is moved; the ends are what is true to scale."""
    for start, end in zip(before, after, strict=True):
        line: Any = {"color": "black", "linewidth": 0.8, "zorder": 6}
        ax.plot([start[0], end[0]], [start[1], end[1]], **line)
    edge: Any = {"zorder": 7, "linestyle": "none"}
    ax.plot(*before.T, marker="x", color="black", markersize=3.5, **edge)
    ax.plot(*after.T, marker="o", color=AFTER, markeredgecolor="white", markersize=4, **edge)


def _mean(ax: Axes, row: Measured, part: str) -> None:
    """The mean points about the object, shifts drawn longer where they are short."""
    drawing_maps.bare(ax)
    found = mean_points(row, part)
    if found is None:
        return
    before, after, count = found
    longest = float(np.linalg.norm(after - before, axis=1).max(initial=0.0))
    factor = max((one for one in FACTORS if one * longest <= LONGEST), default=1)
    drawing_maps.outline(ax, np.array([-0.5, -0.5, 0.5, 0.5]))
    _arrows(ax, before, before + factor * (after - before))
    ax.set_title(
        f"{drawing.wrapped(row.label)}\n{part}, n {count}, shifts x {factor}",
        fontsize=drawing_maps.SMALL,
    )
    reach = max(0.7, float(np.abs(np.concatenate((before, after))).max()) + 0.1)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(reach, -reach)
    ax.set_aspect("equal")


def mean_points(row: Measured, part: str) -> tuple[Floats, Floats, int] | None:
    """(K, 2) points before and after, in object sides from the centre, means over objects and
    seeds, and over how many; none where the row has no such part.
    """
    sums: list[Sequence[Floats]] = []
    for one in row.tables:
        own = (one["what"] == MEAN) & (one["part"] == part)
        sums += [unpack(values) for values in one["values"][own]]
    if not sums:
        return None
    count, before, after = (np.sum([one[place] for one in sums], axis=0) for place in range(3))
    return before / count[0], after / count[0], int(count[0])
