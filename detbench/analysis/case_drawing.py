"""Cases drawn on their images, each row's boxes beside the objects. No torch until it must.

Colour and line style say the same, so that black and white is enough; every line has a dark edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detbench.analysis import drawing
from detbench.analysis.case_list import Case, chosen
from detbench.analysis.case_matching import OBJECT, judged
from detbench.analysis.kind import Analysis, Columns, Flags, Floats
from detbench.report.plots import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 1.8
"""Inches of a panel, at most."""
MOST = 4
"""Rows side by side, the baseline among them."""
STYLES: dict[str, dict[str, Any]] = {
    "object": {"edgecolor": "#FFFFFF", "linestyle": "-", "linewidth": 1.4},
    "object not found": {"edgecolor": "#E69F00", "linestyle": (0, (4, 2)), "linewidth": 1.4},
    "box that finds": {"edgecolor": "#56B4E9", "linestyle": "-", "linewidth": 1.4},
    "duplicate": {"edgecolor": "#F0E442", "linestyle": (0, (1, 1)), "linewidth": 2.0},
    "other wrong box": {"edgecolor": "#CC79A7", "linestyle": (0, (5, 1, 1, 1)), "linewidth": 0.9},
}
"""Okabe and Ito's colours, each with a line of its own."""
LEAST = 0.35
"""Of an image's longer side: what is shown at least."""
SMALL = 160
"""Pixels of an image's longer side up to which it is shown whole."""
LEGEND = 6.6
"""Inches that the legend takes in one line."""
ROOM = (0.035, 0.07)
"""Of a panel: the width of a letter, and the height of a line."""
EMPTY = 0.75
"""Grey in place of an image that is not here."""


def draw(analysis: Analysis, words: tuple[str, str]) -> Figure:
    """A row of panels for each case."""
    rows, found = analysis.rows[:MOST], chosen(analysis)
    note = words[1]
    if len(analysis.rows) > MOST:
        note += f" The first {MOST} of {len(analysis.rows)} rows."
    title, note = drawing.shortened(words[0]), drawing.shortened(note)
    if not found:
        return _nothing((title, note))
    tables = [judged(row.tables[0], analysis.settings) for row in rows]
    across = len(rows) + 1
    side = min(drawing.PAGE / across, SIDE)
    lacking = 0
    with canvas.panels(across * len(found), (side, side * 1.04), (title, note), across) as made:
        figure, axes, _ = made
        for number, case in enumerate(found):
            own = [{k: v[t["image"] == case.image] for k, v in t.items()} for t in tables]
            pixels = analysis.pixels(case.image)
            lacking += pixels is None
            panels = axes[number * across : (number + 1) * across]
            _case(panels, (case, own, pixels), number == 0, [row.label for row in rows])
        _legend(axes[-across], 5 if across * side > LEGEND else 3)
        if lacking:
            note += f" {lacking} images are not here: their boxes alone."
    if lacking:
        canvas.caption(figure, title, note)
    return figure


def _nothing(words: tuple[str, str]) -> Figure:
    with canvas.panels(1, (drawing.PAGE, 1.6), words) as (made, axes, _):
        axes[0].axis("off")
        axes[0].text(0.5, 0.5, "No image in which rows differ.", ha="center", va="center")
    return made


def _case(
    panels: list[Axes],
    data: tuple[Case, list[Columns], Any],
    first: bool,
    labels: list[str],
) -> None:
    case, tables, pixels = data
    window = _window(tables, case, None if pixels is None else pixels.shape[:2])
    for ax, title in zip(panels, ("objects", *labels), strict=True):
        if pixels is not None:
            ax.imshow(pixels, interpolation="nearest")
        else:
            ax.set_facecolor(str(EMPTY))
        ax.set_xlim(window[0], window[2])
        ax.set_ylim(window[3], window[1])
        ax.set_aspect("equal")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(visible=False)
        if first:
            ax.set_title(drawing.wrapped(title, 18), fontsize=7.5)
    told = [f"image {case.image}: {case.score:g}", *case.words.split(", ")]
    panels[0].set_ylabel("\n".join(map(drawing.shortened, told)), fontsize=6)
    objects = tables[0]["what"] == OBJECT
    for place in np.flatnonzero(objects).tolist():
        _box(panels[0], _corners(tables[0], place), "object", "")
    for ax, table in zip(panels[1:], tables, strict=True):
        _boxes(ax, table, case)


def _boxes(ax: Axes, table: Columns, case: Case) -> None:
    """A row's boxes, wrong ones below; what differs says its score."""
    objects, kept = table["what"] == OBJECT, table["kept"] > 0
    told = np.isin(table["object"], case.differing)
    finds = kept & (table["finds"] > 0)
    double = kept & ~objects & (table["doubled"] > 0)
    missed = objects & (table["found"] == 0)
    layers: list[tuple[str, Flags]] = [
        ("other wrong box", kept & (table["wrong"] > 0)),
        ("object not found", missed),
        ("box that finds", finds),
        ("duplicate", double),
    ]
    for style, lines in layers:
        for place in np.flatnonzero(lines).tolist():
            text = ""
            if told[place] and style != "other wrong box":
                score = float(table["score"][place])
                text = "no box" if np.isnan(score) else f"{score:.2f}"
            _box(ax, _corners(table, place), style, text)


def _corners(table: Columns, place: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(table[name][place]) for name in ("x0", "y0", "x1", "y1"))
    return x0, y0, x1, y1


def _box(ax: Axes, box: tuple[float, float, float, float], style: str, text: str) -> None:
    from matplotlib.patches import Rectangle

    look = STYLES[style]
    x0, y0, x1, y1 = box
    # In pixels whose centres are whole numbers.
    place = ((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0)
    below: dict[str, Any] = {
        "edgecolor": "black",
        "linewidth": look["linewidth"] + 1.2,
        "fill": False,
    }
    ax.add_patch(Rectangle(*place, **below))
    ax.add_patch(Rectangle(*place, fill=False, gid=style, **look))
    if text:
        _text(ax, box, style, text)


def _text(ax: Axes, box: tuple[float, float, float, float], style: str, text: str) -> None:
    """A score at a corner of its box, inside of what is shown; of a duplicate at the other one."""
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    x0, y0, x1, y1 = box
    wide, high = ROOM[0] * len(text) * (right - left), ROOM[1] * (bottom - top)
    if style == "duplicate":
        x, y = x1 - 0.5 - wide, y1 - 0.5
    else:
        x, y = x0 - 0.5, y0 - 0.5 - high
    x, y = min(max(x, left), right - wide), min(max(y, top), bottom - high)
    paper = {"facecolor": STYLES[style]["edgecolor"], "edgecolor": "black", "pad": 0.8}
    look: dict[str, Any] = {"fontsize": 5.5, "color": "black", "bbox": {**paper, "linewidth": 0.4}}
    ax.text(x, y, text, ha="left", va="top", clip_on=True, **look)


def _window(
    tables: list[Columns], case: Case, size: tuple[int, int] | None
) -> tuple[float, float, float, float]:
    """What of the image is shown: all of a small one, else around what differs."""
    boxes = _all(tables[0])
    height, width = size or (float(boxes[:, 3].max(initial=1)), float(boxes[:, 2].max(initial=1)))
    whole = (-0.5, -0.5, width - 0.5, height - 0.5)
    chosen = boxes[np.isin(tables[0]["object"], case.differing)]
    if max(width, height) <= SMALL or not len(chosen):
        return whole
    low, high = chosen[:, :2].min(axis=0), chosen[:, 2:].max(axis=0)
    side = max(1.5 * float((high - low).max()), LEAST * max(width, height))
    ends = []
    for middle, length in zip(((low + high) / 2).tolist(), (width, height), strict=True):
        extent = min(side, length)
        start = min(max(middle - extent / 2, 0.0), length - extent)
        ends.append((start - 0.5, start + extent - 0.5))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def _all(table: Columns) -> Floats:
    return np.stack([table[name] for name in ("x0", "y0", "x1", "y1")], axis=1)


def _legend(ax: Axes, columns: int) -> None:
    """Below the panels, from the left of the lowest on; its room is that of two empty lines."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor="0.35", label=name, **look) for name, look in STYLES.items()]
    ax.set_xlabel("\n\n", fontsize=7)
    look: dict[str, Any] = {"ncols": columns, "fontsize": 7, "columnspacing": 1.2}
    made = ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.12, -0.03), **look)
    made.set_in_layout(False)
