"""Differences with their intervals: a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Difference:
    """A row less its baseline, in percentage points, with its 95 % interval.

    Attributes:
        wide: the interval that holds for all rows together; none where there is one row.
    """

    label: str
    baseline: str
    value: float
    low: float
    high: float
    wide: tuple[float, float] | None = None


def draw(found: Sequence[Difference], title: str, note: str = "", metric: str = "AP") -> Figure:
    """A point and its interval per row, thin the one that holds for all rows together.

    Filled where the widest interval does not hold nothing.

    Args:
        found: at least one.
    """
    size = (8.0, 1.4 + 0.34 * max(3, len(found)))
    with canvas.panels(1, size, (title, note)) as (made, [ax], _):
        places = range(len(found))
        for place, one in zip(places, found, strict=True):
            low, high = one.wide or (one.low, one.high)
            clear = low > 0 or high < 0
            colour = canvas.COLOURS[0] if clear else canvas.GREY
            ax.errorbar(
                [one.value],
                [place],
                xerr=[[max(0.0, one.value - one.low)], [max(0.0, one.high - one.value)]],
                fmt="s" if clear else "o",
                color=colour,
                markerfacecolor=colour if clear else "white",
                capsize=3,
            )
            if one.wide:
                ax.plot([low, high], [place, place], color=colour, linewidth=0.7, gid="all rows")
            ax.annotate(
                f"{one.value:+.1f} [{one.low:+.1f}, {one.high:+.1f}]",
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
            )
        ax.axvline(0, color="black", linewidth=1.0)
        ax.set_yticks(list(places), [f"{one.label}  −  {one.baseline}" for one in found])
        ax.set_ylim(len(found) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"Δ{metric} with its 95 % interval (percentage points)")
    return made
