"""Whether two detectors are as good as each other, which no p of a difference can say.

Two one-sided tests (Schuirmann 1987): they are equivalent within a margin where both a loss and a
gain of the margin are rejected at 5 %, that is where the 90 % interval lies inside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detbench.statistics.bootstrap import Difference
from detbench.statistics.estimate import Estimate

Verdict = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class Equivalence:
    """Attributes:
    margin: as a fraction.
    low, high: of the interval that has to lie inside it.
    equivalent: whether it does.
    """

    margin: float
    low: float
    high: float

    @property
    def equivalent(self) -> bool:
        return -self.margin < self.low and self.high < self.margin


def within(estimate: Estimate, margin: float) -> Equivalence | None:
    """Two one-sided tests at half the rule's alpha each side; none with a ``reason``.

    Args:
        margin: a fraction above 0: differences below it do not matter.
    """
    if estimate.reason:
        return None
    return Equivalence(margin, *estimate.interval(1 - 2 * estimate.rule.alpha))


def verdict(one: Difference, margin: float | None = None) -> Verdict:
    """What is shown of b against a; ``equivalent`` needs a margin, and goes before ``better``.

    Args:
        margin: a fraction; none asks for a difference alone.
    """
    if one.value is None or one.estimate is None or one.low is None:
        return "undecided"
    same = within(one.estimate, margin) if margin is not None else None
    if same is not None and same.equivalent:
        return "equivalent"
    if not one.real:
        return "undecided"
    return "better" if one.value > 0 else "worse"
