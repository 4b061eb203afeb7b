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
from detbench.errors import StoreError
from detbench.recipe.claim_rows import looked
from detbench.recipe.claims import Figure
from detbench.recipe.table import Table
from detbench.recipe.validate import unknown
from detbench.report.claims import Term, Told
from detbench.report.results import TableResults
from detbench.runner import hint
from detbench.statistics.estimate import NO_IMAGES, Estimate, Part, Rule, combine


class Answers:
    """The analyses of a table's rows that its claims name; each is read once."""

    def __init__(self, results: TableResults) -> None:
        self._results = results
        self._opened: dict[str, _Opened] = {}

    def estimate(self, claim: Figure, terms: Sequence[Term]) -> tuple[Estimate, int, int]:
        """A sum of numbers of a claim's analysis, of how many seeds each is (all that are asked
        for, else one), and the decimals that it is printed with.

        Raises:
            StoreError: the analysis is not stored, or has no such number.
            RecipeError: the kind has no such setting.
        """
        name = repr((claim.analysis, claim.rows, claim.than, claim.images, claim.options))
        if name not in self._opened:
            self._opened[name] = self._open(claim)
        return self._opened[name].estimate(terms, self._results.rule)

    def basis(self, claims: Sequence[Figure]) -> list[str]:
        """Checksums of the stored analyses that claims are answered by."""
        requests = [self._request(claim, len(self._results.plan.seeds)) for claim in claims]
        entries = (r.entry(one) for r in requests for row in r.rows for one in row)
        paths = {one.path for one in entries if one.path.is_file()}
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)]

    def _open(self, claim: Figure) -> _Opened:
        for seeds in dict.fromkeys((len(self._results.plan.seeds), 1)):
            request = self._request(claim, seeds)
            if not request.missing:
                return _Opened(request)
        self._check(request)
        labels = [row[0].label for row in request.rows]
        switches = ["--images", str(claim.images)] if claim.images else []
        switches += [word for one in _options(claim) for word in ("--option", one)]
        command = hint.analyze(self._results.plan, claim.analysis, labels, *switches)
        raise StoreError(f"{command} answers it")

    def _check(self, request: engine.Request) -> None:
        """Refuse what no command of ``analyze`` alone would answer.

        Raises:
            StoreError: the kind does not fit a row, or that has not run, or has not been timed.
        """
        plan, kind, store = self._results.plan, request.kind, self._results.store
        for row in request.rows:
            label, first = row[0].label, row[0]
            if reason := kind.unfit(first.cell.detector):
                raise StoreError(f"{label}: {kind.name} does not fit this detector: {reason}")
            there = request.entry(first).path.is_file()  # damaged
            if store.status(first.digest) != "done" and not there:
                raise StoreError(f"{label}: not run")
            planned = next(one for one in plan.rows if one.row.label == label)
            if kind.needs == "latency" and (
                said := subjects.lacking(first, kind, plan, planned, store)
            ):
                raise StoreError(said)

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
        given = kinds.settings(kind, _options(claim))
        images = Looked(claim.images if claim.images and kind.images != 0 else kind.images)
        return engine.Request(kind, tuple(rows), given, images, self._results.store, plan.truths)


def mistakes(table: Table) -> list[str]:
    """What a table's claims tell their analyses that those cannot be told."""
    found = []
    for index, claim in enumerate(table.claims):
        if not isinstance(claim, Figure):
            continue
        kind, at = kinds.kind(claim.analysis), f"{table.id}: claims[{index}]"
        for name, value in claim.options.items():
            said = kinds.mistake(kind, name, value)
            found += [f"{at}.options.{name}: {said}"] if said else []
        if claim.images is not None and kind.images == 0:
            found.append(f"{at}.images: {kind.name} looks at no images: leave it out")
    return found


def _options(claim: Figure) -> list[str]:
    """Settings as the command line takes them."""
    return [f"{name}={value!r}" for name, value in claim.options.items()]


@dataclass(frozen=True)
class _Opened:
    """A stored analysis, to be asked."""

    request: engine.Request

    @cached_property
    def ready(self) -> tuple[Analysis, dict[Told, Quantity]]:
        """What is measured, with its numbers by their names."""
        analysis, quantities = _claimed(self.request.kind, engine.run(self.request))
        return analysis, {Told(one.name, one.part, one.group): one for one in quantities}

    @cached_property
    def _replicates(self) -> Floats:
        return summary.replicates(self.ready[0])

    def estimate(self, terms: Sequence[Term], rule: Rule) -> tuple[Estimate, int, int]:
        analysis, quantities = self.ready
        identities = {row[0].label: row[0].identity for row in self.request.rows}
        labels = {label for _, label, _ in terms}
        if len({identities[label] for label in labels}) < len(labels):
            raise StoreError("the rows compared are the same cell")
        made: dict[str, Part] = {}
        images, digits = NO_IMAGES, 0
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
            digits = max(digits, quantities[told].digits)
        seeds = len(analysis.rows[0].seeds)
        return combine(list(made.values()), [1.0] * len(made), images, rule), seeds, digits

    def _side(self, label: str, told: Told) -> Side:
        """One number of one row.

        Raises:
            StoreError: the analysis has no such number.
        """
        analysis, quantities = self.ready
        if told not in quantities:
            if told.group in THIRDS and not analysis.groups.thirds:
                raise StoreError(f"{told}: {analysis.groups.reason}")
            known = [one for one in quantities if one.group == told.group] or list(quantities)
            named = [str(one) for one in known if not quantities[one].detail]
            raise StoreError(unknown(f"number of {self.request.kind.name}", str(told), named))
        row = next(one for one in analysis.rows if one.label == label)
        return summary.side_of(row, quantities[told], analysis.images, self._replicates)


def _claimed(kind: Kind, analysis: Analysis) -> tuple[Analysis, Sequence[Quantity]]:
    if kind.claimed is not None:
        return kind.claimed(analysis)
    return analysis, kind.quantities(analysis)
