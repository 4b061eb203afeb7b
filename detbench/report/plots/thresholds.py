"""AP over IoU thresholds, as in TSD, Figure 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from detbench.report.plots import canvas
from detbench.report.plots.canvas import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))


def draw(panels: Sequence[Panel], title: str, note: str = "", x: str = "") -> Figure:
    """Lines of AP over the IoU a box needs, panels side by side on equal axes.

    Args:
        panels: series of AP in percent, one value per threshold of ``THRESHOLDS``.
        x: what to call the horizontal axis.
    """
    empty = canvas.panels(len(panels), (4.4, 3.6), (title, note), sharex=True, sharey=True)
    with empty as (made, axes, left):
        for ax, panel in zip(axes, panels, strict=True):
            for one in panel.series:
                values = [float("nan") if value is None else value for value in one.values]
                look = canvas.line_style(one.place)
                ax.plot(THRESHOLDS, values, label=one.label, **look)
                if one.bars:
                    thin = canvas.bars(look["color"])
                    ax.errorbar(THRESHOLDS, values, one.bars, gid="bars", **thin)
            ax.set_title(panel.title)
            canvas.legend_below(ax, 4.4)
            ax.tick_params(labelbottom=True, labelleft=True)
            ax.set_xlabel(x or "IoU that a box needs with its object")
        # After all lines: the axes share one scale.
        axes[0].set_ylim(bottom=0)
        for ax in left:
            ax.set_ylabel("AP (%)")
    return made
