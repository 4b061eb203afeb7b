"""The rows that a claim of a table compares, and the mistakes in naming them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detbench.recipe import metrics as known
from detbench.recipe.claims import (
    Additive,
    Best,
    Better,
    Cheaper,
    Claim,
    Compared,
    Equal,
    Figure,
    Order,
    Rows,
)
from detbench.recipe.rows import chosen
from detbench.recipe.table import Row, Table
from detbench.recipe.validate import unknown

Pair = tuple[str, str]


def pairs(claim: Compared, table: Table) -> list[Pair]:
    """Labels of what is compared with what, the claim's own rows first."""
    labels = _labels(table)
    rows = chosen(claim.rows, labels)
    if claim.than is None:
        baselines = table.baselines
        return [(row, base) for row in rows if (base := baselines[row]) is not None]
    return _combined(rows, chosen(claim.than, labels), claim.paired)


def looked(claim: Figure, table: Table) -> list[tuple[str, str | None]]:
    """Labels of what is analysed, each with what it is compared with, if with anything."""
    labels = _labels(table)
    rows = chosen(claim.rows, labels)
    if claim.than is None:
        return [(row, None) for row in rows]
    return [*_combined(rows, chosen(claim.than, labels), claim.paired)]


def _combined(rows: Sequence[str], than: Sequence[str], paired: bool) -> list[Pair]:
    if paired:
        return list(zip(rows, than, strict=True))
    return [(row, other) for row in rows for other in than]


def rivals(claim: Best, table: Table) -> list[Pair]:
    """Each of a claim's best with every one of the others."""
    labels = _labels(table)
    rows = chosen(claim.rows, labels)
    of = labels if claim.of is None else chosen(claim.of, labels)
    beside = {row.label: _beside(row, claim.along) if claim.along else () for row in table.rows}
    return [
        (row, other)
        for row in rows
        for other in of
        if other not in rows and beside[row] == beside[other]
    ]


def sequences(claim: Order, table: Table) -> list[tuple[str, ...]]:
    """The rows of each sequence, in its order."""
    rows = chosen(claim.rows, _labels(table))
    if claim.along is None:
        return [rows]
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for row in table.rows:
        if row.label in rows:
            found.setdefault(_beside(row, claim.along), []).append(row.label)
    return [tuple(one) for one in found.values()]


def _beside(row: Row, along: str) -> tuple[Pair, ...]:
    """A row's descriptive columns beside one."""
    return tuple((k, v) for k, v in row.columns.items() if k != along)


def sums(claim: Additive, table: Table) -> list[tuple[str, str, tuple[str, ...]]]:
    """Labels of a row with all parts, of that with none, and of those with one each."""
    labels = _labels(table)
    whole, base = chosen(claim.rows, labels), chosen(claim.base, labels)
    parts = zip(*(chosen(part, labels) for part in claim.parts), strict=True)
    return list(zip(whole, base, parts, strict=True))


def check(table: Table, where: str) -> list[str]:
    """Every mistake in a table's claims, a sentence each."""
    return [
        said
        for i, one in enumerate(table.claims)
        for said in _check(one, table, f"{where}: claims[{i}]")
    ]


def _check(claim: Claim, table: Table, place: str) -> list[str]:
    mistakes = list(_unknown(claim, table, place))
    metrics: Sequence[str] = getattr(claim, "metrics", ())
    mistakes += _metrics(claim, metrics, table, place)
    if mistakes:
        return mistakes
    if isinstance(claim, Compared):
        mistakes += _compared(claim, table, place)
    elif isinstance(claim, Best | Order):
        mistakes += _along(claim, table, place)
    elif isinstance(claim, Additive):
        mistakes += _additive(claim, table, place)
    elif isinstance(claim, Figure):
        mistakes += _figure(claim, table, place)
    return mistakes


def _sets(claim: Claim) -> Iterator[tuple[str, Rows]]:
    """The sets of rows of a claim, by their keys."""
    for key in ("rows", "than", "of", "base"):
        if (rows := getattr(claim, key, None)) is not None:
            yield key, rows
    for index, part in enumerate(getattr(claim, "parts", ())):
        yield f"parts[{index}]", part


def _unknown(claim: Claim, table: Table, place: str) -> Iterator[str]:
    labels = _labels(table)
    for key, rows in _sets(claim):
        for pattern in rows:
            if not chosen([pattern], labels):
                yield f"{place}.{key}: {unknown('row', pattern, labels)}"


def _metrics(claim: Claim, metrics: Sequence[str], table: Table, place: str) -> Iterator[str]:
    for metric in dict.fromkeys(metrics):
        if metric not in table.columns:
            yield f"{place}.metrics: {unknown('column', metric, table.columns)}"
        elif metrics.count(metric) > 1:
            yield f"{place}.metrics: {metric} is named twice"
        elif isinstance(claim, Better) and is_cost(metric):
            yield f"{place}.metrics: {metric} is a cost: kind 'cheaper' compares costs"
        elif isinstance(claim, Cheaper) and not is_cost(metric):
            yield f"{place}.metrics: {metric} is no cost: kind 'better' compares what rows reach"


def is_cost(metric: str) -> bool:
    """Whether a metric is what a detector costs: operations, parameters, time; a leaderboard's AP
    is none, though only cited.
    """
    found = known.find(metric)
    return found.block in ("cost", "cited") and found.unit != "fraction"


def _compared(claim: Compared, table: Table, place: str) -> Iterator[str]:
    if claim.than is None:
        for row in chosen(claim.rows, _labels(table)):
            if table.baselines[row] is None:
                yield f"{place}.rows: '{row}' has no baseline: 'than' says what it is compared with"
        if claim.paired:
            yield f"{place}.paired: needs 'than'; without it each row is compared with its baseline"
    else:
        yield from _against(claim, table, place)
    yield from _amounts(claim, place)


def _against(claim: Compared | Figure, table: Table, place: str) -> Iterator[str]:
    """Of a claim that names what its rows are compared with."""
    rows, than = (chosen(some, _labels(table)) for some in (claim.rows, claim.than or ()))
    if claim.paired and len(rows) != len(than):
        yield f"{place}.paired: rows means {len(rows)} and than {len(than)}: give as many of both"
        return
    for row, other in pairs(claim, table) if isinstance(claim, Compared) else looked(claim, table):
        if row == other:
            yield f"{place}.than: '{row}' is among rows too, and would be compared with itself"


def _figure(claim: Figure, table: Table, place: str) -> Iterator[str]:
    if claim.than is not None:
        yield from _against(claim, table, place)
    elif claim.paired:
        yield f"{place}.paired: needs 'than'; without it each row is looked at by itself"
    for index, one in enumerate(claim.shows):
        at = f"{place}.shows[{index}]"
        own = (one.name, one.part, one.group)
        less = () if one.less is None else (one.less.name, one.less.part, one.less.group)
        if one.less is not None and not any(less):
            yield f"{at}.less: say which number by its 'name', 'part' or 'group'"
        for key, first, second in zip(("name", "part", "group"), own, less, strict=False):
            if first == second:
                yield f"{at}.less.{key}: '{second}' would be subtracted from itself"
        if one.margin is not None and one.least is None and one.most is not None:
            yield f"{at}.margin: with 'most' alone there is no sign whose absence it could say"
        if one.most is not None and one.most < (one.least if one.least is not None else one.most):
            yield f"{at}.most: {one.most:g} is below the least, {one.least:g}"


def _amounts(claim: Compared, place: str) -> Iterator[str]:
    if isinstance(claim, Equal) and (claim.margin is None) == (claim.share is None):
        yield f"{place}: give either 'margin', in points, or 'share', a fraction"
    if isinstance(claim, Better | Cheaper):
        least = claim.least or 0.0
        if claim.most is not None and claim.most < least:
            yield f"{place}.most: {claim.most:g} is below the least, {least:g}"


def _along(claim: Best | Order, table: Table, place: str) -> Iterator[str]:
    """Of a claim about rows that may differ in one column alone."""
    if claim.along is not None and claim.along not in table.labels:
        yield f"{place}.along: {unknown('descriptive column', claim.along, table.labels)}"
    elif isinstance(claim, Best):
        if not rivals(claim, table):
            yield f"{place}: of: no other row is left to compare with"
    elif all(len(sequence) < 2 for sequence in sequences(claim, table)):
        yield f"{place}.rows: an order needs two rows in one sequence"


def _additive(claim: Additive, table: Table, place: str) -> Iterator[str]:
    labels = _labels(table)
    counts = {key: len(chosen(rows, labels)) for key, rows in _sets(claim)}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{key} {count}" for key, count in counts.items())
        yield f"{place}: every set needs as many rows ({said})"
    else:
        for whole, base, parts in sums(claim, table):
            if len({whole, base, *parts}) < 2 + len(parts):
                yield f"{place}: one row is in two sets: {', '.join((whole, base, *parts))}"
    if (claim.sum == "equal") != (claim.margin is not None):
        yield f"{place}.margin: with sum = 'equal', and only then, how far from it counts as equal"


def _labels(table: Table) -> tuple[str, ...]:
    return tuple(row.label for row in table.rows)
