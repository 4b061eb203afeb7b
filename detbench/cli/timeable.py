"""What ``detbench latency`` times: detectors of paper size, or the networks that a profile trains.

No torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from detbench.errors import RecipeError, WeightsError
from detbench.measure.catalogue import CLASSES, subjects
from detbench.recipe.detector import Detector
from detbench.recipe.experiment import Cell, Input
from detbench.results.store import Store
from detbench.runner.plan import PlannedRow, Request, choose

PAPER_INPUT = (1280, 800)
ASPECT = PAPER_INPUT[0] / PAPER_INPUT[1]


@dataclass(frozen=True)
class Timeable:
    """One network.

    Attributes:
        table, row: where it is in the catalogue; no table of a detector by itself.
        profile: that makes it; empty at paper size.
        detector: id; none for a row that names none.
        input: width and height in pixels.
        weights: the file; none are not trained.
    """

    table: str | None
    row: str
    profile: str
    detector: str | None
    spec: Detector = field(repr=False)
    classes: int
    input: tuple[int, int]
    weights: Path | None = None

    def content(self) -> str | None:
        """Hash of its weights."""
        if self.weights is None:
            return None
        return hashlib.sha256(self.weights.read_bytes()).hexdigest()


def of_catalogue(
    names: Sequence[str], input: tuple[int, int] | None, classes: int | None, weights: Path | None
) -> list[Timeable]:
    """Detectors of paper size.

    Args:
        names: of detectors, tables and rows.
        input: none is the papers'.
        weights: of the one detector that is named.

    Raises:
        RecipeError: a name is not known, or weights are given of several.
        WeightsError: there is no such file.
    """
    chosen = [one for one in subjects(names) if one.spec is not None]
    if weights is not None and len(chosen) > 1:
        raise RecipeError(f"--weights {weights}: they are of one detector, not of {len(chosen)}")
    if weights is not None and not weights.is_file():
        raise WeightsError(f"--weights {weights}: no such file of weights")
    size = input or PAPER_INPUT
    return [
        Timeable(
            *(one.table, one.row, "", one.detector), one.spec, classes or CLASSES, size, weights
        )
        for one in chosen
        if one.spec is not None
    ]


def of_profile(
    names: Sequence[str], asked: Request, store: Store, input: tuple[int, int] | None
) -> list[Timeable]:
    """The networks that a profile trains for rows, with the weights that the store has of them.

    Args:
        names: of tables and rows.
        asked: the profile, its settings and the data.
        input: none is the size that they are tested at.

    Raises:
        RecipeError: a name is not known, or none of its rows is run.
    """
    found: list[Timeable] = []
    for name in names:
        table, colon, label = name.partition(":")
        plan = choose(replace(asked, table=table))
        rows: Sequence[PlannedRow] = [row for row in plan.rows if row.train and not row.same]
        if colon:
            row, known = plan.named(label)
            if row is None:
                raise RecipeError(f"'{name}': {plan.table.id} has no such row{known}")
            rows = [row] if row.train else []
        if not rows:
            raise RecipeError(f"'{name}': nothing of it is run here, so that nothing can be timed")
        for one in rows:
            cell = one.train[0].cell
            if not isinstance(cell, Cell):
                raise TypeError(f"{one.row.label} is no training")
            file = store.work(one.train[0].work) / "weights.pt"
            classes = len(cell.data.categories(asked.data_root))
            made = Timeable(
                *(plan.table.id, one.row.label, plan.profile.id, one.row.detector, cell.detector),
                *(classes, input or tested(cell.training.input)),
                file if file.is_file() else None,
            )
            found.append(made)
    return found


def tested(input: Input) -> tuple[int, int]:
    """Width and height of a landscape image as it is tested: of 800 and 1333 the papers' 1280x800,
    of data that are square squares.
    """
    short = input.short[-1]
    return min(input.long, round(ASPECT * short)), short
