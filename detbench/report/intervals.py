"""Differences with their intervals in words, as every table and command prints them. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from detbench.evaluation.bootstrap import Difference
from detbench.report.differences import Change
from detbench.report.numbers import PERCENT
from detbench.report.table import fixed

MINUS = "-"


def signed(value: float, digits: int) -> str:
    """A number with its sign; one below the last digit is 0 and has none."""
    shown = fixed(value, digits)
    if not float(shown):
        return fixed(0.0, digits)
    return shown if shown.startswith(MINUS) else f"+{shown}"


def with_interval(one: Difference, digits: int) -> str:
    """``+0.8 [0.3, 1.2]``, in percentage points; empty where it is undefined."""
    if one.value is None or one.low is None or one.high is None:
        return ""
    ends = (signed(end * PERCENT, digits).lstrip("+") for end in (one.low, one.high))
    return f"{signed(one.value * PERCENT, digits)} [{', '.join(ends)}]"


def probability(one: Difference) -> str:
    """p with three decimals; the least that the replicates can tell reads ``≤0.002``."""
    if one.p is None:
        return ""
    if one.sources == "images" and one.p <= 2 / (one.replicates + 1):
        return f"≤{max(0.001, one.p):.3f}"
    return "<0.001" if one.p < 0.001 else fixed(one.p, 3)


def covers(one: Difference) -> str:
    """What the interval covers, in a sentence: never a ± of one seed without saying so."""
    if one.sources == "images":
        return (
            "One seed each: the interval says how much the choice of val images matters, not how "
            "much another training would differ (for that, give several seeds)."
        )
    if one.sources == "images and seeds":
        return f"It covers the choice of val images and of seeds (n = {one.seeds_b})."
    return f"It covers the choice of val images and, on one side, of seeds ({one.sources})."


def explained(changes: Iterable[Change]) -> list[str]:
    """The notes below a table that prints differences; none where it prints none."""
    found = [one for change in changes for one in change.found.values() if one.value is not None]
    if not found:
        return []
    first = found[0]
    return [
        "To baseline: the row less its baseline (the one marked so above it), in points, with the "
        f"95 % interval and the two-sided p of {first.replicates} paired bootstrap replicates over "
        f"the val images. {covers(first)}"
    ]


def plain(change: Change) -> dict[str, Any]:
    """A change as json carries it: in points, as the APs are in percent."""
    return {
        "baseline": change.baseline,
        "reason": change.reason,
        "metrics": {metric: points(one) for metric, one in change.found.items()},
    }


def points(one: Difference) -> dict[str, Any]:
    """A difference as json carries it, fractions times 100."""

    def percent(value: float | None) -> float | None:
        return None if value is None else value * PERCENT

    return {
        "value": percent(one.value),
        "low": percent(one.low),
        "high": percent(one.high),
        "p": one.p,
        "a": percent(one.a),
        "b": percent(one.b),
        "sd_a": percent(one.sd_a),
        "sd_b": percent(one.sd_b),
        "seeds": [one.seeds_a, one.seeds_b],
        "replicates": one.replicates,
        "covers": one.sources,
    }
