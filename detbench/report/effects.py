"""Main effects and interactions of a table's own settings, from all of its rows. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detbench.errors import DetbenchError
from detbench.report import intervals
from detbench.report.differences import Bench
from detbench.report.numbers import PERCENT
from detbench.report.table import Column, Entry, Sheet, text
from detbench.runner.plan import Plan
from detbench.statistics import contrasts, corrections
from detbench.statistics.contrasts import Design, Effect
from detbench.statistics.corrections import Adjusted
from detbench.statistics.estimate import Estimate, Rule


@dataclass(frozen=True)
class Line:
    """One effect.

    Attributes:
        trainings: on either side of it.
        adjusted: for all effects that are printed together; none where it has no interval.
    """

    effect: Effect
    estimate: Estimate
    trainings: int
    adjusted: Adjusted | None


@dataclass(frozen=True)
class Effects:
    """Attributes:
    metric: of all.
    lines: none where ``reason``.
    reason: why the grid's effects are not known.
    """

    metric: str
    lines: tuple[Line, ...] = ()
    reason: str = ""


def grid(plan: Plan, factors: Sequence[str] = ()) -> Design | None:
    """The grid that a table's descriptive columns make of the rows that are trained.

    Raises:
        RecipeError: there is no such setting of two values.
    """
    settings = {
        row.row.label: {name: row.row.columns.get(name, "") for name in plan.table.labels}
        for row in plan.rows
        if row.train
    }
    return contrasts.design(settings, factors)


def of_rows(plan: Plan, bench: Bench, metric: str, rule: Rule) -> Effects | None:
    """Every main effect and interaction; none where the rows are no grid of several pairs."""
    found = grid(plan)
    if found is None or len(found.blocks) * len(found.factors) < 2:
        return None
    return estimated(plan, bench, metric, contrasts.effects(found), rule)


def of_factor(plan: Plan, bench: Bench, metric: str, factor: str, rule: Rule) -> Effects | None:
    """One setting's effect over all pairs of rows that differ in it alone, and how it changes."""
    found = grid(plan, (factor,))
    if found is None:
        return None
    wanted = [*contrasts.effects(found), *contrasts.by_other(found, factor)]
    return estimated(plan, bench, metric, wanted, rule)


def estimated(
    plan: Plan, bench: Bench, metric: str, wanted: Sequence[Effect], rule: Rule
) -> Effects:
    """Effects with their intervals; one missing row leaves all of them out, with the reason."""
    rows = {row.row.label: row for row in plan.rows}
    used = list(dict.fromkeys(label for one in wanted for label in one.weights))
    for label in used:
        if reason := bench.lacks(rows[label]):
            return Effects(metric, reason=reason if label in reason else f"{label}: {reason}")
    try:
        sides = {label: bench.side(rows[label]) for label in used}
        found = [contrasts.estimate(one, sides, metric, rule) for one in wanted]
    except DetbenchError as error:
        return Effects(metric, reason=" ".join(str(error).split()))
    pairs = [(one, made) for one, made in zip(wanted, found, strict=True) if made is not None]
    if not pairs:
        return Effects(metric, reason="not defined on these images")
    told = [made for _, made in pairs if not made.reason]
    adjusted = iter(corrections.together(told, rule.level))
    return Effects(
        metric,
        tuple(
            Line(one, made, _trainings(one, sides), None if made.reason else next(adjusted))
            for one, made in pairs
        ),
    )


def _trainings(effect: Effect, sides: Any) -> int:
    return sum(len(sides[label]) for label, weight in effect.weights.items() if weight > 0)


def sheet(found: Effects, title: str, digits: int = 1) -> Sheet:
    """A line for each effect: its size in points, interval and p; by images alone no p."""
    several = any(one.estimate.seeds for one in found.lines)
    family = len([one for one in found.lines if one.adjusted])
    level = f"{100 * found.lines[0].estimate.rule.level:g} %" if found.lines else "95 %"
    group = "" if several else "images only"
    columns = [
        Column("effect", "Effect"),
        Column("change", f"Δ{found.metric} [{level}]", group, right=True),
        *([Column("p", "p", right=True)] if several else []),
        Column("simultaneous", f"[{level}, all {family}]", group, right=True),
        *([Column("adjusted", "p, all", right=True)] if several else []),
        Column("trainings", "Trainings a side", right=True),
    ]
    rows = [_row(one, digits, several) for one in found.lines]
    return Sheet(title, tuple(columns), tuple(rows), tuple(notes(found)))


def _row(one: Line, digits: int, several: bool) -> tuple[Entry, ...]:
    made = one.estimate
    name, count = text(one.effect.name), Entry(f"{one.trainings}", one.trainings)
    value = made.value * PERCENT
    if made.reason or one.adjusted is None:
        shown = Entry(intervals.signed(value, digits), value, made.reason)
        blanks = [text(None)] * (3 if several else 1)
        return (name, shown, *blanks, count)
    low, high = made.interval()
    ends = tuple(zip(("low", "high"), (low * PERCENT, high * PERCENT), strict=True))
    wide = tuple(zip(("low", "high"), (end * PERCENT for end in one.adjusted.ends), strict=True))
    change = f"{intervals.signed(value, digits)} {intervals.ends((low, high), digits)}"
    p = [Entry(intervals.small_p(one), one) for one in (made.p(), one.adjusted.p)]
    every = Entry(intervals.ends(one.adjusted.ends, digits), None, more=wide)
    shown = Entry(change, value, more=ends)
    if not several:
        return name, shown, every, count
    return name, shown, p[0], every, p[1], count


def notes(found: Effects) -> list[str]:
    """How to read them."""
    if found.reason:
        return [f"Effects are not known: {found.reason}."]
    several = any(one.estimate.seeds for one in found.lines)
    first = (
        "A main effect is the mean of all differences between rows that differ in that setting "
        "alone; "
        "A × B is the effect of A where B is on less that where it is off. A main effect means "
        "little "
        "where its interactions are large."
    )
    if several:
        return [
            f"{first} Student's t over images and seeds; the last interval and p are for all "
            "effects "
            "together (Bonferroni, Holm).",
        ]
    return [
        f"{first} One seed each: the intervals are of these trainings (images only), not of the "
        "settings; the last is for all effects together (max-T)."
    ]


def plain(found: Effects | None) -> dict[str, Any] | None:
    """As json carries it, in points."""
    if found is None:
        return None
    return {
        "metric": found.metric,
        "reason": found.reason,
        "effects": [_plain(one) for one in found.lines],
    }


def _plain(one: Line) -> dict[str, Any]:
    made = one.estimate
    low, high = (None, None) if made.reason else made.interval()
    p = None if made.reason else made.p()
    return {
        "name": one.effect.name,
        "kind": one.effect.kind,
        "value": made.value * PERCENT,
        "low": None if low is None else low * PERCENT,
        "high": None if high is None else high * PERCENT,
        "p": p if made.seeds else None,
        "p_images": None if made.seeds else p,
        "adjusted": one.adjusted.p if one.adjusted and made.seeds else None,
        "simultaneous": [end * PERCENT for end in one.adjusted.ends] if one.adjusted else None,
        "trainings": one.trainings,
        "reason": made.reason,
        "weights": dict(one.effect.weights),
    }
