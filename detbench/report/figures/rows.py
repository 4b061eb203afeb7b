"""Plots with a place for each row: differences, error types, grids."""

from __future__ import annotations

import statistics
from functools import partial

from detbench.recipe.metrics import GROUPS, METRICS
from detbench.report import error_columns, grids, intervals
from detbench.report.figures.source import MOST_ROWS, Picture, Source, half_of, of_cells
from detbench.report.numbers import PERCENT
from detbench.report.plots import differences, errors, heatmap

MOST = 60
"""Differences that can be read below each other."""


def of_differences(source: Source) -> Picture | str:
    """Every row's difference to its baseline, with its interval."""
    what = "Differences to the baseline"
    metric = source.results.main_metric or "AP"
    found, notes, reasons = [], [], []
    for label, change in source.results.changes.items():
        reasons += [change.reason] if change.reason else []
        one = change.found.get(metric)
        if one is None or one.value is None or one.low is None or one.high is None:
            continue
        value, low, high = (PERCENT * end for end in (one.value, one.low, one.high))
        wide = (PERCENT * one.wide[0], PERCENT * one.wide[1]) if one.wide else None
        row = differences.Difference(label, change.baseline or "", value, low, high, wide)
        found.append(row)
        notes.append(intervals.covers(one))
    if not found:
        return f"{what}: {reasons[0] if reasons else 'no row has any'}."
    note = f"{source.note} {notes[0]}{source.first(MOST, len(found))}"
    if any(one.wide for one in found):
        note += f" Thin: intervals that hold for all {len(found)} rows together; filled: without 0."
    draw = partial(differences.draw, metric=metric)
    return source.picture("differences", what, draw, found[:MOST], note)


def of_errors(source: Source) -> Picture | str:
    """What each type of error costs every row."""
    what = "Error types"
    found: dict[str, dict[str, float]] = {}
    halves: dict[str, dict[str, float]] = {}
    reason = "no row is done"
    for row in source.rows:
        if row.status != "done" or row.planned.same:
            continue
        costs: dict[str, list[float]] = {}
        for column in GROUPS["errors"]:
            values = error_columns.values(source.results.errors(row.planned), column)
            if isinstance(values, str):
                reason = values
                break
            costs[METRICS[column].source] = values
        else:
            label = row.planned.row.label
            found[label] = {key: PERCENT * statistics.fmean(one) for key, one in costs.items()}
            known = {key: half_of(one) for key, one in costs.items()}
            halves[label] = {key: one for key, one in known.items() if one is not None}
    if not found:
        return f"{what}: {reason}."
    shown = {label: found[label] for label in source.chosen(list(found), MOST_ROWS)}
    note = f"{source.note} After TIDE (Bolya et al. 2020): what AP50 gains where one type of error "
    note += f"alone is mended; these gains do not add up.{source.bars}"
    note += source.first(MOST_ROWS, len(found))
    return source.picture("errors", what, partial(errors.draw, halves=halves), shown, note)


def of_grid(source: Source) -> list[Picture | str]:
    """Grids as heat maps: one picture of what was measured, another of what was printed."""
    grid = grids.grid([row.planned.row for row in source.rows])
    if grid is None:
        return []
    measured = _once(source, set(grid.labels.values()))
    published = {row.planned.row.label: row.planned.row.published.get("AP") for row in source.rows}
    made: list[Picture | str] = []
    for name, values, note in (
        ("grid", measured, source.note),
        ("grid-published", published, source.printed),
    ):
        maps = grids.maps(grid, values)
        known = sum(value is not None for value in values.values())
        if not known:
            made.append(f"AP over the grid ({name}): no row has one.")
        # Three printed numbers among eighty-five are better read in the table.
        elif name == "grid" or 2 * known >= len(values):
            whose = "measured" if name == "grid" else "published"
            what = f"AP over {grid.x} and {grid.y}, {whose}"
            draw = partial(heatmap.draw, verb="measured" if name == "grid" else "printed")
            made.append(source.picture(name, what, draw, maps, note))
    return made


def _once(source: Source, labels: set[str]) -> dict[str, float | None]:
    """AP of some rows, of those that have the same cells the first one's alone."""
    found: dict[str, float | None] = {}
    seen: set[tuple[str, ...]] = set()
    for row in source.rows:
        label, cells = row.planned.row.label, row.planned.digests
        if label in labels:
            found[label] = None if cells in seen else of_cells(row, "AP")
            seen.add(cells)
    return found
