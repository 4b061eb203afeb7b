"""Where does learnt sampling look? TSD (Song et al. 2020), Figure 5.

For each object the points and proposals that a TSD-like stage moves, of the proposal that overlaps
it most; of a dense detector, the points that its deformable convolutions (DDOD, section 4.2) read
at the object's best-scored place. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detbench.analysis import drawing_shifts, summary
from detbench.analysis.cuts import cut
from detbench.analysis.displacements import NAMES
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
from detbench.analysis.lines import MEAN, OBJECT, PICTURE, Line, of_objects, parts, pictured, table
from detbench.errors import RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.analysis.moving import Seen
    from detbench.analysis.opened import Objects
    from detbench.recipe.detector import Detector

BEYOND = 0.5
"""Sides of an object that pictures show on each side of it."""
TOLD = {
    "length": "length of the shifts",
    "right": "mean shift to the right",
    "down": "mean shift down",
    "worst": "towards the side that is read worst",
    "gained": "IoU that the proposal gains",
    "scatter": "scatter of the points, after / before",
    "outside": "points outside the object",
    "outside_before": "points outside it before",
}
DEVIATIONS = {"right": "deviation of the shift to the right", "down": "deviation of the shift down"}


def measure(asked: Asked) -> Columns:
    """The table of one image, see ``of_image``.

    Raises:
        RecipeError: nothing of the detector moves.
    """
    from detbench.analysis import moving

    opened = asked.opened
    objects, image = opened.objects(asked.image), opened.image(asked.image)
    if not len(objects.labels):
        return table(asked.image, NAMES, [])
    pairs = list(zip(objects.boxes, objects.labels.tolist(), strict=True))
    found = (moving.of_places if opened.dense else moving.of_regions)(opened, image, pairs)
    if any(one is not None and not one.moved for one in found):
        raise RecipeError(
            f"{asked.subject.where}: shifts does not fit this detector: nothing that it samples by "
            "is moved"
        )
    lines = of_image(found, objects)
    seen = [one is not None for one in found]
    shown = pictured(asked.place, asked.settings, np.where(seen, objects.areas, -1.0))
    if shown >= 0 and found[shown] is not None:
        lines += _picture(found[shown], np.asarray(image), objects, shown)  # type: ignore[arg-type]
    return table(asked.image, NAMES, lines)


def of_image(found: Sequence[Seen | None], objects: Objects) -> list[Line]:
    """A line for each object and part, and one for the mean points of each part.

    Args:
        found: of each object; none is left out.
    """
    lines, together = [], dict[str, list[tuple[Floats, Floats]]]()
    each = zip(found, objects.boxes, objects.labels, objects.areas, strict=True)
    for seen, box, label, area in each:
        for part, one in seen.moved.items() if seen is not None else ():
            numbers = one.numbers(box, seen.read)  # type: ignore[union-attr]
            lines.append(Line(OBJECT, part, int(label), float(area), numbers))
            together.setdefault(part, []).append(one.about(box))
    for part, pairs in together.items():
        sums = (np.sum([pair[place] for pair in pairs], axis=0) for place in (0, 1))
        lines.append(Line(MEAN, part, arrays=(np.array([float(len(pairs))]), *sums)))
    return lines


def _picture(seen: Seen, image: Floats, objects: Objects, shown: int) -> list[Line]:
    png, extent = cut(image.astype(np.uint8), objects.boxes[shown], BEYOND)
    lines: list[Line] = []
    for part, one in seen.moved.items():
        region = np.zeros((0, 4)) if one.region is None else one.region
        arrays = (extent, objects.boxes[shown], one.before, one.after, region)
        label = int(objects.labels[shown])
        lines.append(Line(PICTURE, part, label, 0.0, {}, arrays, b"" if lines else png))
    return lines


def quantities(analysis: Analysis) -> list[Quantity]:
    """How long shifts are, whither, how much they differ, and what they reach."""
    found = []
    for part in parts(analysis):
        for group in analysis.groups.names():
            for name, title in TOLD.items():
                if not _known(analysis, part, name):
                    continue
                lines = of_objects(analysis, part, group, name)
                found.append(
                    Quantity(title, part, group, lines, summary.column(name), summary.mean)
                )
            for name, title in DEVIATIONS.items():
                lines = of_objects(analysis, part, group, name)
                found.append(Quantity(title, part, group, lines, Squares(name), summary.deviation))
    return found


@dataclass(frozen=True)
class Squares:
    """What ``summary.deviation`` takes of a column."""

    name: str

    def __call__(self, table: Columns) -> Floats:
        ones = np.ones(len(table["image"]))
        return np.stack([ones, table[self.name], table[f"{self.name}_squared"]], axis=-1)


def _known(analysis: Analysis, part: str, name: str) -> bool:
    """Whether any object's part has a number: proposals gain IoU, points scatter."""
    lines = of_objects(analysis, part, "all", name)
    return any(lines(one).any() for row in analysis.rows for one in row.tables)


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """Objects with what is moved for them, then the mean points of each part."""
    return drawing_shifts.figure(analysis, words)


def unfit(detector: Detector) -> str:
    """Sampling must be learnt; that of one's own may be."""
    kinds = {detector.sampling.of(task).kind for task in ("cls", "loc")}
    if detector.skeleton == "roi":
        if kinds - {"roi-align"}:
            return ""
        return (
            "it reads its proposals where they are: name one with sampling of kind pointwise or "
            "translated, as tsd-r50 has it"
        )
    own = {detector.heads.of(task).kind for task in ("cls", "loc")} & {"custom"}
    if own or "deformable" in kinds:
        return ""
    return "its convolutions are regular: name one with sampling of kind deformable, as ddod-r50"


KIND = Kind(
    name="shifts",
    title="Points and proposals that learnt sampling moves",
    figures="TSD 5",
    needs="weights",
    measure=measure,
    quantities=quantities,
    draw=draw,
    images=200,
    settings=(Setting("pictures", 2, 0, 20, "of the first images, to be drawn"),),
    unfit=unfit,
    explain="Lengths in sides of the object. Two-stage: the main branch, on the proposal that "
    "overlaps the object most, from IoU 0.5 on; points are the centres of the bins. Dense: the "
    "points of deformable convolutions of the heads at the object's best-scored place. The side "
    "that is read worst is that of the box read there which is farthest from the object's, in its "
    "sides: positive is towards it. Scatter: root mean square distance of the points from their "
    "mean.",
    photographs=True,
)
