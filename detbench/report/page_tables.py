"""Sheets as the page's templates take them: which columns come first, which may wrap. No torch."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from detbench.recipe.metrics import COSTS, METRICS
from detbench.report import ablation
from detbench.report.best import PREFIX
from detbench.report.table import Column, Sheet, narrowed
from detbench.wrapping import cells

CHANGES = tuple(f"{kind}_" for kind in ablation.AGAINST)
"""What keys of columns against the baseline begin with."""
NAMES, WORDS = 36, 24
"""Longest name of a row, and entry of another column of words, for which the column is as wide as
its entries; where one is longer, it wraps."""


def main_first(sheet: Sheet, main: str | None) -> Sheet:
    """A table's sheet with all of its main metric before the other numbers: measured, to the
    baseline, published; then the costs. Without one it stays as it is.
    """
    if main is None:
        return sheet

    def rank(column: Column) -> int:
        if not column.right:
            return 0 if column.key != "fidelity" else 3
        metric = column.key.removeprefix(PREFIX).removeprefix("delta_")
        if column.key.startswith(CHANGES):
            metric = column.key.partition("_")[2]
        return 1 if metric == main else 2 if metric in COSTS else 3

    order = sorted(range(len(sheet.columns)), key=lambda i: rank(sheet.columns[i]))
    return narrowed(sheet, order)


def words(sheet: Sheet) -> dict[str, Any]:
    """A sheet as it is printed, without what a dialog would show."""
    return {
        "groups": groups(sheet),
        "columns": [
            (one.title, kind) for one, kind in zip(sheet.columns, kinds(sheet), strict=True)
        ],
        "rows": [[entry.text for entry in row] for row in sheet.rows],
        "breaks": sheet.breaks,
        "notes": sheet.notes,
    }


def halves(sheet: Sheet) -> list[dict[str, Any]]:
    """The scoreboard as two tables, which fit a window: claims by verdict, and pairs of rows."""
    pairs = [i for i, one in enumerate(sheet.columns) if one.key.startswith("pairs_")]
    rest = [i for i in range(len(sheet.columns)) if i not in pairs]
    return [words(narrowed(replace(sheet, notes=()), rest)), words(narrowed(sheet, [0, *pairs]))]


def plain(sheet: Sheet | None) -> dict[str, Any] | None:
    """Headings in one line, entries with their notes; None where there is no sheet."""
    if sheet is None:
        return None
    heads = zip(sheet.columns, kinds(sheet), strict=True)
    return {
        "columns": [(f"{one.group} {one.title}".strip(), kind) for one, kind in heads],
        "rows": [[(entry.text, entry.note) for entry in row] for row in sheet.rows],
        "notes": sheet.notes,
    }


def groups(sheet: Sheet) -> list[dict[str, Any]]:
    """The line above the headings: runs of columns of one group; none where no column has one."""
    if not any(column.group for column in sheet.columns):
        return []
    paired = zip(sheet.columns, kinds(sheet), strict=True)
    runs = [(group, list(some)) for group, some in groupby(paired, lambda one: one[0].group)]
    return [{"text": group, "span": len(some), "kind": some[0][1]} for group, some in runs]


def kinds(sheet: Sheet) -> list[str]:
    """CSS classes of each column: measured and published are set apart by colour too."""
    return [_kind(sheet, place) for place in range(len(sheet.columns))]


def _kind(sheet: Sheet, place: int) -> str:
    column = sheet.columns[place]
    if not column.right:
        longest = max((cells(row[place].text) for row in sheet.rows), default=0)
        return "words wraps" if longest > (WORDS if place else NAMES) else "words"
    if column.key.startswith(PREFIX):
        return "number published"
    return "number measured" if column.key in METRICS else "number"
