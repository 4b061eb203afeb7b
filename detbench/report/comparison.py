"""Two detectors side by side: a table, and in a sentence whether the difference is real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detbench.evaluation.bootstrap import Difference
from detbench.report import intervals
from detbench.report.numbers import PERCENT
from detbench.report.table import Column, Entry, Sheet, fixed, number, text

DIGITS = 2
UNDEFINED = "no such object among the images"


@dataclass(frozen=True)
class Comparison:
    """Two comparands and how they differ.

    Attributes:
        a, b: what they are called.
        found: metric -> difference, b - a, the first one being that of the sentence.
        by_class: as many of ``found``, from the end, are of single classes.
        images: how many both were scored on.
        source: ground truth, to print.
        margin: points by which b may be worse; none is not asked.
    """

    a: str
    b: str
    found: Mapping[str, Difference]
    by_class: int
    images: int
    source: str
    margin: float | None = None

    @property
    def main(self) -> dict[str, Difference]:
        """The differences that are not of single classes."""
        return dict(list(self.found.items())[: len(self.found) - self.by_class])

    @property
    def breaches(self) -> list[str]:
        """Metrics for which b is not shown to be within the margin."""
        if self.margin is None:
            return []
        least = -self.margin / PERCENT
        return [name for name, one in self.main.items() if one.low is None or one.low < least]


def sheet(compared: Comparison) -> Sheet:
    """One row for each metric, in percent and points."""
    columns = _columns(compared.a, compared.b)
    rows = tuple(_row(name, one) for name, one in compared.found.items())
    first = len(compared.main)
    breaks = frozenset({first}) if compared.by_class else frozenset()
    title = f"{compared.b} against {compared.a}"
    return Sheet(title, columns, rows, tuple(notes(compared)), breaks)


def _columns(a: str, b: str) -> tuple[Column, ...]:
    return (
        Column("metric", "Metric"),
        Column("a", _short(a), "A", right=True),
        Column("b", _short(b), "B", right=True),
        Column("difference", "B − A", right=True),
        Column("low", "from", "95 %", right=True),
        Column("high", "to", "95 %", right=True),
        Column("p", "p", right=True),
    )


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:15]}…{name[-16:]}"


def _row(name: str, one: Difference) -> tuple[Entry, ...]:
    if one.value is None or one.low is None or one.high is None:
        return (text(name), *(text(None, UNDEFINED) for _ in range(6)))
    means = (_mean(one.a, one.sd_a), _mean(one.b, one.sd_b))
    change = (one.value, one.low, one.high)
    return (
        text(name),
        *means,
        *(Entry(intervals.signed(v * PERCENT, DIGITS), v * PERCENT) for v in change),
        Entry(intervals.probability(one), one.p),
    )


def _mean(value: float | None, sd: float | None) -> Entry:
    if value is None:
        return text(None)
    if sd is None:
        return number(value * PERCENT, DIGITS)
    shown = f"{fixed(value * PERCENT, DIGITS)} ± {fixed(sd * PERCENT, DIGITS)}"
    return Entry(shown, value * PERCENT)


def notes(compared: Comparison) -> list[str]:
    """The answer, then what it depends on."""
    first = next(iter(compared.found.values()))
    found = [sentence(compared, name) for name in compared.main]
    found += [margin_sentence(compared)] if compared.margin is not None else []
    if compared.by_class:
        chance = round(compared.by_class / 20, 1)
        found.append(
            f"Of {compared.by_class} classes about {chance:g} would leave 0 out of their interval "
            "by chance alone."
        )
    seeds = _seeds(first)
    return [
        *found,
        f"On {compared.source}, {compared.images} images, in percent{seeds}; paired bootstrap over "
        f"the images, {first.replicates} replicates, p two-sided. {intervals.covers(first)}",
    ]


def _seeds(one: Difference) -> str:
    if max(one.seeds_a, one.seeds_b) == 1:
        return ""
    return f", mean ± standard deviation over n = {one.seeds_a} and {one.seeds_b} seeds"


def sentence(compared: Comparison, metric: str) -> str:
    """Whether a difference is real, in words."""
    one = compared.found[metric]
    if one.value is None or one.low is None or one.high is None:
        return f"{metric}: not defined on these images ({UNDEFINED})."
    size = fixed(abs(one.value) * PERCENT, DIGITS)
    ends = " to ".join(intervals.signed(end * PERCENT, DIGITS) for end in (one.low, one.high))
    shown = f"95 % interval {ends}, p {_equals(one)}"
    other = "images" if one.sources == "images" else "images and seeds"
    word = "better" if one.value > 0 else "worse"
    if one.real:
        return (
            f"{metric}: {compared.b} is {size} points {word} than {compared.a} ({shown}): more "
            f"than the choice of {other} explains."
        )
    if one.low == one.high == 0:
        return f"{metric}: no difference at all ({shown})."
    half = fixed((one.high - one.low) / 2 * PERCENT, DIGITS)
    return (
        f"{metric}: {compared.b} is {size} points {word} than {compared.a}, which could be chance "
        f"({shown}): the choice of {other} alone moves it "
        f"by about {half} points either way."
    )


def _equals(one: Difference) -> str:
    shown = intervals.probability(one)
    return f"{shown[0]} {shown[1:]}" if shown[:1] in "<≤" else f"= {shown}"


def margin_sentence(compared: Comparison) -> str:
    """Whether b is within the margin, in words."""
    margin = f"{compared.margin:g}"
    if not compared.breaches:
        return (
            f"Margin {margin}: passed: at 95 % {compared.b} is no more than {margin} points below "
            f"{compared.a} in {_list(list(compared.main))}."
        )
    parts = [f"{name} {_low(compared.found[name])}" for name in compared.breaches]
    return (
        f"Margin {margin}: failed: {compared.b} is not shown to be within {margin} points of "
        f"{compared.a}: {'; '.join(parts)}."
    )


def _low(one: Difference) -> str:
    if one.low is None:
        return "is not defined"
    return f"may be {fixed(-one.low * PERCENT, DIGITS)} lower"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def of_one_cell(a: str, b: str, said: str, margin: float | None) -> tuple[Sheet, dict[str, Any]]:
    """What is printed of two names of the same cell: a sentence, and no row; and its payload.

    Args:
        said: the sentence.
    """
    found = {"a": a, "b": b, "same_cell": True, "images": None, "ground_truth": None}
    rest = {"metrics": {}, "margin": _margin(margin, []), "notes": [said]}
    return Sheet("", _columns(a, b), (), (said,)), {**found, **rest}


def _margin(points: float | None, breaches: list[str]) -> dict[str, Any] | None:
    if points is None:
        return None
    return {"points": points, "passed": not breaches, "breaches": breaches}


def payload(compared: Comparison) -> dict[str, Any]:
    """What ``--format json`` prints; AP and AR in percent, differences in points."""
    return {
        "a": compared.a,
        "b": compared.b,
        "same_cell": False,
        "images": compared.images,
        "ground_truth": compared.source,
        "metrics": {
            name: {**intervals.points(one), "real": one.real}
            for name, one in compared.found.items()
        },
        "margin": _margin(compared.margin, compared.breaches),
        "notes": notes(compared),
    }
