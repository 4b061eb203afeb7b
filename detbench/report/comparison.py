"""Two detectors side by side: a table, and in a sentence whether the difference is real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detbench.report import conditions, intervals, signature
from detbench.report.numbers import PERCENT
from detbench.report.table import Column, Entry, Sheet, fixed, number, text
from detbench.statistics import randomisation
from detbench.statistics.bootstrap import LEVEL, Difference
from detbench.statistics.equivalence import Verdict, verdict, within
from detbench.statistics.looks import Look
from detbench.statistics.small import FEW

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
        equivalent: points below which a difference does not matter; none is not asked.
        swapped: metric -> p by approximate randomisation; empty where it was not asked for.
        q: metric of a class -> adjusted after Benjamini and Hochberg.
        signature: what the numbers depend on.
        look: by which rule seeds were chosen; none is not known.
        conditions: in what they differ beside their recipes, see ``report.conditions``.
        caveats: what is to be known of how the weights of either were chosen, in sentences.
    """

    a: str
    b: str
    found: Mapping[str, Difference]
    by_class: int
    images: int
    source: str
    margin: float | None = None
    equivalent: float | None = None
    swapped: Mapping[str, float | None] = field(default_factory=dict)
    q: Mapping[str, float] = field(default_factory=dict)
    signature: Mapping[str, str] = field(default_factory=dict)
    look: Look | None = None
    conditions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    caveats: Sequence[str] = ()

    @property
    def main(self) -> dict[str, Difference]:
        """The differences that are not of single classes."""
        return dict(list(self.found.items())[: len(self.found) - self.by_class])

    @property
    def methods(self) -> bool:
        """Whether what is found is of methods, not of two trainings alone."""
        return next(iter(self.found.values())).of_methods

    def verdict(self, metric: str) -> Verdict:
        """What is shown in a metric."""
        margin = None if self.equivalent is None else self.equivalent / PERCENT
        return verdict(self.found[metric], margin)

    @property
    def breaches(self) -> list[str]:
        """Metrics for which b is not shown to be within the margin."""
        if self.margin is None:
            return []
        least = -self.margin / PERCENT
        return [name for name, one in self.main.items() if one.low is None or one.low < least]


def sheet(compared: Comparison) -> Sheet:
    """One row for each metric, in percent and points."""
    columns = _columns(compared)
    rows = tuple(_row(compared, name, one) for name, one in compared.found.items())
    first = len(compared.main)
    breaks = frozenset({first}) if compared.by_class else frozenset()
    title = f"{compared.b} against {compared.a}"
    return Sheet(title, columns, rows, tuple(notes(compared)), breaks)


def _columns(compared: Comparison) -> tuple[Column, ...]:
    level = f"{100 * _level(compared):g} %"
    p = "p" if compared.methods else "p, images"
    return (
        *_heads(compared.a, compared.b, level, p),
        *((Column("swapped", "p, swapped", right=True),) if compared.swapped else ()),
        *((Column("q", "q", right=True),) if compared.q else ()),
        Column("images", "Images", right=True),
        *((Column("verdict", "Verdict"),) if compared.equivalent is not None else ()),
    )


def _heads(a: str, b: str, level: str = "95 %", p: str = "p") -> tuple[Column, ...]:
    return (
        Column("metric", "Metric"),
        Column("a", _short(a), "A", right=True),
        Column("b", _short(b), "B", right=True),
        Column("difference", "B − A", right=True),
        Column("low", "from", level, right=True),
        Column("high", "to", level, right=True),
        Column("p", p, right=True),
    )


def _level(compared: Comparison) -> float:
    found = (one.estimate.rule.level for one in compared.found.values() if one.estimate)
    return next(found, LEVEL)


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:15]}…{name[-16:]}"


def _row(compared: Comparison, name: str, one: Difference) -> tuple[Entry, ...]:
    rest = [
        *([_p(compared.swapped.get(name))] if compared.swapped else []),
        *([_p(compared.q.get(name))] if compared.q else []),
        Entry(f"{one.images}", one.images),
        *([text(compared.verdict(name))] if compared.equivalent is not None else []),
    ]
    if one.value is None:
        return (text(name), *(text(None, UNDEFINED) for _ in range(6)), *rest)
    shown = [
        *(_mean(one.a, one.sd_a), _mean(one.b, one.sd_b)),
        Entry(intervals.signed(one.value * PERCENT, DIGITS), one.value * PERCENT),
    ]
    if one.low is None or one.high is None:
        return (text(name), *shown, *(text(None, one.reason) for _ in range(3)), *rest)
    ends = (
        Entry(intervals.signed(end * PERCENT, DIGITS), end * PERCENT) for end in (one.low, one.high)
    )
    return text(name), *shown, *ends, Entry(intervals.probability(one), one.p), *rest


def _p(value: float | None) -> Entry:
    return Entry("" if value is None else intervals.small_p(value), value)


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
    found += _of_classes(compared) + _disagreements(compared) + _rare(compared)
    if compared.look and compared.methods and first.seeds_a == first.seeds_b:
        found.append(intervals.counted(compared.look))
    seeds = _seeds(first)
    found.append(
        f"On {compared.source}, {compared.images} images, in percent{seeds}; paired bootstrap over "
        f"the images, {first.replicates} replicates, p two-sided ({intervals.method(first)}). "
        f"{intervals.covers(first)}"
    )
    found += conditions.notes(compared.conditions)
    found += compared.caveats
    if compared.signature:
        found.append(f"Signature: {signature.line(compared.signature)}")
    return found


def _of_classes(compared: Comparison) -> list[str]:
    """How many classes are found to differ, and how many would be by chance."""
    if not compared.by_class:
        return []
    chance = round(compared.by_class / 20, 1)
    names = list(compared.found)[len(compared.main) :]
    silent = sum(compared.found[name].p is None for name in names)
    said = [
        f"Of {compared.by_class} classes about {chance:g} would leave 0 out of their interval "
        f"by chance alone; {sum(one <= 0.05 for one in compared.q.values())} differ with q ≤ 0.05 "
        "(Benjamini and Hochberg: at most 5 % of those are expected false)."
    ]
    if silent:
        said.append(
            f"{silent} of {compared.by_class} classes lie in too few images for an interval, or in "
            "none."
        )
    return said


def _disagreements(compared: Comparison) -> list[str]:
    """Where the two p say otherwise."""
    names = [
        name
        for name, p in compared.swapped.items()
        if randomisation.disagree(compared.found[name].p, p)
    ]
    if not names:
        return []
    return [
        f"In {_list(names)} the bootstrap and approximate randomisation (p, swapped) disagree at "
        "5 %: "
        "take neither for a finding."
    ]


def _rare(compared: Comparison) -> list[str]:
    """What a mean over classes hides of those that few images hold."""
    said = []
    for name, one in compared.main.items():
        many, few = one.rare
        if many > 1 and few and not one.reason:
            said.append(
                f"{name} is the mean of {many} classes, of which {few} lie in fewer than {FEW} "
                "images: "
                "its interval knows little of them."
            )
    return said[:1]


def _seeds(one: Difference) -> str:
    if max(one.seeds_a, one.seeds_b) == 1:
        return ""
    return f", mean ± standard deviation over n = {one.seeds_a} and {one.seeds_b} seeds"


def sentence(compared: Comparison, metric: str) -> str:
    """What is shown of a difference, in words: of two trainings, or of the methods."""
    one = compared.found[metric]
    if one.value is None:
        return f"{metric}: not defined on these images ({UNDEFINED})."
    if one.low is None or one.high is None:
        shown = intervals.signed(one.value * PERCENT, DIGITS)
        return f"{metric}: {shown} points, of which nothing can be told: {one.reason}."
    ends = " to ".join(intervals.signed(end * PERCENT, DIGITS) for end in (one.low, one.high))
    shown = f"{100 * _level(compared):g} % interval {ends}, p {_equals(one)}"
    if one.low == one.high == 0:
        return f"{metric}: no difference at all ({shown})."
    return f"{metric}: {_found(compared, one, shown)}{_equivalent(compared, metric)}"


def _found(compared: Comparison, one: Difference, shown: str) -> str:
    size = fixed(abs(one.value or 0.0) * PERCENT, DIGITS)
    word = "better" if (one.value or 0.0) > 0 else "worse"
    other = "images" if one.sources == "images" else "images and seeds"
    if one.real and not one.of_methods:
        return (
            f"these two trainings differ: {compared.b} is {size} points {word} than {compared.a} "
            f"({shown}): more than the choice of images explains; whether the methods differ, "
            "one seed "
            "of each cannot tell."
        )
    if one.real:
        return (
            f"{compared.b} is {size} points {word} than {compared.a} ({shown}): more "
            f"than the choice of {other} explains."
        )
    half = fixed(((one.high or 0.0) - (one.low or 0.0)) / 2 * PERCENT, DIGITS)
    return (
        f"{compared.b} is {size} points {word} than {compared.a}, which could be chance "
        f"({shown}): the choice of {other} alone moves it "
        f"by about {half} points either way."
    )


def _equivalent(compared: Comparison, metric: str) -> str:
    """Whether they are equivalent, where that was asked."""
    one = compared.found[metric]
    if compared.equivalent is None or one.estimate is None:
        return ""
    same = within(one.estimate, compared.equivalent / PERCENT)
    if same is None:
        return ""
    ends = " to ".join(intervals.signed(end * PERCENT, DIGITS) for end in (same.low, same.high))
    about = "the two" if one.of_methods else "these two trainings"
    level = f"{100 * (1 - 2 * one.estimate.rule.alpha):g} %"
    if same.equivalent:
        return (
            f" Equivalent: {about} differ by less than {compared.equivalent:g} points ({level} "
            f"interval {ends})."
        )
    return (
        f" Not shown to be equivalent within {compared.equivalent:g} points ({level} interval "
        f"{ends})."
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
    return Sheet("", _heads(a, b), (), (said,)), {**found, **rest}


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
            name: {
                **intervals.points(one),
                "real": one.real,
                "verdict": compared.verdict(name),
                "about": "methods" if one.of_methods else "these two trainings",
                "p_swapped": compared.swapped.get(name),
                "q": compared.q.get(name),
            }
            for name, one in compared.found.items()
        },
        "equivalent": compared.equivalent,
        "signature": dict(compared.signature),
        "conditions": {name: dict(counts) for name, counts in compared.conditions.items()},
        "caveats": list(compared.caveats),
        "margin": _margin(compared.margin, compared.breaches),
        "notes": notes(compared),
    }
