"""Likeness between the cells of s x s maps: tables, numbers and pictures. No torch.

Of n maps a line for each pair of cells has their number and the sum of what they have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from detbench.analysis import drawing, summary
from detbench.analysis.kind import Analysis, Columns, Flags, Floats, Measured, Quantity
from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

NEAR, FAR = "neighbours", "far cells"


def table(image: int, found: Mapping[tuple[str, str], Floats]) -> Columns:
    """Lines of an image.

    Args:
        found: (head, map) to likenesses, (n, s s, s s).
    """
    heads, maps, places, sums = [], [], [], []
    for (head, name), every in found.items():
        count = every.shape[1] ** 2
        heads += [head] * count
        maps += [name] * count
        places.append(np.indices(every.shape[1:]).reshape(2, -1).T)
        sums.append(np.stack([np.full(count, len(every)), every.sum(axis=0).ravel()], axis=1))
    pairs = np.concatenate(places) if places else np.zeros((0, 2), np.int64)
    values = np.concatenate(sums) if sums else np.zeros((0, 2))
    return {
        "image": np.full(len(pairs), image, np.int64),
        "head": np.array(heads, object),
        "map": np.array(maps, object),
        "cell": pairs[:, 0].astype(np.int64),
        "other": pairs[:, 1].astype(np.int64),
        "n": values[:, 0].astype(np.float64),
        "sum": values[:, 1].astype(np.float64),
    }


def quantities(analysis: Analysis) -> list[Quantity]:
    """Means over neighbouring cells and over far ones, of each head and map."""
    found = []
    for head, name in _maps(analysis):
        for distance in (NEAR, FAR):

            def lines(
                table: Columns, head: str = head, name: str = name, distance: str = distance
            ) -> Flags:
                own: Flags = (table["head"] == head) & (table["map"] == name)
                apart = _apart(table)
                return own & ((apart == 1) if distance == NEAR else (apart >= 2))

            def sums(table: Columns) -> Floats:
                return np.stack([table["n"], table["sum"]], axis=-1)

            part = f"head of {head}, {name}"
            found.append(Quantity("likeness", part, distance, lines, sums, summary.mean))
    return found


def side(table: Columns) -> int:
    """s of the maps; 0 without any."""
    return round((int(table["cell"].max(initial=-1)) + 1) ** 0.5)


def _apart(table: Columns) -> Floats:
    """How far the cells of each pair are apart, in cells, by the sum over both axes."""
    size = max(1, side(table))
    rows, columns = (np.divmod(table[name], size) for name in ("cell", "other"))
    return np.abs(rows[0] - columns[0]) + np.abs(rows[1] - columns[1])


def _maps(analysis: Analysis) -> list[tuple[str, str]]:
    every = (
        pair
        for row in analysis.rows
        for one in row.tables
        for pair in dict.fromkeys(zip(one["head"], one["map"], strict=True))
    )
    return list(dict.fromkeys(every))


def matrix(row: Measured, head: str, name: str) -> Floats | None:
    """(s s, s s): the mean over images and seeds; none where the row has no such map."""
    found = []
    for one in row.tables:
        own = (one["head"] == head) & (one["map"] == name)
        if own.any():
            count = side(one) ** 2
            place = one["cell"][own] * count + one["other"][own]
            sums, n = (np.bincount(place, one[key][own], count**2) for key in ("sum", "n"))
            found.append((sums / np.maximum(n, 1)).reshape(count, count))
    return np.mean(found, axis=0) if found else None


def draw(analysis: Analysis, words: tuple[str, str], unit: str) -> Figure:
    """A panel for each row, head and map: at each cell a small map of its likeness to all."""
    shown = [
        (f"{drawing.wrapped(row.label)}\nhead of {head}, {name}", found)
        for row in analysis.rows
        for head, name in _maps(analysis)
        if (found := matrix(row, head, name)) is not None
    ]
    note = (
        f"{words[1]} At each cell, where it is in the region, a map of its {unit} with all cells."
    )
    most = min(3, max(2, len(_maps(analysis))))
    size = (2.4, 2.5)
    with canvas.panels(len(shown), size, (words[0], note), most=most) as (made, axes, _):
        low = min(0.0, *(float(found.min()) for _, found in shown))
        drawn = [_tiles(ax, found, low) for ax, (_, found) in zip(axes, shown, strict=True)]
        for ax, (title, _) in zip(axes, shown, strict=True):
            ax.set_title(title, fontsize=7.5)
        made.colorbar(drawn[0], ax=axes, shrink=0.8).set_label(unit)
    return made


def _tiles(ax: Axes, found: Floats, low: float) -> AxesImage:
    """Every cell's small map at its place, a line of white between them."""
    size = round(len(found) ** 0.5)
    whole = np.full((size * (size + 1) - 1,) * 2, np.nan)
    for cell, likeness in enumerate(found):
        top, left = (at * (size + 1) for at in divmod(cell, size))
        whole[top : top + size, left : left + size] = likeness.reshape(size, size)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax.imshow(whole, cmap="cividis", vmin=low, vmax=1.0, interpolation="nearest")
