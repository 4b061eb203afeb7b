"""Where about an object is each task best told from? TSD (Song et al. 2020), Figure 1.

A two-stage detector is asked about the object's own box, moved over a grid: the score of its class,
and the IoU of the box that it makes with the object; by itself, and with all regions read from one
level of the pyramid. A dense one says both at its places, level by level. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from detbench.analysis import drawing_maps, summary
from detbench.analysis.cuts import cut
from detbench.analysis.fields import NAMES, Field, summed
from detbench.analysis.kind import (
    Analysis,
    Asked,
    Columns,
    Floats,
    Kind,
    Number,
    Quantity,
    Setting,
    Settings,
)
from detbench.analysis.lines import (
    MEAN,
    OBJECT,
    OWN,
    PICTURE,
    Line,
    of_objects,
    parts,
    pictured,
    table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from detbench.analysis.opened import Objects

BEYOND = 0.5
"""Sides of an object that pictures show beyond the places."""
TOLD = {
    "pearson": "Pearson of both maps",
    "overlap": "best quarters in common",
    "apart": "between the peaks, in object sides",
    "border_cls": "cls peak: 0 centre, 1 border",
    "border_loc": "loc peak: 0 centre, 1 border",
    "range_cls": "range of the class score",
    "range_loc": "range of the box IoU",
    "given_up": "box IoU given up at the cls peak",
}
OF_LEVELS = ("pearson", "overlap", "apart")
"""What is told of each level too; the rest is for scripts."""


def measure(asked: Asked) -> Columns:
    """The table of one image, see ``of_image``."""
    opened = asked.opened
    objects, image = opened.objects(asked.image), opened.image(asked.image)
    if not len(objects.labels):
        return table(asked.image, NAMES, [])
    found = _dense(asked, image, objects) if opened.dense else _regions(asked, image, objects)
    shown = pictured(asked.place, asked.settings, objects.areas)
    lines = of_image(found, objects, asked.settings)
    if shown >= 0:
        lines += _picture(found[shown], np.asarray(image), objects, shown, asked.settings)
    return table(asked.image, NAMES, lines)


def _dense(asked: Asked, image: Tensor, objects: Objects) -> list[dict[str, Field]]:
    from detbench.analysis import places

    every, reach = places.of_image(asked.opened, image), asked.settings["reach"]
    found = []
    for box, label in zip(objects.boxes, objects.labels.tolist(), strict=True):
        fields = every.fields(box, label, reach)
        own = every.levels[every.own_level(box, label)].name
        found.append({OWN: fields[own], **fields} if own in fields else fields)
    return found


def _regions(asked: Asked, image: Tensor, objects: Objects) -> list[dict[str, Field]]:
    from detbench.analysis.places import level_name
    from detbench.analysis.regions import READ, Image

    whole = Image(asked.opened, image)
    strides = whole.pyramids.cls.strides
    levels = {level_name(one): whole.of_level(n) for n, one in enumerate(strides)}
    shifts = np.linspace(-1, 1, int(asked.settings["steps"])) * asked.settings["reach"]
    found = []
    for box, label in zip(objects.boxes, objects.labels.tolist(), strict=True):
        moved = shifted(box, shifts)
        said = {
            OWN if name == READ else name: one for name, one in whole.say(moved, label, box).items()
        }
        if len(levels) > 1:
            said |= {name: one.say(moved, label, box)[READ] for name, one in levels.items()}
        shape = (len(shifts), len(shifts))
        found.append(
            {
                name: Field(shifts, shifts, one.scores.reshape(shape), one.ious.reshape(shape))
                for name, one in said.items()
            }
        )
    return found


def shifted(box: Floats, shifts: Floats) -> Floats:
    """(S S, 4): a box moved by shares of its sides, the rows of the grid along y."""
    across, down = np.meshgrid(shifts, shifts)
    by = np.stack((across, down), axis=-1).reshape(-1, 2) * (box[2:] - box[:2])
    return np.asarray(box + np.tile(by, 2))


def of_image(
    found: Sequence[Mapping[str, Field]], objects: Objects, settings: Settings
) -> list[Line]:
    """A line for each object and part, and one for each part's mean map.

    Args:
        found: of each object, its maps by part.
    """
    lines = [
        Line(OBJECT, part, int(label), float(area), one.numbers())
        for fields, label, area in zip(found, objects.labels, objects.areas, strict=True)
        for part, one in fields.items()
    ]
    reach, side = settings["reach"], int(settings["steps"])
    for part in dict.fromkeys(part for fields in found for part in fields):
        own = [fields[part] for fields in found if part in fields]
        lines.append(Line(MEAN, part, arrays=tuple(summed(own, reach, side))))
    return lines


def _picture(
    fields: Mapping[str, Field],
    image: Floats,
    objects: Objects,
    shown: int,
    settings: Settings,
) -> list[Line]:
    """The object's maps of its own level, on the pixels around it."""
    if OWN not in fields:
        return []
    one, box = fields[OWN], objects.boxes[shown]
    png, extent = cut(image.astype(np.uint8), box, settings["reach"] - 0.5 + BEYOND)
    middle, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    ends = drawing_maps.edges(one.xs * sides[0] + middle[0], one.ys * sides[1] + middle[1])
    arrays = (extent, box, ends, one.cls, one.loc)
    return [Line(PICTURE, OWN, int(objects.labels[shown]), 0.0, {}, arrays, png)]


def quantities(analysis: Analysis) -> list[Quantity]:
    """What the two maps have in common, where their peaks are, and how flat they are."""
    found = []
    for part in parts(analysis):
        of_level = part.startswith("P")
        for group in ("all",) if of_level else analysis.groups.names():
            for name, title in TOLD.items():
                lines = of_objects(analysis, part, group, name)
                detail = of_level and name not in OF_LEVELS
                sums = summary.column(name)
                found.append(Quantity(title, part, group, lines, sums, summary.mean, detail=detail))
    return found


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """Objects with both maps and their surfaces, then the mean maps of each part."""
    reach = analysis.settings["reach"]
    extent = (-reach, reach, reach, -reach)
    note = (
        f"{words[1]} Above: the largest object of the first images, its class score and box IoU at "
        "each place of its own level. Below: means over all objects, from the centre to "
        f"{reach:g} sides."
    )
    return drawing_maps.figure(analysis, extent, (words[0], note), surfaces=True)


KIND = Kind(
    name="sensitivity",
    title="Where about an object each task is told best",
    figures="TSD 1",
    needs="weights",
    measure=measure,
    quantities=quantities,
    draw=draw,
    images=200,
    settings=(
        Setting("reach", 0.5, 0.1, 2.0, "of the shifts or places, in object sides", whole=False),
        Setting("steps", 13, 3, 101, "of the grid along each side"),
        Setting("pictures", 2, 0, 20, "of the first images, to be drawn"),
    ),
    explain="Two-stage: the object's box, moved over a grid of shifts and not cut to the image, "
    "through the heads as they are read at test; own level is that of its size, P2 and so on are "
    "all read from that level. Dense: the class's probability (no centre-ness or quality) and the "
    "box's IoU at every place within reach, of several anchors the best of each; own level is the "
    "one with the best-scored place inside the object. A map has a peak if it is not flat; best "
    "quarters of maps that know nothing of each other have 0.25 in common.",
    photographs=True,
)
