"""Tables whose rows are a grid of two settings, read from their descriptive columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detbench.recipe.table import Row
from detbench.report.plots.heatmap import Map

FEWEST = 3
"""Values an axis must have; two by two is a table, not a map."""
FULL = 0.7
"""Share of the combinations that must exist."""


@dataclass(frozen=True)
class Grid:
    """A grid of rows.

    Attributes:
        x, y: titles of the axes; ``panel`` those of the other settings that vary, if any do.
        columns, rows, panels: their values in the table's order; a panel's are joined.
        labels: (panel, row, column) -> label of the table's row.
    """

    x: str
    y: str
    panel: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    panels: tuple[str, ...]
    labels: Mapping[tuple[str, str, str], str]


def grid(rows: Sequence[Row]) -> Grid | None:
    """The grid that some rows make; none if they make none.

    The axes are the first two descriptive columns that take at least three values; the others that
    vary part the panels. Rows with a blank on an axis are no part of it.
    """
    titles = list(dict.fromkeys(title for row in rows for title in row.columns))
    values = {title: _values(rows, title) for title in titles}
    axes = [title for title in titles if len(values[title]) >= FEWEST][:2]
    if len(axes) < 2:
        return None
    y, x = axes
    others = tuple(t for t in titles if t not in axes and len({r.columns.get(t) for r in rows}) > 1)
    labels: dict[tuple[str, str, str], str] = {}
    for row in rows:
        place = (_panel(row, others), row.columns.get(y, ""), row.columns.get(x, ""))
        if not place[1] or not place[2]:
            continue
        if place in labels:
            return None
        labels[place] = row.label
    panels = tuple(dict.fromkeys(panel for panel, _, _ in labels))
    possible = len(panels) * len(values[x]) * len(values[y])
    if len(labels) < FULL * possible or len(labels) < FULL * len(rows):
        return None
    return Grid(x, y, others, values[x], values[y], panels, labels)


def maps(grid: Grid, values: Mapping[str, float | None]) -> list[Map]:
    """A map per panel that has a number.

    Args:
        values: label of a row -> its number.
    """
    found = []
    for panel in grid.panels:
        labels = [
            [grid.labels.get((panel, row, column)) for column in grid.columns] for row in grid.rows
        ]
        numbers = tuple(tuple(values.get(one or "") for one in line) for line in labels)
        if any(value is not None for row in numbers for value in row):
            title = f"{', '.join(grid.panel)} {panel}".strip()
            absent = frozenset(
                (i, j) for i, line in enumerate(labels) for j, one in enumerate(line) if one is None
            )
            found.append(Map(title, grid.x, grid.y, grid.columns, grid.rows, numbers, absent))
    return found


def _values(rows: Sequence[Row], title: str) -> tuple[str, ...]:
    """What stands in a descriptive column, in the table's order, blanks aside."""
    found = (row.columns.get(title, "") for row in rows)
    return tuple(dict.fromkeys(value for value in found if value))


def _panel(row: Row, others: Sequence[str]) -> str:
    return ", ".join(row.columns.get(title) or "–" for title in others)
