"""What stored analyses say of claims that name numbers of theirs. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from detbench.analysis import engine, kinds, subjects, summary
from detbench.analysis.files import Looked
from detbench.analysis.kind import THIRDS, Analysis, Floats, Kind, Quantity
from detbench.analysis.summary import Side
from detbench.errors import RecipeError, StoreError
from detbench.recipe.claim_rows import looked
from detbench.recipe.claims import Figure
from detbench.recipe.digest import digest
from detbench.recipe.validate import unknown
from detbench.report.claims import Metric, Told
from detbench.report.results import TableResults
from detbench.statistics.estimate import Estimate, Part, Rule, combine

Term = tuple[float, str, Metric]
MANY = 1000
"""Images where none is looked at: their spread is not asked."""


class Answers:
    """The analyses of a table's rows that its claims name, each read once."""

    def __init__(self, results: TableResults) -> None:
        self._results = results
        self._opened: dict[str, _Opened] = {}

    def estimate(self, claim: Figure, terms: Sequence[Term]) -> tuple[Estimate, int]:
        """A sum of numbers of a claim's analysis, and of how many seeds each is: all that are asked
        for, else one.

        Raises:
            StoreError: the analysis is not stored, or nothing of this kind was seen in it.
            RecipeError: it has no such number.
        """
        name = digest(claim)
        if name not in self._opened:
            self._opened[name] = self._open(claim)
        return self._opened[name].estimate(terms, self._results.rule)

    def _open(self, claim: Figure) -> _Opened:
        for seeds in dict.fromkeys((len(self._results.plan.seeds), 1)):
            request = self._request(claim, seeds)
            if not request.missing:
                return _Opened(request)
        raise StoreError(f"detbench analyze {claim.analysis} answers it")

    def _request(self, claim: Figure, seeds: int) -> engine.Request:
        """The analysis of a claim's rows, what they are compared with first.

        Raises:
            RecipeError: the kind has no such setting.
            StoreError: a row is not run here.
        """
        plan, kind = self._results.plan, kinds.kind(claim.analysis)
        pairs = looked(claim, plan.table)
        labels = [than for _, than in pairs if than is not None] + [row for row, _ in pairs]
        rows = []
        for label in dict.fromkeys(labels):
            planned = next((one for one in plan.rows if one.row.label == label), None)
            if planned is None or not planned.train:
                raise StoreError(f"{label} is not among these rows")
            trained = replace(planned, train=planned.train[:seeds])
            rows.append(tuple(subjects.of_row(plan, trained, self._results.store)))
        given = kinds.settings(kind, [f"{name}={value:g}" for name, value in claim.options.items()])
        images = Looked(claim.images if claim.images and kind.images != 0 else kind.images)
        return engine.Request(kind, tuple(rows), given, images, self._results.store, plan.truths)

    def basis(self, claims: Sequence[Figure]) -> list[str]:
        """Checksums of the stored analyses that claims are answered by."""
        found = []
        for claim in claims:
            request = self._request(claim, len(self._results.plan.seeds))
            entries = [request.entry(one) for row in request.rows for one in row]
            found += [
                hashlib.sha256(one.path.read_bytes()).hexdigest()
                for one in entries
                if one.path.is_file()
            ]
        return found


@dataclass(frozen=True)
class _Opened:
    """A stored analysis, to be asked."""

    request: engine.Request

    @cached_property
    def ready(self) -> tuple[Analysis, dict[Told, Quantity]]:
        """What is measured, with its numbers by their names."""
        kind, analysis = self.request.kind, engine.run(self.request)
        analysis, quantities = _claimed(kind, analysis)
        return analysis, {Told(one.name, one.part, one.group): one for one in quantities}

    @cached_property
    def _replicates(self) -> Floats:
        return summary.replicates(self.ready[0])

    def estimate(self, terms: Sequence[Term], rule: Rule) -> tuple[Estimate, int]:
        analysis, _ = self.ready
        made: dict[str, Part] = {}
        images = MANY
        for weight, label, told in terms:
            if not isinstance(told, Told):
                raise TypeError(f"{told} is no number of an analysis")
            side = self._side(label, told)
            part = side.part
            if part is None:
                raise StoreError(f"{label}: nothing is seen of {told}")
            own = made.get(label, Part(np.zeros_like(part.values), np.zeros_like(part.draws)))
            made[label] = Part(own.values + weight * part.values, own.draws + weight * part.draws)
            images = images if analysis.alone else min(images, side.images)
        seeds = len(analysis.rows[0].seeds)
        return combine(list(made.values()), [1.0] * len(made), images, rule), seeds

    def _side(self, label: str, told: Told) -> Side:
        """One number of one row.

        Raises:
            RecipeError: the analysis has no such number.
        """
        analysis, quantities = self.ready
        if told not in quantities:
            known = [one for one in quantities if one.group == told.group] or list(quantities)
            if told.group in THIRDS and not analysis.groups.thirds:
                raise StoreError(f"{told}: {analysis.groups.reason}")
            named = [str(one) for one in known if not quantities[one].detail]
            what = f"number of {self.request.kind.name}"
            raise RecipeError(unknown(what, str(told), named))
        row = next(one for one in analysis.rows if one.label == label)
        return summary.side(row, quantities[told], analysis.images, self._replicates)


def _claimed(kind: Kind, analysis: Analysis) -> tuple[Analysis, Sequence[Quantity]]:
    if kind.claimed is not None:
        return kind.claimed(analysis)
    return analysis, kind.quantities(analysis)
