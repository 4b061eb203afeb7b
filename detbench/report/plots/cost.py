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
ASIDE, ABOVE = 0.16, 0.14
"""Room around the points, as shares of their span."""
OUTSIDE = 4.0
"""How much worse it is for a label to leave the axes than to cover something."""
AWAY = 2.0
"""How much of it a label may cover, in points' breadth, to be a point nearer."""


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
    with canvas.style():
        made.draw_without_rendering()
        for ax, cloud in zip(axes, clouds, strict=True):
            _name(ax, cloud.points, shown_front(cloud.points))
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
    ax.set_title(cloud.title)
    ax.set_xlabel(cloud.x)
    ax.set_ylabel(cloud.y)
    ax.margins(x=ASIDE, y=ABOVE)
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


SHIFTS = [(x, y) for y in (5, -11, 14, -20, 23, -29, 32, -38) for x in (6, -6)]
"""Where a label may begin, or end, beside its point, in points, the best first."""
FAR = 11
LEADER: Any = {
    "arrowstyle": "-",
    "linewidth": 0.4,
    "color": canvas.GREY,
    "shrinkA": 1,
    "shrinkB": 1,
}
"""A line from a label that is farther than that to its point."""


def _name(ax: Axes, points: Sequence[Point], front: Sequence[Point]) -> None:
    """Write each point's label inside the axes, which have their places, and where it covers no
    label, point nor front, as far as it can.
    """
    unit = ax.figure.dpi / 72
    edge = ax.get_window_extent()
    inside = (edge.x0, edge.y0, edge.x1, edge.y1)
    places = _on(ax, points)
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    taken += [(x - 2, y - 2, x + 2, y + 2) for x, y in _along(_on(ax, front))]
    for one, (x, y) in sorted(zip(points, places, strict=True), key=lambda pair: -pair[1][1]):
        boxes = [_box(x, y, len(one.label), shift, unit) for shift in SHIFTS]
        badness = [
            sum(_overlap(box, other) for other in taken)
            + OUTSIDE * _beyond(box, inside)
            + AWAY * unit * abs(shift[1])
            for box, shift in zip(boxes, SHIFTS, strict=True)
        ]
        best = badness.index(min(badness))
        taken.append(boxes[best])
        right, far = SHIFTS[best][0] > 0, abs(SHIFTS[best][1]) > FAR
        ax.annotate(
            one.label,
            (one.cost, one.ap),
            SHIFTS[best],
            textcoords="offset points",
            fontsize=7,
            ha="left" if right else "right",
            arrowprops={**LEADER, "relpos": (float(not right), 0.5)} if far else None,
        ).set_in_layout(False)  # or the axes would make room for it


def _on(ax: Axes, points: Sequence[Point]) -> list[tuple[float, float]]:
    """Places of points on the figure, in pixels."""
    found = [ax.transData.transform((one.cost, one.ap)) for one in points]
    return [(float(x), float(y)) for x, y in found]


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


def _beyond(one: Box, inside: Box) -> float:
    """How much of a box is outside another."""
    return (one[2] - one[0]) * (one[3] - one[1]) - _overlap(one, inside)


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, up)
