"""Differences with their intervals in words, as every table and command prints them. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from detbench.report.differences import Change
from detbench.report.numbers import PERCENT
from detbench.report.table import fixed
from detbench.statistics.bootstrap import Difference
from detbench.statistics.estimate import Rule
from detbench.statistics.looks import Look

MINUS = "-"


def signed(value: float, digits: int) -> str:
    """A number with its sign; one below the last digit is 0 and has none."""
    shown = fixed(value, digits)
    if not float(shown):
        return fixed(0.0, digits)
    return shown if shown.startswith(MINUS) else f"+{shown}"


def ends(both: Sequence[float], digits: int) -> str:
    """``[0.3, 1.2]``, in percentage points."""
    return f"[{', '.join(signed(end * PERCENT, digits).lstrip('+') for end in both)}]"


def with_interval(one: Difference, digits: int) -> str:
    """``+0.8 [0.3, 1.2]``, in percentage points; without what is not known; empty if undefined."""
    if one.value is None:
        return ""
    shown = signed(one.value * PERCENT, digits)
    if one.low is None or one.high is None:
        return shown
    return f"{shown} {ends((one.low, one.high), digits)}"


def probability(one: Difference) -> str:
    """p with three decimals; the least that the replicates can tell reads ``≤0.002``."""
    if one.p is None:
        return ""
    if one.sources == "images" and one.p <= 2 / (one.replicates + 1):
        return f"≤{max(0.001, one.p):.3f}"
    return small_p(one.p)


def small_p(p: float) -> str:
    """p with three decimals."""
    return "<0.001" if p < 0.001 else fixed(p, 3)


def covers(one: Difference) -> str:
    """What the interval covers, in a sentence: never a ± of one seed without saying so."""
    if one.sources == "images":
        return (
            "One seed each: the interval says how much the choice of val images matters, not how "
            "much another training would differ (for that, give several seeds)."
        )
    if one.sources == "images and a given spread":
        return (
            "It covers the choice of val images and a spread over seeds that is given, not "
            "measured "
            "(--seed-sd)."
        )
    if one.sources == "images and seeds":
        count = (
            f"{one.seeds_b}" if one.seeds_a == one.seeds_b else f"{one.seeds_a} and {one.seeds_b}"
        )
        return f"It covers the choice of val images and of seeds (n = {count})."
    known, alone = ("A", "B") if one.seeds_a > 1 else ("B", "A")
    return (
        f"It covers the choice of val images and of seeds (n = {one.seeds_a} and {one.seeds_b}): "
        f"{alone}'s one seed is taken to spread as {known}'s do."
    )


def method(one: Difference) -> str:
    """How interval and p were made, in words."""
    if one.sources == "images":
        return "percentiles of the replicates"
    return "Student's t (Welch, Satterthwaite) over images and seeds"


def explained(changes: Iterable[Change], metric: str | None, look: Look, rule: Rule) -> list[str]:
    """The notes below a table that prints differences; none where it prints none."""
    found = [
        one
        for change in changes
        if metric and (one := change.found.get(metric)) and one.value is not None
    ]
    if not found:
        return []
    told = [one for one in found if one.p is not None]
    first = (told or found)[0]
    level = f"{100 * rule.level:g} %"
    what = "interval" if not first.of_methods else "interval and the two-sided p"
    said = [
        f"To baseline: the row less its baseline (the one marked so above it), in points, with the "
        f"{level} {what} of {first.replicates} paired bootstrap replicates over the val images "
        f"({method(first)}). {covers(first)}"
    ]
    if len(told) > 1:
        said.append(_family(told, rule))
    if first.of_methods:
        said.append(counted(look))
    return said


def _family(told: Sequence[Difference], rule: Rule) -> str:
    """What looking at several rows does, and what the adjusted numbers are."""
    count = len(told)
    chance = f"{count * rule.alpha:.1f}"
    expected = (
        f"If none of the {count} differed, about {chance} of them would leave 0 out of their own "
        "interval by chance"
    )
    if not told[0].of_methods:
        return (
            f"{expected}: [all {count}] are intervals that hold for all of them together (max-T "
            "over "
            "the shared replicates)."
        )
    return (
        f"{expected}: [all {count}] and p, all hold for all of them together (Bonferroni's "
        "intervals, "
        "Holm's p)."
    )


def counted(look: Look) -> str:
    """By which rule seeds were chosen, and how many looks there were."""
    seen = [str(one) for one in look.seen if one > 1]
    if look.planned:
        spent = "0.01 at 3 seeds and 0.04 at 6"
        return (
            f"Seeds: two planned looks ({spent}); this is the one at {look.seeds}, so that a "
            f"difference is found at p ≤ {look.alpha:g}."
        )
    if look.grown:
        return (
            f"Seeds: looked at with n = {', '.join(seen)}: seeds that are added until something "
            "shows "
            "find differences that are not there (6.9 % for 3 then 6, 9.5 % for each of 3 to 6, in "
            "place of 5 %): state their number in advance, or plan two looks (--looks 3,6)."
        )
    known = f"; this is look {len(seen)} with n = {', '.join(seen)}" if len(seen) > 1 else ""
    return f"Seeds: n = {look.seeds}, taken as fixed in advance, one look at 5 %{known}."


def plain(change: Change) -> dict[str, Any]:
    """A change as json carries it: in points, as the APs are in percent."""
    return {
        "baseline": change.baseline,
        "reason": change.reason,
        "metrics": {metric: points(one) for metric, one in change.found.items()},
    }


def points(one: Difference) -> dict[str, Any]:
    """A difference as json carries it, fractions times 100.

    ``p`` and ``adjusted`` are of methods: with images alone they are null, and stand under
    ``p_images`` and ``adjusted_images``.
    """

    def percent(value: float | None) -> float | None:
        return None if value is None else value * PERCENT

    methods = one.of_methods
    return {
        "value": percent(one.value),
        "low": percent(one.low),
        "high": percent(one.high),
        "p": one.p if methods else None,
        "p_images": None if methods else one.p,
        "a": percent(one.a),
        "b": percent(one.b),
        "sd_a": percent(one.sd_a),
        "sd_b": percent(one.sd_b),
        "seeds": [one.seeds_a, one.seeds_b],
        "replicates": one.replicates,
        "covers": one.sources,
        "images": one.images,
        "reason": one.reason,
        "family": one.family,
        "adjusted": one.adjusted if methods else None,
        "adjusted_images": None if methods else one.adjusted,
        "simultaneous": None if one.wide is None else [end * PERCENT for end in one.wide],
    }
