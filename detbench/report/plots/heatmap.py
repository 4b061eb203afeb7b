"""AP over a grid of two settings, as in DDOD, Tables 1 and 5, and Double-Head, Figure 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

COLOURMAP = "cividis"
"""Grows lighter evenly, so it reads in grey; made for the colour-blind (Nuñez et al. 2018)."""


@dataclass(frozen=True)
class Map:
    """A grid of numbers.

    Attributes:
        x, y: titles of the settings.
        columns, rows: their values, as printed.
        values: AP in percent, one list per row from the top; none is blank.
        absent: rows and columns whose combination does not exist; their values are none.
    """

    title: str
    x: str
    y: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    absent: frozenset[tuple[int, int]] = frozenset()


def draw(maps: Sequence[Map], title: str, note: str = "", verb: str = "measured") -> Figure:
    """Maps side by side with one scale of colours; the best of each is framed, blanks hatched,
    what does not exist empty.

    Args:
        maps: at least one number among them, all of one protocol.
        verb: what a blank is not.
    """
    known = [value for one in maps for row in one.values for value in row if value is not None]
    low, high = min(known), max(known)
    wide = max(len(one.columns) for one in maps)
    tall = max(len(one.rows) for one in maps)
    size = (max(3.4, 1.2 + 0.62 * wide), max(2.8, 1.2 + 0.5 * tall))
    places = sum(len(one.columns) * len(one.rows) - len(one.absent) for one in maps)
    key = "Framed: the best of a map."
    key += f" Hatched: not {verb}." if places > len(known) else ""
    key += " Empty: no such row in the table." if any(one.absent for one in maps) else ""
    words = (title, f"{note} {key}".strip())
    with canvas.panels(len(maps), size, words, most=2) as (made, axes, _):
        for ax, one in zip(axes, maps, strict=True):
            image = _draw(ax, one, low, high if high > low else low + 1.0)
        made.colorbar(image, ax=axes, label="AP (%)", shrink=0.8)
    return made


def _draw(ax: Axes, one: Map, low: float, high: float) -> AxesImage:
    import numpy as np
    from matplotlib.patches import Rectangle

    numbers = np.array([[np.nan if v is None else v for v in row] for row in one.values], float)
    image = ax.imshow(numbers, cmap=COLOURMAP, vmin=low, vmax=high, aspect="auto")
    best = None if np.isnan(numbers).all() else round(float(np.nanmax(numbers)), 1)
    for (i, j), value in np.ndenumerate(numbers):
        corner = (j - 0.5, i - 0.5)
        if (i, j) in one.absent:
            continue
        if np.isnan(value):
            ax.add_patch(
                Rectangle(corner, 1, 1, facecolor="white", edgecolor="#B0B0B0", hatch="///", lw=0)
            )
            continue
        light = (value - low) / (high - low) > 0.5
        ax.text(j, i, f"{value:.1f}", ha="center", va="center", color="black" if light else "white")
        if round(float(value), 1) == best:
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="#D55E00", lw=2.2))
    ax.set_xticks(range(len(one.columns)), one.columns)
    ax.set_yticks(range(len(one.rows)), one.rows)
    ax.set_xlabel(one.x)
    ax.set_ylabel(one.y)
    ax.set_title(one.title)
    ax.grid(visible=False)
    return image
