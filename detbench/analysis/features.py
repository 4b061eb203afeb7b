"""How alike are the cells of a head's maps, before and after? Double-Head, Figure 8. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from detbench.analysis import cells
from detbench.analysis.kind import Analysis, Asked, Columns, Kind, Number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.recipe.detector import Detector


def measure(asked: Asked) -> Columns:
    """A line for each head, map and pair of cells: the mean over the image's objects."""
    from detbench.analysis import heads
    from detbench.analysis.regions import Image

    objects = asked.opened.objects(asked.image)
    if not len(objects.labels):
        return cells.table(asked.image, {})
    image = Image(asked.opened, asked.opened.image(asked.image))
    return cells.table(asked.image, heads.maps(image, objects.boxes))


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """For each head and map the cosine of every cell with all others, where the cell is."""
    return cells.draw(analysis, words, "cosine")


def unfit(detector: Detector) -> str:
    """Heads of two-stage detectors alone see regions."""
    if detector.skeleton == "roi":
        return ""
    return "it has no heads that take a region: name a two-stage detector"


KIND = Kind(
    name="features",
    title="Likeness of the cells of each head's input and output",
    figures="Double-Head 8",
    needs="weights",
    measure=measure,
    quantities=cells.quantities,
    draw=draw,
    images=200,
    unfit=unfit,
    explain="Cosine of two cells' vectors in the map of an object's own box, a mean over objects; "
    "the output of a head that begins with an fc layer is put together cell by cell with that "
    "cell's part of the weights; neighbours share a side, far cells are two or more apart.",
)
