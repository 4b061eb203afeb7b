"""The verdict on each claim of a table, from what a store has of its rows. No torch.

What a claim asks of several hosts, backbones or other settings alike, each with rows of its own, is
pooled: one sum, the mean of theirs, tested once; which of them it does not hold for is said. What
it asks of rows that are compared with one another (a best, an order, several rivals) is asked of
each, and all of it is needed (``statistics.claims``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from detbench.errors import DetbenchError
from detbench.recipe.claim_rows import is_cost
from detbench.recipe.metrics import CITED, COSTS
from detbench.report import claims
from detbench.report.claims import Contrast, Finding, Metric, Term
from detbench.report.results import TableResults
from detbench.runner.plan import PlannedRow
from detbench.statistics import claims as rules
from detbench.statistics import replicates as resampled
from detbench.statistics.claims import MARGIN, ONE_SEED, Question, Ruling, Tested, Verdict
from detbench.statistics.estimate import NO_IMAGES, Estimate, Part, combine

if TYPE_CHECKING:
    from detbench.analysis.answers import Answers


@dataclass(frozen=True)
class Asked:
    """One question of a claim, with what was measured.

    Attributes:
        name: of the rows.
        contrasts: that are pooled in it.
        parts: each of them by itself, where there are several.
        value: the sum: points, or of what is counted or analysed its own unit; none if missing.
        tested: its own p, unadjusted.
        digits: of a number of an analysis.
    """

    name: str
    contrasts: tuple[Contrast, ...]
    question: Question
    value: float | None
    tested: Tested | None
    parts: tuple[Asked, ...] = ()
    digits: int = claims.DIGITS

    @property
    def ends(self) -> tuple[float, float] | None:
        """Of the interval, as ``value``; none of what is counted or has no interval."""
        one = self.question.estimate
        if one is None or one.reason:
            return None
        low, high = one.interval()
        factor = self.contrasts[0].factor
        return low * factor, high * factor

    def state(self, alpha: float) -> Verdict:
        """What is found of it at a level, by itself."""
        if self.tested is None:
            return "not measured" if self.value is None else "undecided"
        if self.tested.yes <= alpha:
            return "supported"
        if self.tested.no <= alpha:
            return "contradicted"
        return "equivalent" if self.tested.same <= alpha else "undecided"


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict.

    Attributes:
        finding: what the printed numbers say of it.
        alpha: level of the verdict.
    """

    finding: Finding
    asked: tuple[Asked, ...]
    ruling: Ruling
    alpha: float

    @property
    def deciding(self) -> Asked | None:
        """The question that the verdict is of; none where nothing is asked or measured."""
        if not self.asked or self.ruling.verdict == "not measured":
            return None
        return self.asked[self.ruling.decides]

    @cached_property
    def failing(self) -> tuple[Asked, ...]:
        """Questions, or parts of pooled ones, of which the reverse of a supported claim is found;
        adjusted for their number (Bonferroni).
        """
        return self._found("contradicted")

    @cached_property
    def holding(self) -> tuple[Asked, ...]:
        """Those of which the claim is found, adjusted for their number."""
        return self._found("supported")

    def _found(self, state: Verdict) -> tuple[Asked, ...]:
        every = [part for one in self.asked for part in (one.parts or (one,))]
        level = self.alpha / max(1, len(every))
        return tuple(one for one in every if one.state(level) == state)

    @property
    def in_part(self) -> bool:
        """Whether some of a decided claim is found to be otherwise."""
        verdict = self.ruling.verdict
        return bool(
            (verdict == "supported" and self.failing)
            or (verdict == "contradicted" and self.holding)
        )


def judged(results: TableResults, margin: float = MARGIN) -> list[Judged]:
    """The verdict on each claim of a table, with the seeds that its plan names.

    Args:
        margin: a fraction: differences below it do not matter.
    """
    measured = _Measured(results, margin)
    found = claims.printed(results.plan.table)
    asked = [measured.asked([one.contrast for one in each.compared]) for each in found]
    questions = [[one.question for one in each] for each in asked]
    known = [place for place, each in enumerate(questions) if each]
    rulings = dict(
        zip(
            known,
            rules.judge([questions[i] for i in known], results.rule, margin),
            strict=True,
        )
    )
    return [
        Judged(each, tuple(asked[i]), rulings.get(i, _unasked(each)), results.rule.alpha)
        for i, each in enumerate(found)
    ]


def _told(label: str, why: str) -> str:
    """A reason with its row's name, once: that of a training begins with it."""
    return why if why.startswith(f"{label}, seed ") else f"{label}: {why}"


def _unasked(finding: Finding) -> Ruling:
    """Of a claim that names no number."""
    kind = getattr(finding.claim, "analysis", "")
    return Ruling("not measured", why=f"detbench analyze {kind} draws it, no number is named")


class _Measured:
    """What a table's store says of sums of its rows."""

    def __init__(self, results: TableResults, margin: float) -> None:
        self.results, self.margin = results, margin
        first: dict[tuple[str, ...], PlannedRow] = {}
        self.rows = {
            # Rows with the same cells are one.
            one.row.label: first.setdefault(one.digests, one) if one.train else one
            for one in results.plan.rows
        }
        self.costs = {one.row.label: one.cost for one in results.plan.rows}
        self._answers: Answers | None = None

    @property
    def answers(self) -> Answers:
        """What stored analyses say; they are read where a claim asks them alone."""
        from detbench.analysis.answers import Answers

        if self._answers is None:
            self._answers = Answers(self.results)
        return self._answers

    def asked(self, contrasts: Sequence[Contrast]) -> list[Asked]:
        """A claim's contrasts as questions, those that ask the same of other rows pooled."""
        groups: dict[str, list[Contrast]] = {}
        for one in contrasts:
            groups.setdefault(one.question, []).append(one)
        return [asked for group in groups.values() for asked in self._pooled(group)]

    def _pooled(self, group: list[Contrast]) -> list[Asked]:
        """One question of all, or of each where rows are in several, or are counted."""
        parts = [self._one((contrast,)) for contrast in group]
        rows = [{row for _, row, _ in contrast.terms} for contrast in group]
        apart = len(set().union(*rows)) == sum(map(len, rows))
        counted = any(metric in (*COSTS, *CITED) for one in group for metric in one.metrics)
        known = [one for one in parts if one.question.estimate is not None]
        if len(group) < 2 or not apart or counted or not known:
            return parts
        seeds = max(one.question.seeds for one in known)
        whole = [one.contrasts[0] for one in known if one.question.seeds == seeds]
        return [replace(self._one(tuple(whole)), parts=tuple(parts))]

    def _one(self, contrasts: tuple[Contrast, ...]) -> Asked:
        """A question of one contrast, or of the mean of several."""
        first = contrasts[0]
        terms = [
            (weight / len(contrasts), row, metric)
            for one in contrasts
            for weight, row, metric in one.terms
        ]
        name = first.name if len(contrasts) == 1 else f"mean of {len(contrasts)}"
        if any(metric in (*COSTS, *CITED) for metric in first.metrics):
            return self._counted(name, first)
        low, high = first.low / first.factor, first.high / first.factor
        question = Question(None, low, high, first.directed, margin=first.margin)
        digits = claims.DIGITS
        try:
            if first.figure is not None:
                estimate, seeds, digits = self.answers.estimate(first.figure, terms)
            else:
                estimate, seeds = self._estimate(terms)
            question = replace(question, estimate=estimate, seeds=seeds)
            if seeds == 1:
                question = replace(question, reason=ONE_SEED)
        except DetbenchError as error:
            question = replace(question, reason=" ".join(str(error).split()))
        value = None if question.estimate is None else question.estimate.value * first.factor
        tested = rules.p_of(question, self.margin)
        return Asked(name, contrasts, question, value, tested, digits=digits)

    def _counted(self, name: str, contrast: Contrast) -> Asked:
        """A question of costs: they are known exactly, or not at all."""
        value = contrast.value(self._cost)
        if value is None:
            last = str(contrast.metrics[-1])
            reason = "not counted"
            if last in CITED:
                timed = "time as printed; detbench latency measures here"
                reason = timed if is_cost(last) else "as printed; nothing measures it here"
            return Asked(name, (contrast,), Question(None, reason=reason), None, None)
        question = Question(None, exact=contrast.outcome(value) == "holds")
        return Asked(name, (contrast,), question, value, rules.p_of(question))

    def _cost(self, label: str, metric: Metric) -> float | None:
        cost = self.costs.get(label) if metric in COSTS else None
        stored = self.results.store.get(cost.digest) if cost else None
        return stored.value(str(metric)) if stored and stored.status == "done" else None

    def _estimate(self, terms: Sequence[Term]) -> tuple[Estimate, int]:
        """A sum of rows' scores, and of how many seeds each is: all that are asked for, else one.

        Raises:
            DetbenchError: a row has none.
        """
        weights: dict[str, dict[str, float]] = {}
        for weight, label, metric in terms:
            if label not in self.rows:
                raise DetbenchError(f"{label} is not among these rows")
            own = weights.setdefault(self.rows[label].row.label, {})
            own[str(metric)] = own.get(str(metric), 0.0) + weight
        kept = {
            label: own
            for label, own in weights.items()
            if any(abs(w) > 1e-12 for w in own.values())
        }
        if not kept:
            raise DetbenchError("the rows compared are the same cell")
        rows = self._trained(list(kept))
        self._check_same(rows)
        made = [self._part(row, kept[label]) for label, row in rows.items()]
        images = min(count for _, count in made)
        seeds = len(next(iter(rows.values())).train)
        rule = self.results.rule
        return combine([part for part, _ in made], [1.0] * len(made), images, rule), seeds

    def _trained(self, labels: Sequence[str]) -> dict[str, PlannedRow]:
        """Rows with the seeds that are compared: all that are asked for, else the first.

        Raises:
            DetbenchError: one of the rows has not even that.
        """
        lacking = ""
        for seeds in dict.fromkeys((len(self.results.plan.seeds), 1)):
            rows = {
                label: replace(self.rows[label], same="", train=self.rows[label].train[:seeds])
                for label in labels
            }
            reasons = {label: self.results.bench.lacks(row) for label, row in rows.items()}
            lacking = next((_told(one, why) for one, why in reasons.items() if why), "")
            if not lacking:
                return rows
        raise DetbenchError(lacking)

    def _check_same(self, rows: dict[str, PlannedRow]) -> None:
        """Refuse rows that were not scored alike."""
        every = [one for row in rows.values() for one in self.results.bench.side(row)]
        resampled.check_same(every[0], every[1:])

    def _part(self, row: PlannedRow, weights: dict[str, float]) -> tuple[Part, int]:
        """A row's weighted sum of metrics, one side of a sum, and the images that count.

        Raises:
            DetbenchError: a metric is not defined, or the detections cannot be read.
        """
        bench = self.results.bench
        if not set(weights) <= set(bench.metrics):
            return self._stored(row, weights), NO_IMAGES
        side = bench.side(row)
        parts = []
        for metric, weight in weights.items():
            one = resampled.part(side, metric)
            if one is None:
                raise DetbenchError(f"{row.row.label}: {metric} is not defined on these images")
            parts.append((weight, one))
        values = np.sum([w * one.values for w, one in parts], axis=0)
        draws = np.sum([w * one.draws for w, one in parts], axis=0)
        return Part(values, draws), min(side[0].images[metric] for metric in weights)

    def _stored(self, row: PlannedRow, weights: dict[str, float]) -> Part:
        """Of metrics that cannot be resampled: their values, which vary over seeds alone."""
        values = np.zeros(len(row.train))
        for place, task in enumerate(row.train):
            stored = self.results.store.get(task.digest)
            for metric, weight in weights.items():
                value = stored.value(metric) if stored else None
                if value is None:
                    raise DetbenchError(f"{task.label}: {metric} was not measured")
                values[place] += weight * value
        return Part(values, np.repeat(values[:, None], self.results.bench.how.replicates, axis=1))
