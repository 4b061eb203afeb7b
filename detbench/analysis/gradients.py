"""Which cells of the pyramid does each task owe its output to? DDOD (Chen et al. 2021), Figure 2.

Grad-CAM of the class output and of the box output, on each level of a dense detector, on the level
that a two-stage one reads the object from. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from detbench.analysis import drawing, drawing_maps, summary
from detbench.analysis.cams import EVEN_BORDER, NAMES, Cams, about
from detbench.analysis.cuts import cut
from detbench.analysis.kind import (
    Analysis,
    Asked,
    Columns,
    Floats,
    Kind,
    Number,
    Quantity,
    Setting,
)
from detbench.analysis.lines import (
    MEAN,
    OBJECT,
    OWN,
    PICTURE,
    Line,
    Picture,
    of_objects,
    parts,
    pictured,
    table,
)
from detbench.pertask import TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from detbench.analysis.opened import Objects

TOLD = {
    "inside_cls": "share of the cls map inside the object",
    "inside_loc": "share of the loc map inside the object",
    "even": "share that an even map would have inside",
    "border_cls": "of the cls map inside, share at the border",
    "border_loc": "of the loc map inside, share at the border",
    "pearson": "Pearson of both maps",
    "common": "what both maps have in common",
    "empty_cls": "objects whose cls map is empty",
    "empty_loc": "objects whose loc map is empty",
}
OF_LEVELS = ("inside_cls", "inside_loc", "even", "pearson", "common")
"""What is told of each level too; the rest is for scripts."""
BESIDE = 2
"""Levels up to which both tasks' maps stand in one line."""
MOST = 1.9
"""Inches of a picture's line at most."""
REACH, SIDE = 1.0, 17
"""Of the mean maps, in object sides, and their cells along each side."""


def measure(asked: Asked) -> Columns:
    """The table of one image, see ``of_image``."""
    from detbench.analysis import backward

    opened = asked.opened
    objects, image = opened.objects(asked.image), opened.image(asked.image)
    if not len(objects.labels):
        return table(asked.image, NAMES, [])
    pairs = list(zip(objects.boxes, objects.labels.tolist(), strict=True))
    found = list(backward.of_objects(opened, image, pairs))
    lines = of_image(found, objects)
    shown = pictured(asked.place, asked.settings, objects.areas)
    if shown >= 0:
        lines += _picture(found[shown][1], np.asarray(image), objects, shown)
    return table(asked.image, NAMES, lines)


def of_image(found: Sequence[tuple[str, dict[str, Cams]]], objects: Objects) -> list[Line]:
    """A line for each object and level, its own one twice, and one for each mean map.

    Args:
        found: of each object, its own level and its maps by level.
    """
    lines, together = [], dict[str, list[tuple[Cams, Floats]]]()
    each = zip(found, objects.boxes, objects.labels, objects.areas, strict=True)
    for (own, levels), box, label, area in each:
        for part, one in ((OWN, levels[own]), *levels.items()):
            numbers = one.numbers(box)
            lines.append(Line(OBJECT, part, int(label), float(area), numbers))
            together.setdefault(part, []).append((one, box))
    for part, cams in together.items():
        lines.append(Line(MEAN, part, arrays=tuple(about(cams, REACH, SIDE))))
    return lines


def _picture(levels: dict[str, Cams], image: Floats, objects: Objects, shown: int) -> list[Line]:
    """Both maps of every level over the whole image."""
    png, extent = cut(image.astype(np.uint8), objects.boxes[shown], float("inf"))
    lines: list[Line] = []
    for part, one in levels.items():
        rows, columns = one.cls.shape
        ends = np.array([0, columns * one.cell[0], 0, rows * one.cell[1]])
        arrays = (extent, objects.boxes[shown], ends, one.cls, one.loc)
        label = int(objects.labels[shown])
        lines.append(Line(PICTURE, part, label, 0.0, {}, arrays, b"" if lines else png))
    return lines


def quantities(analysis: Analysis) -> list[Quantity]:
    """How much of each map is inside the object and at its border, and how alike the two are."""
    found = []
    for part in parts(analysis):
        for group in analysis.groups.names() if part == OWN else ("all",):
            for name, title in TOLD.items():
                lines = of_objects(analysis, part, group, name)
                detail = part != OWN and name not in OF_LEVELS
                sums = summary.column(name)
                found.append(Quantity(title, part, group, lines, sums, summary.mean, detail=detail))
    return found


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """An object's maps on every level over the image, then the mean maps of each level."""
    pairs = [pair for image in drawing_maps.side_by_side(analysis) for pair in image]
    columns = max([len(one.parts) for _, one in pairs], default=1)
    beside = columns <= BESIDE
    shape = (len(pairs), 2 * columns) if beside else (2 * len(pairs), columns)
    note = (
        f"{words[1]} Above: Grad-CAM over the image for the largest object of the first images. "
        f"Below: means over all objects as far as {REACH:g} sides from the centre, each from 0 to "
        "its highest value."
    )
    above = shape[0] * min(MOST, drawing.PAGE / shape[1])
    heights = (above, drawing_maps.height_of_means(analysis))
    with drawing_maps.halves(analysis, heights, (words[0], note)) as (made, upper, lower):
        if upper is not None:
            axes = upper.subplots(*shape, squeeze=False).reshape(len(pairs), 2, columns)
            for (row, one), both in zip(pairs, axes, strict=True):
                for task, line in enumerate(both):
                    _line(line, one, f"{TASKS[task]}, {analysis.names[one.label]}", task)
                    title = drawing.wrapped(row.label, 16)
                    if task == 0 or not beside:
                        line[0].set_ylabel(title, fontsize=drawing_maps.SMALL)
        drawing_maps.means(lower, analysis, (-REACH, REACH, REACH, -REACH))
    return made


def _line(axes: Sequence[Axes], one: Picture, title: str, task: int) -> None:
    """One task's maps of all levels; levels that the row lacks stay empty."""
    for ax in axes[len(one.parts) :]:
        ax.remove()
    for ax, (part, arrays) in zip(axes, one.parts.items(), strict=False):
        extent, box, ends, *maps = arrays
        laid = drawing_maps.Laid(one.png, extent, box, ends, maps[task])
        drawing_maps.lay(ax, laid, f"{part} {title}")


KIND = Kind(
    name="gradients",
    title="Grad-CAM of the class and of the box output",
    figures="DDOD 2",
    needs="weights",
    measure=measure,
    quantities=quantities,
    draw=draw,
    images=200,
    settings=(Setting("pictures", 1, 0, 20, "of the first images, to be drawn"),),
    explain="Grad-CAM on the pyramid's maps. Dense: of the best-scored place of the object's class "
    "inside it on each level (of none inside, the nearest), its class's logit, and its box; own "
    "level is the one whose place scores best. Two-stage: the object's box as a region, on the "
    "level that it is read from. Of a box: the sum over its sides, each counted outwards. The "
    f"border is what is outside the middle half of both sides: {EVEN_BORDER:g} of an even map. In "
    "common: the sum of the lower of both maps in each cell, each map's sum being 1; of maps of "
    "four cells or more. Cells lie side by side from the image's top left corner.",
    photographs=True,
)
