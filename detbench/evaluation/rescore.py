"""Whether stored detections still give the stored numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detbench.errors import DetbenchError
from detbench.evaluation import masks, scoring
from detbench.evaluation.truth import Truths
from detbench.recipe.digest import digest, former
from detbench.recipe.experiment import Cell
from detbench.results.schema import Measurement
from detbench.results.verify import UNSCORED

TOLERANCE = 1e-9


class Rescorer:
    """Scores cells' detections against their data sets, each of which is read once.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self._truths = Truths(root)

    def __call__(self, rows: list[Measurement], detections: list[dict[str, Any]]) -> str:
        """What does not agree, in a sentence; empty if all of a cell's numbers do."""
        try:
            cell = Cell.of_plain(rows[0].provenance.get("recipe"))
        except ValidationError:
            return f"{UNSCORED}its recipe is one of another detbench"
        if mended := former(cell).get(rows[0].digest):
            return f"{UNSCORED}it was measured before this was mended: {mended}"
        if digest(cell) != rows[0].digest:
            return "its recipe is not the one its name is the digest of"
        try:
            truth = self._truths.of(cell.data, masks.of(detections))
            metrics = scoring.score(cell.data, truth, detections, cell.evaluation)
        except DetbenchError as error:
            return f"{UNSCORED}{' '.join(str(error).split())}"
        return _disagreement(rows, metrics)


def _disagreement(rows: list[Measurement], metrics: dict[str, float | None]) -> str:
    odd = []
    for row in rows:
        if row.metric not in metrics:
            continue
        again = metrics[row.metric]
        if (again is None) != (row.value is None) or (
            again is not None and row.value is not None and abs(again - row.value) > TOLERANCE
        ):
            odd.append(f"{row.metric} {_text(row.value)} is stored, {_text(again)} comes out")
    if not odd:
        return ""
    more = f" (and {len(odd) - 1} more metrics)" if len(odd) > 1 else ""
    return f"the detections do not give the stored numbers: {odd[0]}{more}"


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.6f}"
