"""Training losses over iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """The losses of one training: iterations from 1, and the total loss of each.

    Attributes:
        place: among all trainings of a plot, which its look goes by in every panel.
    """

    label: str
    iterations: tuple[int, ...]
    losses: tuple[float, ...]
    place: int = 0


POINTS = 600


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Running mean over the last ``window`` values, over fewer where there are not yet so many."""
    sums, out = 0.0, []
    for index, value in enumerate(values):
        sums += value
        if index >= window:
            sums -= values[index - window]
        out.append(sums / min(index + 1, window))
    return out


def draw(panels: Sequence[Sequence[Curve]], title: str, note: str = "") -> Figure:
    """Running means of the losses, panels side by side, each on axes of its own.

    The window is a twentieth of the longest curve. Panels hold at least one curve each.
    """
    longest = max(len(curve.losses) for panel in panels for curve in panel)
    window = max(1, longest // 20)
    with canvas.panels(len(panels), (4.6, 3.6), (title, note)) as (made, axes, left):
        for ax, panel in zip(axes, panels, strict=True):
            for index, curve in enumerate(panel):
                # More points than a picture can show only make the file larger.
                step = -(-len(curve.losses) // POINTS)
                losses = smooth(curve.losses, window)[::step]
                every = max(1, min(longest, POINTS) // 8)
                ax.plot(
                    curve.iterations[::step],
                    losses,
                    label=curve.label,
                    markevery=(index * every // max(1, len(panel)), every),
                    **canvas.line_style(curve.place),
                )
            ax.set_xlabel("iteration")
            ax.set_ylim(bottom=0)
            canvas.legend_below(ax, 4.6)
        for ax in left:
            ax.set_ylabel(f"total loss (mean of {window})" if window > 1 else "total loss")
    return made
