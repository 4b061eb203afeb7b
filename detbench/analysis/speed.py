"""AP against stored latency: DDOD, Figure 1. No torch.

Both are of the same network: the one that the profile trains. Times of one machine and one kind of
settings share a pair of axes and are compared; those of another have axes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from detbench.analysis.kind import Analysis, Asked, Columns, Floats, Kind, Measured, Number
from detbench.errors import DetbenchError, StoreError
from detbench.report import differences
from detbench.report.plots import cost
from detbench.runner import latency
from detbench.statistics.estimate import Part, combine
from detbench.statistics.replicates import REPLICATES, Resampling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from detbench.analysis.subjects import Subject
    from detbench.results.store import Store

PERCENT = 100.0
AP, DRAW, IMAGES = "AP", "AP in a replicate", "images"
SAMPLE, P95, LOAD = "ms", "P95 ms", "load"
"""What a line has."""
TOTAL, MODEL = "total", "model"
LESS = "total, median ms"
"""Name of the number that rows are compared in."""


def source(subject: Subject, store: Store) -> Any:
    """Which times and which detections the table is of."""
    return [
        store.fingerprint(subject.digest),
        *latency.fingerprint(latency.of_detector(subject.cell.detector, store)),
    ]


def measure(asked: Asked) -> Columns:
    """Lines of a training: its AP, that in the replicates, and every pass of every stored time."""
    store, subject = asked.store, asked.subject
    if store is None or asked.truths is None:
        raise TypeError("speed is read from a store")
    timed = latency.of_detector(subject.cell.detector, store)
    stored = store.get(subject.digest)
    value = stored.value(AP) if stored else None
    if value is None:
        raise StoreError(f"{subject.where} has no AP in {store.root}")
    lines: list[tuple[str, str, str, float]] = [(AP, "", "", value)]
    lines += _replicates(asked)
    for one in timed:
        lines.append((LOAD, "", one.words, one.load))
        for step in (MODEL, TOTAL):
            samples = one.samples.get(step, ())
            lines += [(SAMPLE, step, one.words, ms) for ms in samples]
            p95 = one.p95(step)
            lines += [(P95, step, one.words, p95)] if p95 is not None else []
    what, steps, words, values = zip(*lines, strict=True)
    return {
        "image": np.zeros(len(lines), np.int64),
        "what": np.array(what, object),
        "step": np.array(steps, object),
        "condition": np.array(words, object),
        "value": np.array(values, np.float64),
    }


def _replicates(asked: Asked) -> list[tuple[str, str, str, float]]:
    """AP in every bootstrap replicate of the images; none where detections are not stored."""
    store, truths, subject = asked.store, asked.truths, asked.subject
    if store is None or truths is None:
        return []
    how = Resampling(REPLICATES)
    found = differences.known(subject.digest, store, (AP,), how)
    if found is None:
        try:
            named = (subject.digest, subject.where, subject.cell)
            found = differences.resampled(named, store, truths, (AP,), how)
        except DetbenchError:
            return []
    draws = np.asarray(found.draws[AP], np.float64).tolist()
    return [(IMAGES, "", "", float(found.images[AP])), *((DRAW, "", "", one) for one in draws)]


def numbers(analysis: Analysis) -> list[Number]:
    """AP of every row, its times under every condition, and differences to the baseline."""
    conditions = _conditions(analysis)
    found = [_ap((one,)) for one in analysis.rows]
    base = analysis.rows[0]
    found += [_ap((base, one)) for one in analysis.rows[1:]]
    for place, words in enumerate(conditions, 1):
        part = f"on {place}"
        for one in analysis.rows:
            found += _times(one, words, part)
        for one in analysis.rows[1:]:
            found += _slower(base, one, words, part)
    return found


def notes(analysis: Analysis) -> list[str]:
    """What each condition is."""
    every = _conditions(analysis)
    said = [f"On {place}: {words}." for place, words in enumerate(every, 1)]
    if len(every) > 1:
        said.append("Times on one condition are not to be compared with those on another.")
    lacking = [
        f"{row.label} on {place}"
        for place, words in enumerate(every, 1)
        for row in analysis.rows
        if not len(_samples(row, words, TOTAL))
    ]
    busy = [
        f"{row.label} on {place} (load {load[0]:.1f} for each core)"
        for place, words in enumerate(every, 1)
        for row in analysis.rows
        if len(load := _samples(row, words, "", LOAD)) and load[0] > latency.BUSY
    ]
    said += [f"Not timed: {', '.join(lacking)}."] if lacking else []
    said += [f"Timed while other programs used the machine: {', '.join(busy)}."] if busy else []
    return said


def _conditions(analysis: Analysis) -> list[str]:
    """In words, those of the most rows first."""
    count: dict[str, int] = {}
    for row in analysis.rows:
        for words in dict.fromkeys(row.tables[0]["condition"].tolist()):
            if words:
                count[words] = count.get(words, 0) + 1
    return sorted(count, key=lambda words: -count[words])


def _values(table: Columns, what: str) -> Floats:
    chosen: Floats = table["value"][table["what"] == what]
    return chosen


def _samples(row: Measured, words: str, step: str, what: str = SAMPLE) -> Floats:
    """Of the first seed, whose network has the same layers as the others'."""
    table = row.tables[0]
    own = (table["what"] == what) & (table["step"] == step) & (table["condition"] == words)
    chosen: Floats = table["value"][own]
    return chosen


def _ap(rows: tuple[Measured, ...]) -> Number:
    """AP in percent of one row, or the second's less the first's."""
    names = (rows[-1].label, rows[0].label if len(rows) > 1 else "", "scores", "all", AP)
    values = [np.array([_values(one, AP)[0] for one in row.tables]) for row in rows]
    draws = [[_values(one, DRAW) for one in row.tables] for row in rows]
    signs = (1.0,) if len(rows) == 1 else (-1.0, 1.0)
    value = PERCENT * float(sum(s * one.mean() for s, one in zip(signs, values, strict=True)))
    several = len(rows) == 1 and len(values[0]) > 1
    sd = PERCENT * float(values[0].std(ddof=1)) if several else None
    if not all(len(one) for every in draws for one in every):
        reason = "no detections are stored: its interval is not known"
        return Number(*names, value, None, None, 0, 0, sd, reason, digits=1)
    images = min(int(_values(one, IMAGES)[0]) for row in rows for one in row.tables)
    parts = [Part(v, np.stack(d)) for v, d in zip(values, draws, strict=True)]
    made = combine(parts, signs, images)
    low, high = (None, None) if made.reason else (PERCENT * end for end in made.interval())
    return Number(*names, value, low, high, images, images, sd, made.reason, digits=1)


def _times(row: Measured, words: str, part: str) -> list[Number]:
    """Medians with their intervals, and 95th percentiles."""
    found = []
    for step in (MODEL, TOTAL):
        samples = _samples(row, words, step)
        if not len(samples):
            continue
        middle, (low, high) = float(np.median(samples)), of_median(samples)
        name = f"{step}, median ms"
        found.append(
            Number(row.label, "", part, "all", name, middle, low, high, len(samples), 0, digits=2)
        )
        for p95 in _samples(row, words, step, P95)[:1]:
            name = f"{step}, P95 ms"
            made = (float(p95), None, None, len(samples), 0)
            found.append(Number(row.label, "", part, "all", name, *made, digits=2))
    return found


def of_median(samples: Floats) -> tuple[float | None, float | None]:
    """A 95 % interval by order statistics (David and Nagaraja 2003, 7.1), free of any law; none of
    fewer than six.
    """
    from scipy.stats import binom

    ordered = np.sort(samples)
    count = len(ordered)
    # The k-th smallest and largest hold the median but for 2 P(B(n, 1/2) < k).
    place = int(binom.ppf(0.025, count, 0.5))
    if place < 1 or 2 * binom.cdf(place - 1, count, 0.5) > 0.05:
        return None, None
    return float(ordered[place - 1]), float(ordered[-place])


def _slower(base: Measured, row: Measured, words: str, part: str) -> list[Number]:
    """Median of the totals less the baseline's, on one condition, by a bootstrap of the passes."""
    sides = [_samples(one, words, TOTAL) for one in (base, row)]
    if not all(map(len, sides)):
        return []
    rng = np.random.default_rng(0)
    draws = []
    for one in sides:
        chosen = rng.integers(0, len(one), (REPLICATES, len(one)))
        draws.append(np.median(one[chosen], axis=1))
    low, high = np.quantile(draws[1] - draws[0], (0.025, 0.975)).tolist()
    value = float(np.median(sides[1]) - np.median(sides[0]))
    made = (value, low, high, min(map(len, sides)), 0)
    return [Number(row.label, base.label, part, "all", LESS, *made, digits=2)]


def draw(analysis: Analysis, found: Sequence[Number], words: tuple[str, str]) -> Figure:
    """Axes for each condition, each with its Pareto front where that says something."""
    aps = {one.row: one for one in found if one.name == AP and not one.baseline}
    clouds = []
    for place, condition in enumerate(_conditions(analysis), 1):
        points = []
        for row in analysis.rows:
            samples, ap = _samples(row, condition, TOTAL), aps[row.label]
            if len(samples) and ap.value is not None:
                half = None if ap.low is None or ap.high is None else (ap.high - ap.low) / 2
                middle = float(np.median(samples))
                points.append(cost.Point(row.label, middle, ap.value, "", half))
        title = "stored latency" if len(_conditions(analysis)) == 1 else f"on {place}"
        axis = "median ms per batch"
        clouds.append(cost.Cloud(title, axis, "AP (%), 95 % interval", tuple(points)))
    return cost.draw(clouds, words[0], " ".join([words[1], *notes(analysis)]))


KIND = Kind(
    name="speed",
    title="AP against stored latency",
    figures="DDOD 1",
    needs="latency",
    measure=measure,
    quantities=lambda analysis: (),
    draw=draw,
    images=0,
    explain="Times are those that detbench latency stored of the very networks: their intervals "
    "are of the passes of one session (order statistics; of differences a bootstrap), so that how "
    "a machine differs from day to day is not in them. AP in percent; its interval is over images.",
    numbers=numbers,
    notes=notes,
    source=source,
)
