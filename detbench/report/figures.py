"""The plots that a table's stored numbers allow, and why the others are not there.

What is drawn is read here; how, in ``detbench.report.plots``. Published numbers get axes of their
own, and a row that is not done is in no plot.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detbench.data.sources import label
from detbench.recipe.experiment import Cell
from detbench.recipe.resolve import schedule_of
from detbench.recipe.table import TITLES
from detbench.report import grids
from detbench.report.ablation import NAMES
from detbench.report.numbers import PERCENT, RowNumbers, row_numbers
from detbench.report.plots import canvas, cost, heatmap, losses, sizes, thresholds
from detbench.report.plots.canvas import Panel, Series
from detbench.results.store import Store
from detbench.runner.plan import Plan, Task
from detbench.training import curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 24
"""Lines or bars of more rows than these are not drawn: ``--rows`` chooses."""


@dataclass(frozen=True)
class Picture:
    """A plot that can be drawn.

    Attributes:
        name: of its file, without ending: the table's id and what is shown.
        title: in words, for a reader who does not see it too.
        draw: makes it.
    """

    name: str
    title: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Pictures:
    """A table's plots, and a sentence for each that cannot be drawn."""

    found: tuple[Picture, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class Latencies:
    """Latencies of a table's rows, measured by ``detbench latency`` on one machine.

    Attributes:
        ms: row label -> median milliseconds per image, all steps with NMS.
        how: machine, input and precision, in words.
    """

    ms: Mapping[str, float]
    how: str


def pictures(plan: Plan, store: Store, latency: Latencies | None = None) -> Pictures:
    """Everything that can be drawn of a table.

    Args:
        latency: none is known where it is not given.
    """
    rows = [row_numbers(plan, planned, store) for planned in plan.rows]
    source = _Source(plan, store, rows, latency or Latencies({}, ""))
    if " and " in measured_on(plan):
        # One pair of axes would set side by side what cannot be compared.
        return Pictures(
            (), (f"No plots: rows are measured on {measured_on(plan)}: choose by --rows.",)
        )
    made = (
        _cost(source),
        _latency(source),
        _thresholds(source),
        _sizes(source),
        _losses(source),
        *_maps(source),
    )
    return Pictures(
        tuple(one for one in made if isinstance(one, Picture)),
        tuple(one for one in made if isinstance(one, str)),
    )


@dataclass(frozen=True)
class _Source:
    plan: Plan
    store: Store
    rows: list[RowNumbers]
    latency: Latencies

    @property
    def note(self) -> str:
        """What every number of a picture was measured on, and how."""
        plan = self.plan
        seeds = ", ".join(str(seed) for seed in plan.seeds)
        several = len(plan.seeds) > 1
        return (
            f"Profile {plan.profile.id}; measured on {measured_on(plan) or 'nothing'}; "
            f"{f'mean of seeds {seeds}' if several else f'seed {seeds}'}."
        )

    def title(self, what: str) -> str:
        return f"{self.plan.table.id}: {what}"

    def picture(self, name: str, what: str, draw: Callable[[], Figure]) -> Picture:
        return Picture(f"{self.plan.table.id}-{name}", self.title(what), draw)


def mean(row: RowNumbers, metric: str) -> float | None:
    """A row's mean over its seeds in percent; none unless every seed is done and has the number."""
    if row.status != "done":
        return None
    values = [stored.value(metric) for stored in row.stored]
    known = [value * PERCENT for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _series(source: _Source, metrics: tuple[str, ...]) -> tuple[list[Series], frozenset[int]]:
    """Rows that have any of some metrics, and where among them the table draws a line."""
    found: list[Series] = []
    breaks: set[int] = set()
    for row in source.rows:
        if row.planned.row.label in source.plan.table.breaks:
            breaks.add(len(found))
        values = tuple(mean(row, metric) for metric in metrics)
        if any(value is not None for value in values):
            found.append(Series(row.planned.row.label, values))
    return found, frozenset(breaks)


def _panels(source: _Source, metrics: tuple[str, ...]) -> tuple[list[Panel], str]:
    series, breaks = _series(source, metrics)
    note = source.note
    if len(series) > MOST_ROWS:
        note += f" The first {MOST_ROWS} of {len(series)} rows: --rows chooses others."
    return canvas.split(series[:MOST_ROWS], breaks), note


def _thresholds(source: _Source) -> Picture | str:
    metrics = tuple(f"AP{percent}" for percent in range(50, 100, 5))
    panels, note = _panels(source, metrics)
    what = "AP over IoU thresholds"
    if not panels:
        return f"{what}: no row is done."
    title = source.title(what)
    return source.picture("thresholds", what, lambda: thresholds.draw(panels, title, note))


def _sizes(source: _Source) -> Picture | str:
    panels, note = _panels(source, ("APs", "APm", "APl"))
    what = "AP by object size"
    if not panels:
        return f"{what}: no row is done."
    title = source.title(what)
    return source.picture("sizes", what, lambda: sizes.draw(panels, title, note))


def _cost(source: _Source) -> Picture | str:
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
    title, note = source.title(what), source.note
    if plan.profile.light and not clouds[0].published:
        note += (
            " The measured APs are of light networks, the GFLOPs of the detectors they stand for."
        )
    return source.picture("gflops", what, lambda: cost.draw(clouds, title, note))


def _latency(source: _Source) -> Picture | str:
    axis = "latency (median ms per image)"
    clouds = _clouds(source, source.latency.ms, axis, "runtime_s")
    what = "AP against latency"
    if not clouds:
        return (
            f"{what}: no latency is known: give what detbench latency {source.plan.table.id} "
            "--format json prints as --latency."
        )
    title, note = source.title(what), source.note
    if source.latency.ms:
        note += f" Latency of the paper-size detectors: {source.latency.how}."
    return source.picture("latency", what, lambda: cost.draw(clouds, title, note))


def _clouds(
    source: _Source, costs: Mapping[str, float], axis: str, metric: str
) -> list[cost.Cloud]:
    """Measured points and, on axes of their own, the published ones."""
    plan = source.plan
    measured, printed = [], []
    for row in source.rows:
        recipe = row.planned.row
        group, ap = _group(source, row), mean(row, "AP")
        if ap is not None and recipe.label in costs:
            measured.append(cost.Point(recipe.label, costs[recipe.label], ap, group))
        if "AP" in recipe.published and metric in recipe.published:
            numbers = recipe.published
            printed.append(cost.Point(recipe.label, numbers[metric], numbers["AP"], group))
    clouds = []
    if measured:
        y = f"AP (%) on {measured_on(plan)}"
        clouds.append(cost.Cloud(f"measured, profile {plan.profile.id}", axis, y, tuple(measured)))
    if printed:
        x = f"{TITLES[metric]}, as the paper prints it"
        y = f"AP (%) on {published_on(plan)}, as printed"
        clouds.append(cost.Cloud("published", x, y, tuple(printed), published=True))
    return clouds


def measured_on(plan: Plan) -> str:
    """The data that the rows' cells are evaluated on, in words; empty where there are none."""
    cells = (task.cell for row in plan.rows for task in row.train)
    names = (label(one.data, one.evaluation.limit) for one in cells if isinstance(one, Cell))
    return " and ".join(dict.fromkeys(names))


def published_on(plan: Plan) -> str:
    """The data sets of the paper's numbers, in words."""
    schedules = (schedule_of(row.row, plan.table) for row in plan.rows)
    return "+".join(dict.fromkeys(NAMES[one.data.kind] for one in schedules if one)) or "its data"


def _group(source: _Source, row: RowNumbers) -> str:
    """What tells a row from others by colour: its first descriptive column, where it has few."""
    if not source.plan.table.labels:
        return ""
    first = source.plan.table.labels[0]
    values = [one.planned.row.columns.get(first, "") for one in source.rows]
    if "" in values or not 2 <= len(set(values)) <= min(6, len(values) // 2):
        return ""
    return row.planned.row.columns[first]


def _losses(source: _Source) -> Picture | str:
    what = "Loss curves"
    curves: list[losses.Curve] = []
    breaks: set[int] = set()
    seen: set[str] = set()
    for row in source.rows:
        if row.planned.row.label in source.plan.table.breaks:
            breaks.add(len(curves))
        if not row.planned.train or row.planned.train[0].work in seen:
            continue
        seen.add(row.planned.train[0].work)
        found = _curve(source, row.planned.row.label, row.planned.train[0])
        if found is not None:
            curves.append(found)
    if not curves:
        return f"{what}: no curve is kept in {source.store.root / 'work'}."
    note = f"Profile {source.plan.profile.id}; seed {source.plan.seeds[0]}; data set of "
    note += f"{measured_on(source.plan)}."
    if len(curves) > MOST_ROWS:
        note += f" The first {MOST_ROWS} of {len(curves)} trainings: --rows chooses others."
    by_label = {one.label: one for one in curves}
    split = canvas.split([Series(one.label, ()) for one in curves[:MOST_ROWS]], frozenset(breaks))
    panels = [[by_label[one.label] for one in panel.series] for panel in split]
    title = source.title(what)
    return source.picture("losses", what, lambda: losses.draw(panels, title, note))


def _curve(source: _Source, label: str, task: Task) -> losses.Curve | None:
    """The losses of a training; one that is not done says so in its label."""
    lines = [
        (int(line["iteration"]), float(line["total"]))
        for line in curve.read(source.store.work(task.work) / "curve.jsonl")
        if math.isfinite(line.get("total", math.nan))
    ]
    if not lines:
        return None
    status = source.store.status(task.digest)
    shown = label if status == "done" else f"{label} ({_STANDS[status]})"
    return losses.Curve(shown, tuple(x for x, _ in lines), tuple(y for _, y in lines))


_STANDS = {"missing": "not finished", "failed": "failed", "skipped": "skipped"}


def _maps(source: _Source) -> list[Picture | str]:
    """Grids as heat maps: one picture of what was measured, another of what was printed."""
    grid = grids.grid([row.planned.row for row in source.rows])
    if grid is None:
        return []
    plan = source.plan
    measured = {row.planned.row.label: mean(row, "AP") for row in source.rows}
    published = {row.planned.row.label: row.planned.row.published.get("AP") for row in source.rows}
    made: list[Picture | str] = []
    for name, values, note in (
        ("grid", measured, source.note),
        ("grid-published", published, f"As the paper prints it, on {published_on(plan)}."),
    ):
        maps = grids.maps(grid, values)
        known = sum(value is not None for value in values.values())
        if not known:
            made.append(f"AP over the grid ({name}): no row has one.")
        # Three printed numbers among eighty-five are better read in the table.
        elif name == "grid" or 2 * known >= len(values):
            whose = "measured" if name == "grid" else "published"
            what = f"AP over {grid.x} and {grid.y}, {whose}"
            made.append(_map(source, name, what, maps, note))
    return made


def _map(source: _Source, name: str, what: str, maps: list[heatmap.Map], note: str) -> Picture:
    title = source.title(what)
    return source.picture(name, what, lambda: heatmap.draw(maps, title, note))
