"""AP against what it costs, with the Pareto front."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """One detector.

    Attributes:
        cost: GFLOPs, milliseconds or whatever the axis says; less is better.
        ap: in percent.
        group: points of a group share colour and marker.
        half: of its AP's interval; none has no bar.
    """

    label: str
    cost: float
    ap: float
    group: str = ""
    half: float | None = None


@dataclass(frozen=True)
class Cloud:
    """Points whose APs may be compared, which get a pair of axes of their own.

    Attributes:
        title: whose numbers they are, and on what data.
        x, y: the axes' labels, with units.
        published: printed by a paper; drawn hollow.
    """

    title: str
    x: str
    y: str
    points: tuple[Point, ...]
    published: bool = False


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats: none is as cheap with a higher AP, nor cheaper with as high.

    In order of cost; of equal points all are kept.
    """
    front = [
        one
        for one in points
        if not any(
            (other.cost <= one.cost and other.ap > one.ap)
            or (other.cost < one.cost and other.ap >= one.ap)
            for other in points
        )
    ]
    return sorted(front, key=lambda point: (point.cost, point.ap))


def shown_front(points: Sequence[Point]) -> list[Point]:
    """The front where it says something: of three points and more that differ, two of them on it;
    else empty.
    """
    front = pareto(points)
    some = len({(one.cost, one.ap) for one in points})
    return front if some > 2 and len({(one.cost, one.ap) for one in front}) > 1 else []


WIDTH = 6.0
"""Of a panel, in inches."""


def draw(clouds: Sequence[Cloud], title: str, note: str = "") -> Figure:
    """Clouds side by side, each on axes of its own, with its Pareto front.

    Args:
        clouds: at least one, each with at least one point.
        note: what was measured on what, printed below.
    """
    groups = list(dict.fromkeys(one.group for cloud in clouds for one in cloud.points))
    with canvas.panels(len(clouds), (WIDTH, 4.4), (title, note), len(clouds)) as (made, axes, _):
        for ax, cloud in zip(axes, clouds, strict=True):
            _draw(ax, cloud, groups)
    return made


def _draw(ax: Axes, cloud: Cloud, groups: list[str]) -> None:
    front = shown_front(cloud.points)
    if front:
        line: Any = {
            "color": canvas.GREY,
            "linestyle": "--" if cloud.published else "-",
            "linewidth": 1.0,
        }
        costs, aps = [point.cost for point in front], [point.ap for point in front]
        ax.plot(costs, aps, **line, zorder=1, label="Pareto front", gid="front")
    for index, group in enumerate(groups):
        points = [point for point in cloud.points if point.group == group]
        if not points:
            continue
        look = canvas.line_style(index)
        ax.plot(
            [point.cost for point in points],
            [point.ap for point in points],
            linestyle="none",
            marker=look["marker"],
            color=look["color"],
            markerfacecolor="white" if cloud.published else look["color"],
            markeredgewidth=1.4,
            label=group or "_rows",
            gid="points",
        )
    _bars(ax, [point for point in cloud.points if point.half is not None])
    _name(ax, cloud.points, front)
    ax.set_title(cloud.title)
    ax.set_xlabel(cloud.x)
    ax.set_ylabel(cloud.y)
    ax.margins(x=0.16, y=0.14)
    canvas.legend_below(ax, WIDTH)


def _bars(ax: Axes, points: Sequence[Point]) -> None:
    """The intervals of those that have one."""
    if not points:
        return
    ax.errorbar(
        [point.cost for point in points],
        [point.ap for point in points],
        [point.half or 0.0 for point in points],
        fmt="none",
        ecolor=canvas.GREY,
        elinewidth=0.8,
        capsize=2,
        gid="bars",
    )


SHIFTS = ((6, 5), (6, -11), (-6, 5), (-6, -11), (6, 14), (6, -20), (-6, 14), (-6, -20))


def _name(ax: Axes, points: Sequence[Point], front: Sequence[Point]) -> None:
    """Write each point's label where it covers no label, point nor front, as far as it can."""
    figure = ax.figure
    width, height = ax.get_window_extent().size
    costs, aps = [one.cost for one in points], [one.ap for one in points]
    spans = (max(costs) - min(costs) or 1.0, max(aps) - min(aps) or 1.0)
    scale = (width / spans[0] / 1.32, height / spans[1] / 1.28)
    unit = figure.dpi / 72
    places = [(one.cost * scale[0], one.ap * scale[1]) for one in points]
    line = _along([(one.cost * scale[0], one.ap * scale[1]) for one in front])
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    taken += [(x - 2, y - 2, x + 2, y + 2) for x, y in line]
    for one, (x, y) in zip(points, places, strict=True):
        boxes = [_box(x, y, len(one.label), shift, unit) for shift in SHIFTS]
        overlaps = [sum(_overlap(box, other) for other in taken) for box in boxes]
        best = overlaps.index(min(overlaps))
        taken.append(boxes[best])
        right = SHIFTS[best][0] > 0
        ax.annotate(
            one.label,
            (one.cost, one.ap),
            SHIFTS[best],
            textcoords="offset points",
            fontsize=7,
            ha="left" if right else "right",
        )


def _along(corners: Sequence[tuple[float, float]], steps: int = 40) -> list[tuple[float, float]]:
    """Points along a line through some corners."""
    return [
        (x + (to_x - x) * step / steps, y + (to_y - y) * step / steps)
        for (x, y), (to_x, to_y) in itertools.pairwise(corners)
        for step in range(steps)
    ]


Box = tuple[float, float, float, float]


def _box(x: float, y: float, letters: int, shift: tuple[int, int], unit: float) -> Box:
    left, bottom = x + shift[0] * unit, y + shift[1] * unit
    width, height = letters * 4.2 * unit, 7 * unit
    if shift[0] < 0:
        left -= width
    return left, bottom, left + width, bottom + height


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, up)
