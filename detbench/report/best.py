"""The best number of each column, set bold.

A column is measured or published, never both, so the two are judged apart. Where it is known which
rows can be told from the best (``Sheet.leaders``), bold are those that cannot: by one seed, none.
Else numbers that are printed alike are equally good. Less is better of costs and errors.
Differences have no best, and a misprint is none; nor is what a row that has the cells of another
is measured to have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detbench.recipe.metrics import METRICS, PUBLISHED
from detbench.report.table import Column, Entry, Sheet

PREFIX = "published_"


def mark(sheet: Sheet) -> Sheet:
    """The sheet with the best entries of each column of a metric strong.

    A column with fewer than two numbers, or whose numbers are all printed alike, has no best.
    """
    strong = {
        (row, index)
        for index, column in enumerate(sheet.columns)
        for row in (
            sheet.leaders[column.key]
            if column.key in sheet.leaders
            else _best(column, [line[index] for line in sheet.rows], sheet.same)
        )
    }
    rows = tuple(
        tuple(
            replace(entry, strong=True) if (i, j) in strong else entry
            for j, entry in enumerate(row)
        )
        for i, row in enumerate(sheet.rows)
    )
    return replace(sheet, rows=rows)


def _best(column: Column, entries: Sequence[Entry], same: frozenset[int]) -> list[int]:
    metric = column.key.removeprefix(PREFIX)
    if metric not in PUBLISHED:
        return []
    numbers = {
        index: _shown(entry)
        for index, entry in enumerate(entries)
        if entry.text
        and not (index in same and not column.key.startswith(PREFIX))
        and isinstance(entry.value, int | float)
        and not (column.key.startswith(PREFIX) and entry.note)
    }
    if len(set(numbers.values())) < 2:
        return []
    best = (min if METRICS[metric].lower else max)(numbers.values())
    return [index for index, value in numbers.items() if value == best]


def _shown(entry: Entry) -> float:
    """The number as printed, without its deviation."""
    try:
        return float(entry.text.split("±")[0].replace("−", "-").strip())
    except ValueError:
        return float(entry.value)
