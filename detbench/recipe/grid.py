"""Grids: every pair of a cls and a loc option of one stage as a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from detbench.recipe.base import PerTaskSpec
from detbench.recipe.detector import Dense, Detector, Roi
from detbench.recipe.table import REPLACEABLE, Grid, GridOption
from detbench.recipe.validate import members, parse, parse_option, unknown


def expand(
    data: Any, where: str, find: Callable[[str], Detector | None]
) -> tuple[list[dict[str, Any]], list[str]]:
    """A table's ``[grid]`` as rows, and the mistakes in it; with mistakes there are no rows.

    Args:
        find: a detector by its name, of either skeleton; none where there is no sound one.
    """
    if not isinstance(data, dict):
        return [], [f"{where}: grid: expected a table"]
    grid, mistakes = parse(Grid, data, f"{where}: grid")
    if grid is None:
        return [], mistakes
    detector = find(grid.detector)
    if detector is None:
        return [{"label": grid.label, "detector": grid.detector}], []
    mistakes = _check(grid, type(detector), f"{where}: grid")
    if mistakes:
        return [], mistakes
    pairs = [(i, j) for i in range(len(grid.cls)) for j in range(len(grid.loc))]
    return [_row(grid, i, j) for i, j in pairs], []


def _check(grid: Grid, skeleton: type[Dense | Roi], where: str) -> list[str]:
    mistakes: list[str] = []
    pair = skeleton.model_fields[grid.stage].annotation
    assert isinstance(pair, type)
    assert issubclass(pair, PerTaskSpec)
    option = pair.model_fields["cls"].annotation
    for task, axis in (("cls", grid.cls), ("loc", grid.loc)):
        for index, item in enumerate(axis):
            place = f"{where}.{task}[{index}].option"
            mistakes += parse_option(_tagged(option), item.option, place)
    for metric, numbers in grid.published.items():
        shape = [len(row) for row in numbers]
        if shape != [len(grid.loc)] * len(grid.cls):
            mistakes.append(
                f"{where}.published.{metric}: needs {len(grid.cls)} lists (cls) of "
                f"{len(grid.loc)} numbers (loc)"
            )
    mistakes += [
        f"{where}.fixed: {unknown('key', name, REPLACEABLE)}"
        for name in grid.fixed
        if name not in REPLACEABLE
    ]
    if grid.stage in grid.fixed:
        mistakes.append(f"{where}.fixed.{grid.stage}: this is the stage that varies")
    try:
        grid.label.format(cls="", loc="")
    except (KeyError, IndexError, ValueError):
        mistakes.append(f"{where}.label: only {{cls}} and {{loc}} stand in braces")
    return mistakes


def _tagged(option: Any) -> Any:
    """The union of a stage's options as one that is told apart by ``kind``."""
    found = members(option)
    return Annotated[reduce(or_, found), Field(discriminator="kind")] if found[1:] else found[0]


def _row(grid: Grid, i: int, j: int) -> dict[str, Any]:
    cls, loc = grid.cls[i], grid.loc[j]
    row: dict[str, Any] = {
        "label": grid.label.format(cls=cls.label, loc=loc.label),
        "detector": grid.detector,
        **grid.fixed,
        grid.stage: _stage(cls, loc, grid.shared),
        "columns": {grid.axes[0]: cls.label, grid.axes[1]: loc.label},
        "published": {metric: numbers[i][j] for metric, numbers in grid.published.items()},
        "fidelity": grid.fidelity,
    }
    if grid.schedule is not None:
        row["schedule"] = grid.schedule
    return row


def _stage(cls: GridOption, loc: GridOption, shared: bool) -> dict[str, Any]:
    if shared and cls.option == loc.option:
        return {"both": cls.option}
    return {"cls": cls.option, "loc": loc.option}
