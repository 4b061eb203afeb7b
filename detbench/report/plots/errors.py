"""Error types beside each other (Bolya et al. 2020): what mending them gains does not add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Gains = Mapping[str, float]

TYPES = {
    "cls": "Cls: wrong class",
    "loc": "Loc: box too far off",
    "both": "Both: wrong class and box",
    "dupe": "Dupe: second box of an object",
    "bkg": "Bkg: nothing there",
    "miss": "Miss: object not found",
}


def draw(
    rows: Mapping[str, Gains], title: str, note: str = "", halves: Mapping[str, Gains] | None = None
) -> Figure:
    """A panel per type of error with a bar per row: what AP50 would gain if it were mended.

    Args:
        rows: label -> error type of ``TYPES`` -> ΔAP50 in percent; at least one row. Gains below
            nothing, which TIDE can give, point to the left.
        halves: of their intervals, alike, where there are some.
    """
    size = (3.4, 1.1 + 0.3 * max(3, len(rows)))
    shared = {"sharex": True, "sharey": True}
    with canvas.panels(len(TYPES), size, (title, note), **shared) as (made, axes, _):
        for index, (ax, (key, name)) in enumerate(zip(axes, TYPES.items(), strict=True)):
            gains = {label: one.get(key, 0.0) for label, one in rows.items()}
            ends = {label: one[key] for label, one in (halves or {}).items() if key in one}
            _bars(ax, gains, ends, canvas.bar_style(index))
            ax.set_title(name)
        axes[0].invert_yaxis()
        for ax in axes[-3:]:
            ax.set_xlabel("ΔAP50 (points)")
    return made


def _bars(ax: Axes, gains: Gains, halves: Gains, look: dict[str, Any]) -> None:
    bars = ax.barh(list(gains), list(gains.values()), 0.68, **look)
    ends = [halves.get(label, 0.0) for label in gains]
    if halves:
        thin = canvas.bars("black")
        ax.errorbar(list(gains.values()), list(gains), xerr=ends, gid="bars", **thin)
    for place, (bar, end) in enumerate(zip(bars, ends, strict=True)):
        ax.annotate(
            f"{bar.get_width():.1f}",
            (max(0.0, bar.get_width()) + end, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    ax.margins(x=0.18)
    ax.grid(axis="y", visible=False)
