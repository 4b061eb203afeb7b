"""Plots of AP against what it costs, measured and published apart."""

from __future__ import annotations

from collections.abc import Mapping

from detbench.recipe.metrics import METRICS
from detbench.report.figures.source import Picture, Source, half, mean
from detbench.report.numbers import RowNumbers
from detbench.report.plots import cost
from detbench.runner import hint


def of_cost(source: Source) -> Picture | str:
    """AP against GFLOPs, where the table prints them."""
    costs = {
        row.planned.row.label: value
        for row in source.rows
        if row.cost is not None and (value := row.cost.value("gflops")) is not None
    }
    plan = source.plan
    paper_size = " of the paper-size detector" if plan.profile.light else ""
    axis = f"GFLOPs{paper_size} at {plan.table.input} (mmdet's count)"
    clouds = _clouds(source, costs, axis, "gflops")
    what = "AP against GFLOPs"
    if not clouds:
        return f"{what}: no row has both, measured or printed."
    note = _note(source, clouds)
    if plan.profile.light and not clouds[0].published:
        note += (
            " The measured APs are of light networks, the GFLOPs of the detectors they stand for."
        )
    return source.picture("gflops", what, cost.draw, clouds, note)


def of_latency(source: Source) -> Picture | str:
    """AP against stored latency: axes for each machine and settings that rows were timed under."""
    what = "AP against latency"
    printed = "runtime_ms" if "runtime_ms" in source.plan.table.columns else "runtime_s"
    clouds: list[cost.Cloud] = []
    notes = []
    known = _conditions(source)
    for words, light, costs in known[:CONDITIONS]:
        axis = f"latency (median ms) [{len(clouds) + 1}]"
        found = [one for one in _clouds(source, costs, axis, printed) if not one.published]
        clouds += found
        if found:
            whose = "" if light else "of the paper-size detectors: "
            notes.append(f"[{len(clouds)}] {whose}{words}.")
    clouds += [one for one in _clouds(source, {}, "", printed) if one.published]
    if not clouds:
        return (
            f"{what}: no latency is stored of these rows: {hint.latency(source.plan)} measures it."
        )
    if len(known) > CONDITIONS:
        notes.append(f"{len(known) - CONDITIONS} more machines or settings are in the table alone.")
    words = " ".join([_note(source, clouds), *notes])
    return source.picture("latency", what, cost.draw, clouds, words)


CONDITIONS = 3
"""Machines and settings that have axes of their own in one picture, those of most rows first."""


def _conditions(source: Source) -> list[tuple[str, bool, dict[str, float]]]:
    """In words, whether the trained networks were timed, and label -> milliseconds."""
    found: dict[tuple[bool, str], dict[str, float]] = {}
    words = {}
    for label, every in source.results.latencies.items():
        for timed in every:
            ms = timed.median()
            own = timed.detector in source.results.trained_detectors(label)
            if ms is not None:
                found.setdefault((own, timed.condition), {})[label] = ms
                words[timed.condition] = timed.words
    order = sorted(found.items(), key=lambda pair: (not pair[0][0], -len(pair[1])))
    return [(words[condition], own, costs) for (own, condition), costs in order]


def _note(source: Source, clouds: list[cost.Cloud]) -> str:
    return source.printed if clouds[0].published else source.note + source.bars


def _clouds(source: Source, costs: Mapping[str, float], axis: str, metric: str) -> list[cost.Cloud]:
    """Measured points and, on axes of their own, the published ones."""
    plan = source.plan
    measured, printed = [], []
    for row in source.rows:
        recipe = row.planned.row
        group, ap = _group(source, row), mean(row, "AP")
        if ap is not None and recipe.label in costs:
            measured.append(
                cost.Point(recipe.label, costs[recipe.label], ap, group, half(row, "AP"))
            )
        if "AP" in recipe.published and metric in recipe.published:
            numbers = recipe.published
            printed.append(cost.Point(recipe.label, numbers[metric], numbers["AP"], group))
    clouds = []
    if measured:
        y = f"AP (%) on {source.results.measured_kind}"
        clouds.append(cost.Cloud(f"measured, profile {plan.profile.id}", axis, y, tuple(measured)))
    if printed:
        x = f"{METRICS[metric].title}, as the paper prints it"
        y = f"AP (%) on {source.results.published_on}, as printed"
        clouds.append(cost.Cloud("published", x, y, tuple(printed), published=True))
    return clouds


def _group(source: Source, row: RowNumbers) -> str:
    """What tells a row from others by colour: its first descriptive column, where it has few."""
    if not source.plan.table.labels:
        return ""
    first = source.plan.table.labels[0]
    values = [one.planned.row.columns.get(first, "") for one in source.rows]
    if "" in values or not 2 <= len(set(values)) <= min(6, len(values) // 2):
        return ""
    return row.planned.row.columns[first]
