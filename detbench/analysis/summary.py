"""Numbers with intervals: a paired bootstrap over images, and the spread over seeds. No torch.

All rows are looked at on the same images, which are drawn for all of them alike; see
``statistics.estimate`` for what an interval covers with one seed and with several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detbench.analysis.kind import (
    Analysis,
    Columns,
    Flags,
    Floats,
    Ints,
    Kind,
    Measured,
    Number,
    Quantity,
    Sums,
)
from detbench.statistics.estimate import Part, combine, quantile
from detbench.statistics.replicates import REPLICATES, draw

Lines = Callable[[Columns], Flags]
_Names = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Side:
    """One quantity of one row.

    Attributes:
        part: its values and replicates; none where nothing counts.
        n, images: lines and images that count.
    """

    part: Part | None
    n: int
    images: int


def of_kind(kind: Kind, analysis: Analysis) -> list[Number]:
    """What a kind tells of an analysis."""
    if kind.numbers is not None:
        return list(kind.numbers(analysis))
    return numbers(analysis, kind.quantities(analysis))


def numbers(analysis: Analysis, quantities: Iterable[Quantity]) -> list[Number]:
    """Every quantity of every row, then of every row but the first its difference to that.

    A row that lacks the part of the detector which another has is left out.
    """
    weights = replicates(analysis)
    found: list[Number] = []
    alone = analysis.alone
    for one in quantities:
        sides = [side_of(row, one, analysis.images, weights) for row in analysis.rows]
        some = any(each.n for each in sides)
        pairs = [(row.label, each) for row, each in zip(analysis.rows, sides, strict=True)]
        pairs = [pair for pair in pairs if pair[1].n or not some]
        found += [_number((label, ""), one, (side,), alone) for label, side in pairs]
        base, first = pairs[0]
        if one.differs and base == analysis.rows[0].label:
            found += [
                _number((label, base), one, (first, side), alone) for label, side in pairs[1:]
            ]
    return found


def replicates(analysis: Analysis) -> Floats:
    """(R, I): how often each image is drawn, alike for all rows."""
    return draw(len(analysis.images), REPLICATES, 0).T.astype(np.float64)


def side_of(row: Measured, of: Quantity, images: Ints, weights: Floats) -> Side:
    """A row's quantity.

    Args:
        images, weights: of the analysis, as of ``replicates``.
    """
    values, draws, count = [], [], 0
    held: set[int] = set()
    for table in row.tables:
        lines = of.lines(table)
        held |= set(np.unique(table["image"][lines]).tolist())
        per_image = by_image(table, of, lines, images)
        count += round(float(per_image[:, 0].sum()))
        values.append(float(of.statistic(per_image.sum(axis=0))))
        draws.append(of.statistic(weights @ per_image))
    known = bool(values) and not np.isnan(values).any()
    return Side(Part(np.array(values), np.stack(draws)) if known else None, count, len(held))


def by_image(table: Columns, of: Quantity, lines: Flags, images: Ints) -> Floats:
    """(I, k): what each image adds."""
    chosen = {name: column[lines] for name, column in table.items()}
    sums = np.asarray(of.sums(chosen), np.float64)
    found = np.zeros((len(images), sums.shape[1]))
    np.add.at(found, np.searchsorted(images, chosen["image"]), sums)
    return found


def _number(rows: tuple[str, str], of: Quantity, sides: tuple[Side, ...], alone: bool) -> Number:
    """Of a row, or of a row and its baseline.

    Args:
        alone: no image was looked at.
    """
    names: _Names = (*rows, of.part, of.group, of.name)
    return replace(_estimate(names, sides, alone), detail=of.detail, digits=of.digits)


def _estimate(names: _Names, sides: tuple[Side, ...], alone: bool) -> Number:
    n, images = sum(side.n for side in sides), min(side.images for side in sides)
    parts = [side.part for side in sides if side.part is not None]
    if len(parts) < len(sides):
        return Number(*names, None, None, None, n, images, reason="nothing of this kind was seen")
    if alone:
        return _over_seeds(names, parts, n)
    signs = (1.0,) if len(parts) == 1 else (-1.0, 1.0)
    found = combine(parts, signs, images)
    low, high = (None, None) if found.reason else found.interval()
    return Number(*names, found.value, low, high, n, images, _sd(parts), found.reason)


def _over_seeds(names: _Names, parts: Sequence[Part], n: int) -> Number:
    """What is no matter of images: Student's t over the seeds, none with one."""
    means = [float(one.values.mean()) for one in parts]
    value = means[0] if len(means) == 1 else means[1] - means[0]
    counts = [one.seeds for one in parts]
    if min(counts) < 2:
        reason = "one training: its spread is not known"
        return Number(*names, value, None, None, n, 0, _sd(parts), reason)
    errors = [float(one.values.var(ddof=1)) / one.seeds for one in parts]
    total = sum(errors)
    terms = zip(errors, counts, strict=True)
    free = total**2 / sum(e**2 / (k - 1) for e, k in terms) if total else float("inf")
    half = quantile(free, 0.975) * total**0.5
    return Number(*names, value, value - half, value + half, n, 0, _sd(parts))


def _sd(parts: Sequence[Part]) -> float | None:
    """Over the seeds, of one row."""
    if len(parts) != 1 or parts[0].seeds < 2:
        return None
    return float(parts[0].values.std(ddof=1))


def column(name: str) -> Sums:
    """What ``mean`` takes of a column."""
    return values(lambda table: table[name])


def values(of: Callable[[Columns], Floats]) -> Sums:
    """What ``mean`` takes of a value of each line."""
    return lambda table: np.stack([np.ones(len(table["image"])), of(table)], axis=-1)


def mean(sums: Floats) -> Floats:
    """Of (..., 2) sums: of ones and of values."""
    return _ratio(sums[..., 1], sums[..., 0])


def deviation(sums: Floats) -> Floats:
    """Standard deviation, of (..., 3) sums: of ones, values, squares."""
    average = _ratio(sums[..., 1], sums[..., 0])
    spread = _ratio(sums[..., 2], sums[..., 0]) - average**2
    return np.sqrt(np.maximum(spread, 0.0))


def pearson(sums: Floats) -> Floats:
    """Correlation, of (..., 6) sums: of ones, x, y, xx, yy, xy; not a number without spread."""
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    both, first, second = (_ratio(one, n) for one in (xy, xx, yy))
    mx, my = _ratio(x, n), _ratio(y, n)
    # What is left of equal numbers is rounding, no spread.
    first, second = first - mx**2, second - my**2
    tiny = 1e-12
    product = np.where((first > tiny) & (second > tiny), first * second, np.nan)
    return np.clip((both - mx * my) / np.sqrt(product), -1.0, 1.0)


def ranks(values: Floats) -> Floats:
    """Places among the values, from 0 to 1; equal ones share their mean."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values) / max(1, len(values)), np.float64)


def moments(x: Floats, y: Floats) -> Floats:
    """(n, 6): what ``pearson`` takes, of each pair."""
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    top, bottom = np.asarray(top, np.float64), np.asarray(bottom, np.float64)
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
