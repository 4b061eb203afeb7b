"""What measured differences say of a claim: supported, contradicted, equivalent or undecided.

A claim is one or several questions, each a sum of rows' metrics that has to lie within bounds.

- **Supported** needs every question, so its p is the largest of theirs (intersection-union test;
  Berger 1982): nothing is paid for their number.
- **Contradicted** needs one, any of them, so its p is the smallest times their number (Bonferroni).
- **Equivalent**: no sign is found, and every question's sum lies within a margin of 0 (two
  one-sided tests, Schuirmann 1987; the largest p).

Over the claims of a table the smaller of the first two p is adjusted after Holm (1979), and so, as
a family of its own, is that of equivalence. What is counted and not estimated, costs, has no p.
One seed supports and contradicts nothing.

No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from detbench.statistics import power
from detbench.statistics.corrections import holm
from detbench.statistics.estimate import RULE, Estimate, Rule
from detbench.statistics.power import Spread

Verdict = Literal["supported", "contradicted", "equivalent", "undecided", "not measured"]
VERDICTS: tuple[Verdict, ...] = (
    *("supported", "contradicted", "equivalent", "undecided", "not measured"),
)
MARGIN = 0.005
"""Differences below half a point, as a fraction, do not matter where none is asked for."""

ONE_SEED = "images only: one seed each says nothing of methods"


@dataclass(frozen=True)
class Question:
    """One sum of rows that a claim bounds, as fractions.

    Attributes:
        estimate: with its spread; none where a number is missing.
        low, high: the claim holds between them; one of them may be infinite.
        directed: a sum within the margin of 0 is a finding of its own.
        seeds: of each row.
        exact: counted, without spread: whether the claim holds.
        reason: why there is no estimate; else empty.
        margin: differences below it do not matter; none: as of all claims.
    """

    estimate: Estimate | None
    low: float = 0.0
    high: float = math.inf
    directed: bool = True
    seeds: int = 1
    exact: bool | None = None
    reason: str = ""
    margin: float | None = None

    @property
    def told(self) -> Estimate | None:
        """The estimate where it is of methods and has an interval."""
        one = self.estimate
        return one if one is not None and one.seeds and not one.reason else None

    @property
    def holds(self) -> bool | None:
        """Whether the sum as it is lies within the bounds; none without one."""
        if self.exact is not None or self.estimate is None:
            return self.exact
        return self.low < self.estimate.value < self.high

    @property
    def bounds(self) -> int:
        return math.isfinite(self.low) + math.isfinite(self.high)


@dataclass(frozen=True)
class Tested:
    """A question's p: that its claim is true, that it is false, that nothing differs.

    Two-sided where one bound is asked, so that 0.05 is where the 95 % interval leaves it out;
    within two bounds each is tested at 5 %, as equivalence is.
    """

    yes: float
    no: float
    same: float


def p_of(question: Question, margin: float = MARGIN) -> Tested | None:
    """The p of one question; none where there is no interval over seeds and nothing counted."""
    if question.exact is not None:
        return Tested(*((0.0, 1.0) if question.exact else (1.0, 0.0)), 1.0)
    one = question.told
    if one is None:
        return None
    sides = 2 if question.bounds == 1 else 1
    above, below = _above(one, question.low), _above(one, question.high)
    # One-sided p: of more than the low bound, of less than the high one, and of their opposites.
    yes = sides * max(above, 1 - below if math.isfinite(question.high) else 0.0)
    no = 2 * min(1 - above if math.isfinite(question.low) else 1.0, below)
    own = margin if question.margin is None else question.margin
    same = max(_above(one, -own), 1 - _above(one, own)) if question.directed and own else 1.0
    return Tested(min(1.0, yes), min(1.0, no), same)


def _above(one: Estimate, bound: float) -> float:
    """One-sided p of a true value above a bound; 0 above minus infinity, 1 above infinity."""
    if math.isinf(bound):
        return 0.0 if bound < 0 else 1.0
    half = one.p(bound) / 2
    return half if one.value > bound else 1 - half


@dataclass(frozen=True)
class Ruling:
    """What is found of a claim.

    Attributes:
        p, adjusted: of the sign that is found, or nearest to being found, alone and with all claims
            of the table; none where nothing is estimated.
        same: adjusted p of equivalence; none where it is not asked.
        decides: index of the question that decides, or is furthest from being decided.
        needs: seeds a row that would decide in 80 % of cases if the sums are as measured; none
            where it is decided, or where no number of seeds would.
        images: that these seeds would need where no number of seeds would; none if unknown.
        why: of an undecided claim, or one that is not measured.
    """

    verdict: Verdict
    p: float | None = None
    adjusted: float | None = None
    same: float | None = None
    decides: int = 0
    needs: int | None = None
    images: int | None = None
    why: str = ""


@dataclass(frozen=True)
class _Claim:
    """A claim's own p, before others are thought of."""

    tests: tuple[Tested | None, ...]

    @property
    def yes(self) -> float:
        return max((one.yes if one else 1.0) for one in self.tests)

    @property
    def no(self) -> float:
        known = [one.no for one in self.tests if one]
        return min(1.0, len(known) * min(known))

    @property
    def same(self) -> float:
        return max((one.same if one else 1.0) for one in self.tests)


def judge(
    claims: Sequence[Sequence[Question]], rule: Rule = RULE, margin: float = MARGIN
) -> list[Ruling]:
    """The verdict on each claim of a table.

    Args:
        claims: the questions of each; none of what nothing can answer.
        margin: a fraction: differences below it do not matter.
    """
    made = [_Claim(tuple(p_of(one, margin) for one in claim)) for claim in claims]
    family = [i for i, one in enumerate(made) if any(each.told for each in claims[i])]
    signs = dict(zip(family, holm([min(made[i].yes, made[i].no) for i in family]), strict=True))
    equals = dict(zip(family, holm([made[i].same for i in family]), strict=True))
    found = []
    for i, questions in enumerate(claims):
        ruling = _ruling(questions, made[i], (signs.get(i), equals.get(i)), rule)
        if ruling.verdict == "undecided" and any(made[i].tests):
            ruling = _with_needs(ruling, questions, rule.alpha / max(1, len(family)), margin)
        found.append(ruling)
    return found


def _ruling(
    questions: Sequence[Question],
    made: _Claim,
    adjusted: tuple[float | None, float | None],
    rule: Rule,
) -> Ruling:
    """One claim's verdict from its p and the adjusted ones."""
    if not any(made.tests):
        return _untested(questions)
    sign, same = adjusted
    true = made.yes <= made.no
    p = None if sign is None else min(made.yes, made.no)
    tests = made.tests
    worst = max(range(len(tests)), key=lambda i: one.yes if (one := tests[i]) else 1.0)
    firmest = min(range(len(tests)), key=lambda i: one.no if (one := tests[i]) else 1.0)
    found = Ruling("undecided", p, sign, same, worst if true else firmest)
    if (min(made.yes, made.no) if sign is None else sign) <= rule.alpha:
        return replace(found, verdict="supported" if true else "contradicted")
    if same is not None and same <= rule.alpha:
        return replace(found, verdict="equivalent")
    lacking = [one.reason for one, made in zip(questions, tests, strict=True) if made is None]
    why = f"{len(lacking)} of {len(tests)} comparisons are not measured" if lacking else ""
    return replace(found, why=why)


def _untested(questions: Sequence[Question]) -> Ruling:
    """A claim none of whose questions has an interval over seeds."""
    known = [one for one in questions if one.estimate is not None]
    if not known:
        reasons = [one.reason for one in questions if one.reason]
        return Ruling("not measured", why=reasons[0] if reasons else "")
    told = next((one.estimate.reason for one in known if one.estimate and one.estimate.seeds), "")
    place = next(i for i, one in enumerate(questions) if one.estimate is not None)
    return Ruling("undecided", decides=place, why=told or ONE_SEED)


def _with_needs(
    ruling: Ruling, questions: Sequence[Question], alpha: float, margin: float
) -> Ruling:
    """An undecided claim with the seeds that would decide it, by its sign or as equivalent."""
    if any(one.holds is None or (one.exact is None and not one.told) for one in questions):
        return ruling
    open_ = [one for one in questions if one.exact is None]
    against = [one for one in open_ if not one.holds]
    asked = against or open_
    level = alpha / len(questions) if against else alpha
    sign = [_needed(one, _gap(one), level * (2 if one.bounds > 1 else 1)) for one in asked]
    seeds = [needed for needed, _ in sign]
    known = [one for one in seeds if one is not None]
    ways = [min(known) if against and known else None]
    if not against and len(known) == len(seeds):
        ways = [max(known, default=None)]
    gaps = [(one, _within(one, margin)) for one in open_]
    if all(one.directed and gap > 0 for one, gap in gaps):
        same = [_needed(one, gap, 2 * alpha)[0] for one, gap in gaps]
        ways.append(None if None in same else max(n for n in same if n is not None))
    needs = min((one for one in ways if one is not None), default=None)
    more = [images for needed, images in sign if needed is None and images is not None]
    return replace(ruling, needs=needs, images=max(more, default=None) if needs is None else None)


def _within(one: Question, margin: float) -> float:
    """How far the sum lies inside the margin around 0 in which nothing matters."""
    own = margin if one.margin is None else one.margin
    return own - abs(one.told.value) if one.told else -math.inf


def _gap(one: Question) -> float:
    """How far the sum lies from the nearest bound that decides."""
    value = one.told.value if one.told else 0.0
    return min(abs(value - end) for end in (one.low, one.high) if math.isfinite(end))


def _needed(one: Question, gap: float, alpha: float) -> tuple[int | None, int | None]:
    """Seeds that show a gap, more than there are; else the images that these seeds need."""
    spread = spread_of(one)
    if spread is None or one.told is None or gap <= 0:
        return None, None
    count = power.seeds_for(gap, spread, one.told.images, alpha=alpha)
    if count is not None:
        return max(count, one.seeds + 1), None
    return None, power.images_for(gap, spread, one.seeds, alpha=alpha)


def spread_of(one: Question) -> Spread | None:
    """What makes a question's sum vary, in the terms of ``power``."""
    return power.of_estimates([one.told], one.seeds) if one.told else None


def counts(rulings: Sequence[Ruling]) -> Mapping[Verdict, int]:
    """How many claims have each verdict."""
    return {name: sum(one.verdict == name for one in rulings) for name in VERDICTS}
