"""Effects of a table's own settings: many rows pooled into one difference.

With three seeds a side an effect as large as one seed's standard deviation is found in a sixth of
cases; with eighteen a side, in five sixths. A table whose rows are combinations of settings has
those
eighteen: every pair of rows that differ in one setting alone tells of it. A main effect is the mean
of those differences; an interaction says how much an effect changes with another setting, and is
read before a main effect is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from detbench.errors import RecipeError
from detbench.statistics import replicates as resampled
from detbench.statistics.estimate import RULE, Estimate, Rule, combine
from detbench.statistics.replicates import Replicates, part

Settings = Mapping[str, Mapping[str, str]]
"""Row -> setting -> what it is set to; a blank is ``""``."""


@dataclass(frozen=True)
class Effect:
    """A weighted sum of rows.

    Attributes:
        name: ``SCE``; ``SCE × DPE``; ``SCE where Method is ATSS``.
        kind: ``main``; ``interaction``: the effect of the first where the second is on, less that
            where it is off, and so on for three; ``simple``: the effect among some rows alone.
        weights: row -> weight, those of 0 left out.
    """

    name: str
    kind: str
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Design:
    """The rows that make a whole grid of settings with two values each.

    Attributes:
        factors: setting -> its two values, the one it starts from first.
        blocks: what the rows share beside these, each with every combination of the factors:
            values of the other settings -> values of the factors -> row.
    """

    factors: Mapping[str, tuple[str, str]]
    blocks: Mapping[tuple[str, ...], Mapping[tuple[str, ...], str]]
    others: tuple[str, ...]


def design(settings: Settings, factors: Sequence[str] = ()) -> Design | None:
    """The grid that rows make; none where they make none.

    Args:
        factors: settings to take; by default every one that has just two values. Rows without a
            partner in each of them are left out.

    Raises:
        RecipeError: there is no such setting, or it has not just two values.
    """
    names = list(dict.fromkeys(name for row in settings.values() for name in row))
    values = {
        name: list(dict.fromkeys(row.get(name, "") for row in settings.values())) for name in names
    }
    for name in factors:
        if len(values.get(name, ())) != 2:
            known = ", ".join(one for one in names if len(values[one]) == 2) or "none"
            raise RecipeError(
                f"'{name}' is no setting of two values among the rows (there are: {known})"
            )
    chosen = tuple(factors) or tuple(name for name in names if len(values[name]) == 2)
    if not chosen:
        return None
    others = tuple(name for name in names if name not in chosen)
    found: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {}
    for label, row in settings.items():
        block = tuple(row.get(name, "") for name in others)
        place = tuple(row.get(name, "") for name in chosen)
        if place in found.setdefault(block, {}):
            return None
        found[block][place] = label
    # A blank, or what comes first, is what a setting starts from.
    pairs = {name: _ordered(values[name]) for name in chosen}
    whole = {block: rows for block, rows in found.items() if len(rows) == 2 ** len(chosen)}
    return Design(pairs, whole, others) if whole else None


def _ordered(values: Sequence[str]) -> tuple[str, str]:
    first, second = values
    return (second, first) if second == "" else (first, second)


def effects(grid: Design) -> list[Effect]:
    """Main effects and all interactions of a grid's factors, means over all blocks."""
    names = list(grid.factors)
    found = []
    for order in range(1, len(names) + 1):
        for chosen in combinations(names, order):
            weights = _weights(grid, chosen)
            found.append(
                Effect(" × ".join(chosen), "interaction" if order > 1 else "main", weights)
            )
    return found


def by_other(grid: Design, factor: str) -> list[Effect]:
    """The effect of one factor where each other setting has each of its values, and how it changes.

    After a setting's own effects come its interactions: where it has its second value, less where
    it has its first; of three values or more, where it has each, less where it has any other.

    Args:
        grid: of this factor alone, so that all others are ``others``.
    """
    found = []
    for place, name in enumerate(grid.others):
        values = list(dict.fromkeys(block[place] for block in grid.blocks))
        if len(values) < 2:
            continue
        inside = {value: _where(grid, place, value) for value in values}
        outside = {value: _where(grid, place, *(set(values) - {value})) for value in values}
        shown = {value: f"{name} is {value}" if value else f"without {name}" for value in values}
        found += [
            Effect(f"{factor} where {shown[value]}", "simple", _weights(part, (factor,)))
            for value, part in inside.items()
        ]
        for value in values[1:] if len(values) == 2 else values:
            less = {row: -w for row, w in _weights(outside[value], (factor,)).items()}
            called = f"{factor} × {name}" + (f" ({value})" if len(values) > 2 else "")
            own = _weights(inside[value], (factor,))
            found.append(Effect(called, "interaction", {**own, **less}))
    return found


def _where(grid: Design, place: int, *values: str) -> Design:
    """The blocks in which one of the other settings has one of some values."""
    blocks = {block: rows for block, rows in grid.blocks.items() if block[place] in values}
    return Design(grid.factors, blocks, grid.others)


def _weights(grid: Design, chosen: Sequence[str]) -> dict[str, float]:
    """Of the effect or interaction of some factors: signs over half the rows for each sign."""
    places = {name: place for place, name in enumerate(grid.factors)}
    # A difference of differences, and their mean over whatever else there is.
    scale = 2 ** len(chosen) / (len(grid.blocks) * 2 ** len(grid.factors))
    found = {}
    for rows, settings in product(grid.blocks.values(), product(*(range(2) for _ in grid.factors))):
        values = tuple(pair[at] for pair, at in zip(grid.factors.values(), settings, strict=True))
        sign = 1.0
        for name in chosen:
            sign *= 1.0 if settings[places[name]] else -1.0
        found[rows[values]] = sign * scale
    return found


def estimate(
    effect: Effect, sides: Mapping[str, Sequence[Replicates]], metric: str, rule: Rule = RULE
) -> Estimate | None:
    """An effect with its spread; none where the metric of a row is not defined.

    Args:
        sides: row -> its seeds, resampled alike.
    """
    chosen = [sides[label] for label in effect.weights]
    resampled.check_same(chosen[0][0], [one for side in chosen for one in side])
    parts = [part(side, metric) for side in chosen]
    known = [one for one in parts if one is not None]
    if len(known) < len(parts):
        return None
    return combine(known, list(effect.weights.values()), chosen[0][0].images[metric], rule)
