"""Pictures of both tasks' maps: on the image, as surfaces, and in the mean over objects. No torch.

Maps are drawn in cividis, whose lightness alone tells high from low, with a line around what is
above half of their range, so that black and white is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detbench.analysis import cuts, drawing
from detbench.analysis.kind import Analysis, Floats, Measured
from detbench.analysis.lines import MEAN, Mean, Picture, mean_map, parts, pictures
from detbench.pertask import TASKS
from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COLOURS = "cividis"
HALF = 0.5
TITLE, SMALL = 7.5, 6.5
LINE, HEAD, MEANS = 1.45, 0.5, 1.1
"""Inches: of a line of pictures, of a heading, and of a line of mean maps."""


@dataclass(frozen=True)
class Laid:
    """A map over an image.

    Attributes:
        png, extent: pixels, and (left, right, top, bottom) of them.
        box: of the object, xyxy.
        ends: left, right, top and bottom of the map.
        values: (H, W).
    """

    png: bytes
    extent: Floats
    box: Floats
    ends: Floats
    values: Floats


def edges(xs: Floats, ys: Floats) -> Floats:
    """(4,): left, right, top and bottom of cells around places, as wide as these are apart."""
    ends = []
    for one in (xs, ys):
        half = (one[-1] - one[0]) / max(1, len(one) - 1) / 2
        ends += [one[0] - half, one[-1] + half]
    return np.array(ends)


def lay(ax: Axes, one: Laid, title: str = "") -> None:
    """A map over the grey image, and the object's box."""
    grey(ax, one.png, one.extent, title)
    values = one.values
    ends = tuple(one.ends[[0, 1, 3, 2]])
    look: Any = {"cmap": COLOURS, "interpolation": "nearest", "extent": ends, "zorder": 2}
    ax.imshow(values, alpha=0.5, **look)
    _contour(ax, values, one.ends)
    outline(ax, one.box)
    ax.set_xlim(one.extent[0], one.extent[1])
    ax.set_ylim(one.extent[3], one.extent[2])


def grey(ax: Axes, png: bytes, extent: Floats, title: str = "") -> None:
    """Pixels where they are in the image, without axes."""
    left, right, top, bottom = extent
    ax.imshow(cuts.opened(png), cmap="gray", vmin=0, vmax=255, extent=(left, right, bottom, top))
    bare(ax, title)


def bare(ax: Axes, title: str = "") -> None:
    """No ticks, no frame."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, fontsize=TITLE)


def outline(ax: Axes, box: Floats, **look: Any) -> None:
    """A box in white on black, which is seen on everything."""
    from matplotlib.patches import Rectangle

    for colour, width in (("black", 2.4), ("white", 1.1)):
        drawn: Any = {"edgecolor": colour, "linewidth": width, "fill": False, "zorder": 4} | look
        ax.add_patch(Rectangle(tuple(box[:2]), box[2] - box[0], box[3] - box[1], **drawn))


def _contour(ax: Axes, values: Floats, ends: Floats) -> None:
    """Around what is above half of the range; nothing of a flat map."""
    known = values[np.isfinite(values)]
    if min(values.shape) < 2 or not len(known) or np.ptp(known) == 0:
        return
    left, right, top, bottom = ends
    rows, columns = values.shape
    xs = left + (np.arange(columns) + 0.5) * (right - left) / columns
    ys = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    level = known.min() + HALF * np.ptp(known)
    ax.contour(xs, ys, values, [level], colors="black", linewidths=0.9, zorder=3)


def surface(made: Figure | SubFigure, ax: Axes, cls: Floats, loc: Floats) -> None:
    """Both maps from their lowest to their highest value: cls as a surface, loc as a grid."""
    place, title = ax.get_subplotspec(), ax.get_title()
    ax.remove()
    solid: Any = made.add_subplot(place, projection="3d")
    solid.set_title(title, fontsize=TITLE)
    rows, columns = cls.shape
    xs, ys = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    if min(cls.shape) > 1:
        solid.plot_surface(xs, ys, _unit(cls), cmap=COLOURS, rcount=30, ccount=30, alpha=0.9)
        solid.plot_wireframe(xs, ys, _unit(loc), color="black", linewidth=0.5, rcount=12, ccount=12)
    solid.set_ylim(1, -1)
    for axis in (solid.xaxis, solid.yaxis, solid.zaxis):
        axis.set_ticklabels([])
        axis.set_tick_params(length=0)
    solid.view_init(elev=32, azim=-60)
    solid.set_box_aspect((1, 1, 0.7), zoom=1.15)


def _unit(values: Floats) -> Floats:
    span = np.ptp(values)
    return (values - values.min()) / span if span else np.zeros_like(values)


def side_by_side(analysis: Analysis) -> list[list[tuple[Measured, Picture]]]:
    """Of each image that is drawn, the rows that have a picture of it."""
    found: dict[int, list[tuple[Measured, Picture]]] = {}
    for row in analysis.rows:
        for one in pictures(row):
            found.setdefault(one.image, []).append((row, one))
    return list(found.values())


@contextmanager
def halves(
    analysis: Analysis, heights: tuple[float, float], words: tuple[str, str]
) -> Iterator[tuple[Figure, SubFigure | None, SubFigure]]:
    """A figure as wide as a page: its part for pictures, none without any, and that for mean maps.

    Args:
        heights: of both, in inches.
    """
    from matplotlib.figure import Figure

    with canvas.style():
        made = Figure(figsize=(drawing.PAGE, sum(heights) + 2 * HEAD), layout="constrained")
        shown = [one for one in heights if one]
        ratios: Any = {"height_ratios": shown, "squeeze": False}
        halved = made.subfigures(len(shown), 1, **ratios).ravel().tolist()
        yield made, (halved[0] if len(halved) == 2 else None), halved[-1]
        canvas.caption(made, *words)


def figure(
    analysis: Analysis, extent: tuple[float, ...], words: tuple[str, str], surfaces: bool
) -> Figure:
    """Objects with both maps (and their surfaces), a line for each row; then all mean maps.

    Args:
        extent: left, right, bottom and top of the mean maps, in object sides.
    """
    lines = [pair for image in side_by_side(analysis) for pair in image]
    heights = (LINE * len(lines), height_of_means(analysis))
    with halves(analysis, heights, words) as (made, above, below):
        if above is not None:
            axes = above.subplots(len(lines), 2 + surfaces, squeeze=False)
            if surfaces:
                axes[0, 2].set_title("cls: surface, loc: grid\neach from its lowest to its highest")
            for line, (row, one) in zip(axes, lines, strict=True):
                _object(above, line, one, f"{row.label}: {analysis.names[one.label]}")
        means(below, analysis, extent)
    return made


def _object(made: SubFigure, axes: Sequence[Axes], one: Picture, title: str) -> None:
    [found] = one.parts.values()
    extent, box, ends, *maps = found
    for ax, task, values in zip(axes[:2], TASKS, maps, strict=True):
        span = f"{values.min():.3f} to {values.max():.3f}"
        lay(ax, Laid(one.png, extent, box, ends, values), f"{title}\n{task} {span}")
    if len(axes) > 2:
        surface(made, axes[2], *maps)


def height_of_means(analysis: Analysis) -> float:
    """Inches that ``means`` takes."""
    return 2 * MEANS * len(analysis.rows) + HEAD


def means(made: SubFigure, analysis: Analysis, extent: tuple[float, ...]) -> None:
    """A line of mean maps for each row and task, of one scale for a task: that of the first part,
    so that levels that say little of most objects do not drown it.
    """
    every = sorted(parts(analysis, MEAN), key=_order)
    found = {(row.label, part): mean_map(row, part) for row in analysis.rows for part in every}
    seen = {part for (_, part), one in found.items() if one and one.count}
    named = [part for part in every if part in seen]
    count = len(analysis.rows)
    axes = made.subplots(2 * count, max(1, len(named)), squeeze=False)
    if not named:
        for ax in axes.flat:
            bare(ax)
        return
    for task, name in enumerate(TASKS):
        ends = _ends(
            [getattr(one, name) for key, one in found.items() if one and key[1] == named[0]]
        )
        drawn, lines = None, axes[task * count : (task + 1) * count]
        for line, row in zip(lines, analysis.rows, strict=True):
            for ax, part in zip(line, named, strict=True):
                drawn = _mean(ax, found[row.label, part], (name, part), extent, ends) or drawn
            line[0].set_ylabel(f"{drawing.wrapped(row.label, 16)}\n{name}", fontsize=SMALL)
        if drawn is not None:
            bar = made.colorbar(drawn, ax=list(lines.flat), shrink=0.8, aspect=30, extend="both")
            bar.ax.tick_params(labelsize=SMALL)
            bar.set_label(f"mean {name} map", fontsize=SMALL)


def _ends(maps: Sequence[Floats]) -> tuple[float, float]:
    """The lowest and the highest value."""
    known = np.concatenate([np.zeros(0), *(one[np.isfinite(one)] for one in maps)])
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


def _order(part: str) -> tuple[bool, str]:
    """Levels from fine to coarse, after what is no level."""
    return (part.startswith("P"), part if part.startswith("P") else "")


def _mean(
    ax: Axes,
    found: Mean | None,
    which: tuple[str, str],
    extent: tuple[float, ...],
    ends: tuple[float, float],
) -> Any:
    """A mean map about the object, whose box is drawn where it is seen."""
    task, part = which
    bare(ax)
    if found is None:
        return None
    if task == TASKS[0]:
        ax.set_title(f"{part}\nn {found.count}", fontsize=SMALL)
    left, right, bottom, top = extent
    look: Any = {"vmin": ends[0], "vmax": ends[1], "interpolation": "nearest"}
    values = getattr(found, task)
    drawn = ax.imshow(values, cmap=COLOURS, extent=(left, right, bottom, top), **look)
    _contour(ax, values, np.array([left, right, top, bottom]))
    if right > HALF:
        outline(ax, np.array([-0.5, -0.5, 0.5, 0.5]))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    return drawn
