"""What the first fc layer knows of place: its weights' correlation between cells (Double-Head,
Figure 4). No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from detbench.analysis import cells
from detbench.analysis.kind import Analysis, Asked, Columns, Kind, Number
from detbench.errors import RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.recipe.detector import Detector


def measure(asked: Asked) -> Columns:
    """A line for each head and pair of cells.

    Raises:
        RecipeError: no head has an fc layer.
    """
    from detbench.analysis import heads

    found = heads.weights(asked.opened.network)
    if not found:
        raise RecipeError(
            f"{asked.subject.where}: weights does not fit this detector: none of its heads begins "
            "with an fc layer"
        )
    return cells.table(0, {(head, "weights"): one[None] for head, one in found.items()})


def draw(analysis: Analysis, numbers: Sequence[Number], words: tuple[str, str]) -> Figure:
    """For each head the correlation of every cell with all others, where the cell is."""
    return cells.draw(analysis, words, "correlation")


def unfit(detector: Detector) -> str:
    """Heads of two-stage detectors alone have such a layer."""
    if detector.skeleton != "roi":
        return "it is dense, and has no fc layer: name a two-stage detector"
    kinds = {detector.heads.of("cls").kind, detector.heads.of("loc").kind}
    if kinds <= {"conv", "res5"}:
        return f"its heads ({', '.join(sorted(kinds))}) have no fc layer: name one with heads of fc"
    return ""


KIND = Kind(
    name="weights",
    title="Correlation of the first fc layer's weights between cells",
    figures="Double-Head 4",
    needs="weights",
    measure=measure,
    quantities=cells.quantities,
    draw=draw,
    images=0,
    unfit=unfit,
    explain="Pearson's correlation of the weights (channels x outputs) of two cells of the pooled "
    "region; neighbours share a side, far cells are two or more apart.",
)
