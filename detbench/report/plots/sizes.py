"""AP by object size; over IoU thresholds too, in the layout of TSD, Table 9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from detbench.report.plots import canvas
from detbench.report.plots.canvas import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = ("small", "medium", "large")
NARROW = 0.2
"""Share of a group's room below which a bar is narrower than its number, which is turned then."""


def draw(panels: Sequence[Panel], title: str, note: str = "") -> Figure:
    """Bars of AP for small, medium and large objects, a group of bars per size.

    Args:
        panels: series of AP in percent, one value per size of ``SIZES``; none where no object is
            of that size, written as a dash.
    """
    most = 3 if len(panels) == 3 else 2
    empty = canvas.panels(len(panels), (4.8, 3.6), (title, note), most, sharey=True)
    with empty as (made, axes, left):
        for ax, panel in zip(axes, panels, strict=True):
            width = 0.84 / len(panel.series)
            for index, one in enumerate(panel.series):
                places = [
                    size + (index - (len(panel.series) - 1) / 2) * width
                    for size in range(len(SIZES))
                ]
                heights = [value or 0.0 for value in one.values]
                ax.bar(places, heights, width, label=one.label, **canvas.bar_style(one.place))
                if one.bars:
                    look = canvas.bars("black")
                    ax.errorbar(places, heights, one.bars, gid="bars", **look)
                halves = one.halves or (None,) * len(one.values)
                for place, value, half in zip(places, one.values, halves, strict=True):
                    ax.annotate(
                        "–" if value is None else f"{value:.1f}",
                        (place, (value or 0.0) + (half or 0.0)),
                        (0, 2),
                        textcoords="offset points",
                        ha="center",
                        fontsize=7,
                        rotation=0 if width > NARROW else 90,
                    )
            ax.set_xticks(range(len(SIZES)), SIZES)
            ax.grid(axis="x", visible=False)
            ax.set_xlabel("size of the objects")
            ax.set_title(panel.title)
            ax.margins(y=0.12 if width > NARROW else 0.18)
            ax.tick_params(labelleft=True)
            canvas.legend_below(ax, 4.8)
        for ax in left:
            ax.set_ylabel("AP (%)")
    return made
