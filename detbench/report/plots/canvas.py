"""What all plots share: colours, markers, panels, the caption that says what was measured."""

from __future__ import annotations

import io
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from detbench.errors import shown
from detbench.report import letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PictureFormat = Literal["svg", "png", "pdf"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#F0E442")
"""Okabe and Ito (2008), the ones that are dark enough for lines first."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo", "---")
GREY = "#5A5A5A"

LINES_PER_PANEL = 6
"""More lines than these cannot be told apart in one panel."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#D8D8D8",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 5.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # A dollar sign in a row's label is a dollar sign.
    "text.parse_math": False,
    # Words stay words: a smaller file whose text can be searched and read aloud.
    "svg.fonttype": "none",
    # The same numbers give the same file.
    "svg.hashsalt": "detbench",
}


@dataclass(frozen=True)
class Series:
    """One row of a table as a line, a point or a group of bars.

    Attributes:
        values: one per position; none is left out.
        halves: of their intervals, one per position; none has no bar, empty is none at all.
        place: among all rows of a plot, which its look goes by in every panel.
    """

    label: str
    values: tuple[float | None, ...]
    halves: tuple[float | None, ...] = ()
    place: int = 0

    @property
    def bars(self) -> list[float] | None:
        """Of ``halves`` what a plot's error bars take; none where there are none."""
        if not any(half is not None for half in self.halves):
            return None
        return [float("nan") if half is None else half for half in self.halves]


@dataclass(frozen=True)
class Panel:
    """Series that share a pair of axes."""

    title: str
    series: tuple[Series, ...]


@contextmanager
def style() -> Iterator[None]:
    """The look of all plots, put back afterwards; what the font lacks is said by ``save``."""
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        yield


@contextmanager
def panels(
    count: int, size: tuple[float, float], words: tuple[str, str], most: int = 3, **shared: Any
) -> Iterator[tuple[Figure, list[Axes], list[Axes]]]:
    """A figure of ``count`` empty panels to draw on, in the look of all plots.

    Args:
        size: of each panel, in inches.
        words: the title, and what was measured on what, to be written when all is drawn.
        most: in a row.
        shared: as of ``Figure.subplots``.

    Yields:
        The figure, its axes as one reads, and those of them that are leftmost.
    """
    from matplotlib.figure import Figure

    columns = min(count, most)
    rows = -(-count // columns)
    with style():
        made = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        axes = list(made.subplots(rows, columns, squeeze=False, **shared).flat)
        yield made, axes[:count], axes[:count:columns]
        for ax in axes[count:]:
            ax.remove()
        caption(made, *words)


def caption(made: Figure, title: str, note: str) -> None:
    """Title above the panels and, below them, what was measured on what, wrapped to the width."""
    width = made.get_figwidth()
    made.suptitle("\n".join(textwrap.wrap(title, int(width * 12))), fontsize=11)
    if note:
        lines = textwrap.wrap(note, int(width * 15.5), break_on_hyphens=False)
        made.supxlabel("\n".join(lines), fontsize=7.5, color=GREY, x=0.02, ha="left")


def legend_below(ax: Axes, width: float) -> None:
    """The legend below a panel, where it covers nothing, in as many columns as fit.

    Args:
        width: of the panel, in inches.
    """
    from matplotlib.transforms import ScaledTranslation

    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    room = int((width - 0.6) / 0.07)
    wrapped = ["\n".join(textwrap.wrap(label, room)) or label for label in labels]
    fitting = int(width / (0.07 * min(room, max(map(len, labels))) + 0.6))
    columns = max(1, min(fitting, len(labels)))
    made = ax.get_figure(root=True)
    if made is None:
        return
    # Below ticks and label, which are as high in a panel of any height.
    below = ax.transAxes + ScaledTranslation(0, -0.45, made.dpi_scale_trans)
    where: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": below}
    ax.legend(handles, wrapped, ncols=columns, **where)
    lines = -(-len(labels) // columns) * max(one.count("\n") + 1 for one in wrapped)
    place = ax.get_subplotspec()
    rows = place.get_gridspec().nrows if place else 1
    made.set_figheight(max(made.get_figheight(), rows * (PANEL + LINE * lines)))


PANEL, LINE = 2.9, 0.16
"""Height in inches of a panel without its legend, and of a legend's line."""


def line_style(index: int) -> dict[str, Any]:
    """Colour, marker and line style of series ``index``; eight of them differ in each, and any
    two of sixty-four in one of them.
    """
    turned = index + index // len(COLOURS)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[turned % len(MARKERS)],
        "linestyle": LINES[turned % len(LINES)],
    }


def bars(colour: str) -> dict[str, Any]:
    """Of error bars at points that are drawn already."""
    return {"fmt": "none", "ecolor": colour, "elinewidth": 0.8, "capsize": 2}


def bar_style(index: int) -> dict[str, Any]:
    """Colour and hatch of bars ``index``, with a dark edge."""
    return {
        "facecolor": COLOURS[(index + 5) % len(COLOURS)],
        "hatch": HATCHES[(index + index // len(COLOURS)) % len(HATCHES)],
        "edgecolor": "black",
        "linewidth": 0.6,
    }


def split(series: Sequence[Series], breaks: frozenset[int] = frozenset()) -> list[Panel]:
    """Series in panels: cut at ``breaks``, and no more than ``LINES_PER_PANEL`` in one; each with
    its place among all.

    Sections of one or two series are joined as long as they fit, so that they can be compared.
    """
    sections: list[list[Series]] = []
    for index, one in enumerate(series):
        if not sections or index in breaks:
            sections.append([])
        sections[-1].append(replace(one, place=index))
    found: list[list[Series]] = []
    for section in sections:
        last = len(found[-1]) if found else LINES_PER_PANEL
        if last + len(section) <= LINES_PER_PANEL and min(len(section), last) <= 2:
            found[-1] += section
        else:
            starts = range(0, len(section), LINES_PER_PANEL)
            found += [section[start : start + LINES_PER_PANEL] for start in starts]
    return [Panel("", tuple(panel)) for panel in found]


def save(made: Figure, format: PictureFormat, dpi: int = 150) -> bytes:
    """The picture as a file's bytes; the same figure gives the same bytes, in any process.

    The figure is laid out here, once: what is drawn on it afterwards moves nothing.
    """
    out = io.BytesIO()
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": "detbench"},
        "png": {"Software": "detbench"},
        "pdf": {"CreationDate": None, "Creator": "detbench"},
    }
    with style():
        _lay_out(made, dpi)
        made.savefig(out, format=format, dpi=dpi, metadata=metadata[format])
    if format != "svg":  # where words stay words
        _say_lacking(made)
    return out.getvalue()


_said: set[str] = set()
"""Characters that this process has said the font lacks."""


def _say_lacking(made: Figure) -> None:
    """Say on stderr, once, which characters of a figure are drawn as empty boxes."""
    from matplotlib.text import Text

    used = {each for text in made.findobj(Text) for each in text.get_text()}
    lacking = sorted(each for each in used - letters.known() - _said if not each.isspace())
    if lacking:
        _said.update(lacking)
        few = ", ".join(lacking[:8]) + (", ..." if len(lacking) > 8 else "")
        print(
            f"some names have characters that the plots' font lacks, drawn as boxes: {shown(few)} "
            "(plots as svg keep them as text)",
            file=sys.stderr,
        )


PLACES = 6
"""Digits of a place on a figure, as shares of its width and height."""


def _lay_out(made: Figure, dpi: int) -> None:
    """Give everything its place, rounded: the solver's last digits differ from process to process,
    and with them, now and then, the pixel that a title begins at.
    """
    from matplotlib.transforms import Bbox

    made.dpi = dpi
    made.draw_without_rendering()
    made.set_layout_engine("none")
    for part in made.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(PLACES))
    for ax in made.axes:
        ax.set_position(Bbox(ax.get_position(original=True).get_points().round(PLACES)))


def small_png(made: Figure, colours: int = 32) -> bytes:
    """The picture as pixels of few colours, a fraction of the bytes, for pages.

    The series' own colours and greys are always among them: those that tell apart a few small
    markers would else be merged with others.
    """
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(save(made, "png", 120))) as read:
        image = read.convert("RGB")
    few = image.quantize(colours, dither=Image.Dither.NONE).getpalette() or []
    kept = [int(one[at : at + 2], 16) for one in COLOURS for at in (1, 3, 5)]
    kept += [grey for grey in range(0, 256, 17) for _ in range(3)]
    # Of two colours this close Pillow may take either, and paper is to be white.
    triples = [few[at : at + 3] for at in range(0, len(few), 3)]
    kept += [part for one in triples if min(one) < 240 for part in one]
    palette = Image.new("P", (1, 1))
    palette.putpalette(kept)
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()
