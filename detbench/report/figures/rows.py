"""Plots with a place for each row: differences, error types, grids."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial

from detbench.recipe.metrics import GROUPS, METRICS
from detbench.report import error_columns, grids, intervals
from detbench.report.figures.source import MOST_ROWS, Picture, Source, half_of, of_cells
from detbench.report.numbers import PERCENT
from detbench.report.plots import differences, errors, heatmap

MOST = 60
"""Differences that can be read below each other."""
NAMED = 4
"""Rows without a place in a picture that its note names."""


def of_differences(source: Source) -> Picture | str:
    """Every row's difference to its baseline, with its interval."""
    what = "Differences to the baseline"
    metric = source.results.main_metric or "AP"
    found, notes, reasons = [], [], []
    family = 1
    for label, change in source.results.changes.items():
        reasons += [change.reason] if change.reason else []
        one = change.found.get(metric)
        if one is None or one.value is None or one.low is None or one.high is None:
            continue
        value, low, high = (PERCENT * end for end in (one.value, one.low, one.high))
        together = one.wide if one.family > 1 else None
        wide = (PERCENT * together[0], PERCENT * together[1]) if together else None
        row = differences.Difference(label, change.baseline or "", value, low, high, wide)
        found.append(row)
        notes.append(intervals.covers(one))
        family = max(family, one.family)
    if not found:
        return f"{what}: {reasons[0] if reasons else 'no row has any'}."
    note = f"{source.note} {notes[0]}{source.first(MOST, len(found))}"
    if family > 1:
        note += f" Thin: intervals that hold for all {family} rows together; filled: without 0."
    draw = partial(differences.draw, metric=metric)
    return source.picture("differences", what, draw, found[:MOST], note)


def of_errors(source: Source) -> Picture | str:
    """What each type of error costs every row."""
    what = "Error types"
    found: dict[str, dict[str, float]] = {}
    halves: dict[str, dict[str, float]] = {}
    reasons: dict[str, str] = {}
    for row in source.rows:
        if row.status != "done" or row.planned.same:
            continue
        label = row.planned.row.label
        costs: dict[str, list[float]] = {}
        for column in GROUPS["errors"]:
            values = error_columns.values(source.results.errors(row.planned), column)
            if isinstance(values, str):
                reasons[label] = values.removeprefix(f"{label}: ")
                break
            costs[METRICS[column].source] = values
        else:
            found[label] = {key: PERCENT * statistics.fmean(one) for key, one in costs.items()}
            known = {key: half_of(one) for key, one in costs.items()}
            halves[label] = {key: one for key, one in known.items() if one is not None}
    if not found:
        return f"{what}: {next(iter(reasons.values()), 'no row is done')}."
    shown = {label: found[label] for label in source.chosen(list(found), MOST_ROWS)}
    note = f"{source.note} After TIDE (Bolya et al. 2020): what AP50 gains where one type of error "
    note += f"alone is mended; these gains do not add up.{source.bars}"
    note += source.first(MOST_ROWS, len(found)) + _without(reasons)
    return source.picture("errors", what, partial(errors.draw, halves=halves), shown, note)


def _without(reasons: Mapping[str, str]) -> str:
    """Rows that a picture lacks, by why; the first few by name."""
    by_reason: dict[str, list[str]] = {}
    for label, reason in reasons.items():
        by_reason.setdefault(reason, []).append(label)
    said = ""
    for reason, labels in by_reason.items():
        more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
        said += f" Without {', '.join(labels[:NAMED])}{more}: {reason}."
    return said


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
