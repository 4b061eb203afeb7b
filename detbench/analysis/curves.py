"""How fast does training learn? Losses of rows side by side, seeds as a band (TSCODE, Figure 5).

No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from detbench.analysis import summary
from detbench.analysis.kind import (
    Analysis,
    Asked,
    Columns,
    Flags,
    Floats,
    Kind,
    Measured,
    Number,
    Quantity,
    Setting,
)
from detbench.report.plots import canvas
from detbench.report.plots.losses import POINTS, smooth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUARTERS = ("first quarter", "second quarter", "third quarter", "last quarter")
FIRST = ("cls", "loc", "total")
"""Losses that are drawn first where rows have them."""
MOST = 4
NONE = {"iteration", "lr"}


def measure(asked: Asked) -> Columns:
    """A line for each iteration and loss; infinite ones are left out."""
    lines = [
        (int(point["iteration"]), name, float(value))
        for point in asked.points
        for name, value in point.items()
        if name not in NONE and np.isfinite(value)
    ]
    last = max((line[0] for line in lines), default=1)
    return {
        "image": np.zeros(len(lines), np.int64),
        "iteration": np.array([line[0] for line in lines], np.int64),
        "share": np.array([line[0] / last for line in lines], np.float64),
        "loss": np.array([line[1] for line in lines], object),
        "value": np.array([line[2] for line in lines], np.float64),
    }


def quantities(analysis: Analysis) -> list[Quantity]:
    """Means of each loss that all rows have, over quarters of training."""
    found = []
    for name in shared(analysis):
        for place, quarter in enumerate(QUARTERS):

            def lines(table: Columns, name: str = name, place: int = place) -> Flags:
                at = np.minimum((table["share"] * 4 - 1e-9).astype(np.int64), 3)
                chosen: Flags = (table["loss"] == name) & (at == place)
                return chosen

            sums = summary.column("value")
            found.append(Quantity("mean loss", name, quarter, lines, sums, summary.mean))
    return found


def shared(analysis: Analysis) -> list[str]:
    """Losses that every training has, those of both tasks first."""
    names = [set(table["loss"].tolist()) for row in analysis.rows for table in row.tables]
    common = set.intersection(*names)
    return [one for one in FIRST if one in common] + sorted(common - set(FIRST))


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """A panel for each loss: running means, and from the lowest to the highest seed."""
    names, window = shared(analysis)[:MOST], int(analysis.settings["window"])
    note = f"{words[1]} Running means; bands reach from the lowest to the highest seed."
    with canvas.panels(len(names), (3.5, 2.5), (words[0], note), most=2) as (made, axes, left):
        for ax, name in zip(axes, names, strict=True):
            for place, row in enumerate(analysis.rows):
                iterations, curves = _curves(row, name, window)
                step = -(-len(iterations) // POINTS)
                style = canvas.line_style(place)
                every = max(1, len(iterations) // step // 8)
                middle = curves.mean(axis=0)[::step]
                at = iterations[::step]
                ax.plot(at, middle, label=row.label, markevery=(place * 2, every), **style)
                if len(curves) > 1:
                    low, high = curves.min(axis=0)[::step], curves.max(axis=0)[::step]
                    ax.fill_between(at, low, high, color=style["color"], alpha=0.2, linewidth=0)
            ax.set_title(name, fontsize=9)
            ax.set_xlabel("iteration")
            ax.set_ylim(bottom=0)
        axes[0].legend(loc="upper right")
        for ax in left:
            ax.set_ylabel("loss")
    return made


def _curves(row: Measured, name: str, window: int) -> tuple[Floats, Floats]:
    """Iterations, and a smoothed line of each seed, as long as the shortest."""
    found = []
    for table in row.tables:
        lines = table["loss"] == name
        found.append((table["iteration"][lines], smooth(table["value"][lines].tolist(), window)))
    length = min(len(line) for _, line in found)
    return found[0][0][:length], np.array([line[:length] for _, line in found])


KIND = Kind(
    name="curves",
    title="Training losses",
    figures="TSCODE 5",
    needs="curve",
    measure=measure,
    quantities=quantities,
    draw=draw,
    images=0,
    settings=(Setting("window", 40, 1, 100_000, "iterations of the running mean"),),
    explain="Losses as they were minimised, weights included, so that rows with other losses are "
    "not comparable by them.",
)
