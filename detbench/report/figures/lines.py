"""Plots of lines and bars over thresholds, sizes and iterations."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from detbench.evaluation.metric import THRESHOLDS
from detbench.report import by_size
from detbench.report.figures.source import MOST_ROWS, Picture, Source, half, half_of, mean
from detbench.report.numbers import PERCENT
from detbench.report.plots import canvas, losses, sizes, thresholds
from detbench.report.plots.canvas import Panel, Series
from detbench.report.results import Curve


def of_thresholds(source: Source) -> Picture | str:
    """TSD, Figure 6: AP at every IoU threshold, a line per row."""
    metrics = tuple(f"AP{percent}" for percent in THRESHOLDS)
    panels, note = _panels(source, metrics)
    what = "AP over IoU thresholds"
    if not panels:
        return f"{what}: no row is done."
    return source.picture("thresholds", what, thresholds.draw, panels, note)


def of_sizes(source: Source) -> Picture | str:
    """AP of small, medium and large objects, a bar per row."""
    panels, note = _panels(source, ("APs", "APm", "APl"))
    what = "AP by object size"
    if not panels:
        return f"{what}: no row is done."
    return source.picture("sizes", what, sizes.draw, panels, note)


def of_sizes_and_thresholds(source: Source) -> Picture | str:
    """The layout of TSD, Table 9: a panel per size, lines over the thresholds."""
    what = "AP by object size over IoU thresholds"
    found, reason = source.results.sizes
    if not found:
        return f"{what}: {reason or 'no row is done'}."
    chosen = source.chosen(list(found), MOST_ROWS)
    parts = canvas.split([Series(label, ()) for label in chosen], _breaks(source, chosen))
    panels = [
        Panel(
            f"{name} objects",
            tuple(_with_bars(one, found[one.label], size) for one in part.series),
        )
        for part in parts
        for size, name in by_size.SIZES.items()
    ]
    return source.picture(
        *("sizes-thresholds", what, thresholds.draw, panels),
        source.note + source.bars + source.first(MOST_ROWS, len(found)),
    )


def _breaks(source: Source, labels: Sequence[str]) -> frozenset[int]:
    """Where among some rows the table draws a line."""
    lines = [row.planned.row.label for row in source.rows]
    cuts = [lines.index(one) for one in source.plan.table.breaks if one in lines]
    places = [lines.index(label) for label in labels]
    return frozenset(sum(place < cut for place in places) for cut in cuts)


def _line(seeds: Sequence[by_size.SizeMetrics], size: str) -> tuple[float | None, ...]:
    """One size's APs in percent, means over the seeds."""
    line: list[float | None] = []
    for percent in THRESHOLDS:
        known = [value for one in seeds if (value := one[f"AP{size}{percent}"]) is not None]
        line.append(PERCENT * statistics.fmean(known) if len(known) == len(seeds) else None)
    return tuple(line)


def _with_bars(row: Series, seeds: Sequence[by_size.SizeMetrics], size: str) -> Series:
    """``_line`` with half the 95 % interval of each mean over the seeds."""
    line = _line(seeds, size)
    values = [[one[f"AP{size}{percent}"] or 0.0 for one in seeds] for percent in THRESHOLDS]
    halves = (half_of(one) for one in values)
    bars = tuple(None if mid is None else end for mid, end in zip(line, halves, strict=True))
    return replace(row, values=line, halves=bars)


def _panels(source: Source, metrics: tuple[str, ...]) -> tuple[list[Panel], str]:
    """Rows that have any of some metrics, in panels, and the note below them."""
    series = {one.label: one for one in _series(source, metrics)}
    note = source.note + source.bars + source.first(MOST_ROWS, len(series))
    chosen = source.chosen(list(series), MOST_ROWS)
    return canvas.split([series[label] for label in chosen], _breaks(source, chosen)), note


def _series(source: Source, metrics: tuple[str, ...]) -> Iterator[Series]:
    """Rows that have any of some metrics."""
    for row in source.rows:
        values = tuple(mean(row, metric) for metric in metrics)
        if any(value is not None for value in values):
            halves = tuple(half(row, metric) for metric in metrics)
            yield Series(row.planned.row.label, values, halves)


def of_losses(source: Source) -> Picture | str:
    """The loss of every training that has a curve, done or not, with the first seed."""
    what = "Loss curves"
    curves = {label: _curve(label, one) for label, one in source.results.curves.items()}
    if not curves:
        return f"{what}: no curve is kept in {source.results.store.root / 'work'}."
    note = f"Profile {source.plan.profile.id}; seed {source.plan.seeds[0]}; data set of "
    note += f"{source.results.measured_on}.{source.first(MOST_ROWS, len(curves), 'trainings')}"
    chosen = source.chosen(list(curves), MOST_ROWS)
    split = canvas.split([Series(name, ()) for name in chosen], _breaks(source, chosen))
    panels = [[replace(curves[one.label], place=one.place) for one in p.series] for p in split]
    return source.picture("losses", what, losses.draw, panels, note)


def _curve(label: str, found: Curve) -> losses.Curve:
    """The losses of a training; one that is not done says so in its label."""
    shown = label if found.status == "done" else f"{label} ({_STANDS[found.status]})"
    iterations, values = zip(*found.points, strict=True)
    return losses.Curve(shown, iterations, values)


_STANDS = {"missing": "not finished", "failed": "failed", "skipped": "skipped"}
