"""What pictures of several kinds share; as wide as a paper's two columns or one. No torch.

Colour, hatch and marker say the same, so that black and white is enough.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detbench.analysis.kind import Analysis, Number
from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.4, 7.0
"""Inches: of one column of a paper, and of both."""
SHORT = 22
LINES = 3
"""Letters of a line of a row's label, and its lines at the most."""


@dataclass(frozen=True)
class Panel:
    """A panel of the numbers of one part and name."""

    title: str
    part: str
    name: str


def of(
    numbers: Sequence[Number], row: str, panel: Panel, group: str, baseline: str = ""
) -> Number | None:
    """A number, if it is there."""
    wanted = (row, baseline, panel.part, group, panel.name)
    for one in numbers:
        if (one.row, one.baseline, one.part, one.group, one.name) == wanted:
            return one
    return None


def bars_of_groups(
    analysis: Analysis,
    numbers: Sequence[Number],
    panels: Sequence[Panel],
    groups: Sequence[str],
    words: tuple[str, str],
) -> Figure:
    """A panel of bars for each: the groups side by side, in each a bar of every row."""
    rows = [one.label for one in analysis.rows]
    width = 0.8 / len(rows)
    with canvas.panels(len(panels), (PAGE / 2, 2.3), words, most=2) as (made, axes, _):
        for ax, panel in zip(axes, panels, strict=True):
            for place, row in enumerate(rows):
                found = [of(numbers, row, panel, group) for group in groups]
                xs = [at + (place - (len(rows) - 1) / 2) * width for at in range(len(groups))]
                _bars(ax, xs, found, width, place)
            ax.set_xticks(range(len(groups)), [_stacked(name) for name in groups], fontsize=7)
            ax.set_title(panel.title, fontsize=9)
            ax.grid(visible=False, axis="x")
            ax.axhline(0, color="black", linewidth=0.6)
        legend(axes[-2 if len(panels) > 1 else -1], rows)
    return made


def _bars(
    ax: Axes, xs: Sequence[float], found: Sequence[Number | None], width: float, place: int
) -> None:
    heights = [float("nan") if one is None or one.value is None else one.value for one in found]
    ax.bar(xs, heights, width, **canvas.bar_style(place))
    for x, one in zip(xs, found, strict=True):
        if one is not None and one.low is not None and one.high is not None:
            ax.plot([x, x], [one.low, one.high], color="black", linewidth=0.8)


def legend(ax: Axes, rows: Sequence[str], below: float = -0.26) -> None:
    """A legend of bars for all panels, below one of the last row."""
    from matplotlib.patches import Patch

    patches = [Patch(**canvas.bar_style(place), label=row) for place, row in enumerate(rows)]
    columns = max(1, min(len(rows), int(PAGE / (0.07 * max(map(len, rows)) + 0.6))))
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, below), ncols=columns)


def _stacked(name: str) -> str:
    """A group's name in two lines."""
    return name.replace(" ", "\n", 1)


def shortened(text: str) -> str:
    """A text whose longest words, as files' paths, are cut in the middle."""
    half = SHORT // 2
    return re.sub(rf"\S{{{SHORT + 8},}}", lambda one: f"{one[0][:half]}…{one[0][-half:]}", text)


def wrapped(label: str, width: int = SHORT) -> str:
    """A row's label in up to ``LINES`` lines of about ``width`` letters; of one that is longer, as
    with a file's path, its beginning and its end.
    """
    lines = textwrap.wrap(label, width)
    if len(lines) > LINES:
        half = LINES * width // 2
        lines = textwrap.wrap(f"{label[: half - 1]}…{label[-half + 1 :]}", width)[:LINES]
    return "\n".join(lines) or label


@dataclass(frozen=True)
class Curve:
    """A panel of lines: of one group, the numbers of these names in order."""

    title: str
    group: str
    names: Sequence[str]


def lines_of_parts(
    analysis: Analysis,
    numbers: Sequence[Number],
    data: tuple[Sequence[float], Sequence[Curve | None]],
    parts: Sequence[str],
    words: tuple[str, str],
) -> Figure:
    """A panel for each curve: a line of every row and part, shaded by its deviation.

    Args:
        data: places along x, and the panels, four in a row; the first empty one has the legend.
    """
    xs, curves = data
    known = {(one.row, one.baseline, one.part, one.group, one.name): one.value for one in numbers}
    seen = {(key[0], key[2]) for key in known}
    pairs = ((row.label, part) for row in analysis.rows for part in parts)
    lines = [one for one in pairs if one in seen]
    with canvas.panels(len(curves), (PAGE / 4, 1.75), words, most=4) as (made, axes, _):
        for ax, curve in zip(axes, curves, strict=True):
            if curve is None:
                ax.axis("off")
                continue
            for place, (row, part) in enumerate(lines):
                label = wrapped(row if len(parts) == 1 else f"{row}, {part}")
                heights, spread = (
                    [known.get((row, "", part, curve.group, before + name)) for name in curve.names]
                    for before in ("", "deviation of ")
                )
                _line(ax, (xs, heights, spread), label, place)
            ax.set_title(curve.title, fontsize=7.5)
            ax.set_xlim(0, 1)
            ax.set_ylim(-0.02, 1.05)
            ax.tick_params(labelsize=6.5)
        empty = axes[list(curves).index(None)]
        handles, labels = axes[0].get_legend_handles_labels()
        empty.legend(handles, labels, loc="center left", fontsize=6.5, borderaxespad=0)
    return made


def _line(
    ax: Axes,
    data: tuple[Sequence[float], Sequence[float | None], Sequence[float | None]],
    label: str,
    place: int,
) -> None:
    import numpy as np

    xs, heights, spread = (np.array(one, np.float64) for one in data)
    style = canvas.line_style(place)
    ax.plot(xs, heights, label=label, markevery=(place, 4), markersize=3.5, linewidth=1.1, **style)
    ax.fill_between(
        xs, heights - spread, heights + spread, color=style["color"], alpha=0.12, linewidth=0
    )
