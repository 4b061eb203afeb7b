"""Error types, stacked (Bolya et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TYPES = {
    "cls": "Cls: wrong class",
    "loc": "Loc: box too far off",
    "both": "Both: wrong class and box",
    "dupe": "Dupe: second box of an object",
    "bkg": "Bkg: nothing there",
    "miss": "Miss: object not found",
}


def draw(rows: Mapping[str, Mapping[str, float]], title: str, note: str = "") -> Figure:
    """A horizontal bar per row: what AP50 would gain if one type of error were mended, stacked.

    Args:
        rows: label -> error type of ``TYPES`` -> ΔAP50 in percent; at least one row. Gains below
            nothing, which TIDE can give, are drawn as none.
    """
    size = (8.0, 1.5 + 0.36 * max(4, len(rows)))
    with canvas.panels(1, size, (title, note)) as (made, [ax], _):
        labels = list(rows)
        starts = [0.0] * len(rows)
        # Digits need room: four hundredths of the longest bar.
        least = 0.04 * max(sum(max(0.0, gain) for gain in row.values()) for row in rows.values())
        for index, (key, name) in enumerate(TYPES.items()):
            gains = [max(0.0, rows[label].get(key, 0.0)) for label in labels]
            bars = ax.barh(labels, gains, 0.68, left=starts, label=name, **canvas.bar_style(index))
            # White behind the digits, since the bars are hatched.
            ax.bar_label(
                bars,
                [f"{gain:.1f}" if gain > least else "" for gain in gains],
                label_type="center",
                fontsize=7,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )
            starts = [start + gain for start, gain in zip(starts, gains, strict=True)]
        for text in ax.texts:
            text.set_visible(bool(text.get_text()))
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("ΔAP50 if one type alone were mended (points; end to end, they are no total)")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return made
