"""Settings that are valid and that nobody is likely to mean: each is a sentence, and runs."""

from __future__ import annotations

from collections.abc import Iterator

from detbench.recipe.detector import Dense
from detbench.recipe.experiment import Cell, Cosine
from detbench.recipe.predictor import MaxFilter


def of_cell(cell: Cell) -> Iterator[str]:
    """Sentences on a cell's numbers that reach beyond what there is."""
    training = cell.training
    schedule, length = training.schedule, training.epochs or training.iterations or 0
    if isinstance(schedule, Cosine) and schedule.period and schedule.period > length:
        unit = "epochs" if training.epochs else "iterations"
        yield (
            f"training.schedule.period is {schedule.period:g} {unit}, and the training ends at "
            f"{length:g}: the learning rate does not fall to its least"
        )
    detector = cell.detector
    if not isinstance(detector, Dense) or not isinstance(detector.predictor, MaxFilter):
        return
    most, asked = detector.neck.levels - 1, detector.predictor.neighbours
    if asked > most:
        yield (
            f"predictor.neighbours is {asked}, and a pyramid of {most + 1} levels has {most} to "
            f"each side at most: more do nothing"
        )
