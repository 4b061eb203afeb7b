"""What each row of a table changes against its baseline: paired differences, cached.

A row's baseline is the one it names, else the table's, else the first row of its part of the table
(after the last line the paper draws). Differences come from stored detections alone; nothing is
trained. They are kept as JSON in ``<results>/work/differences/``, named by what they depend on.

No torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from detbench.errors import DetbenchError
from detbench.evaluation.bootstrap import REPLICATES, Difference, difference
from detbench.evaluation.matching import Matches, match
from detbench.evaluation.truth import Truths
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results import kept
from detbench.results.store import Store
from detbench.runner.plan import Plan, PlannedRow, Task

log = logging.getLogger("detbench")
METHOD = 1
"""Raise it when differences are computed otherwise: what was kept before is computed again."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Change:
    """A row against its baseline.

    Attributes:
        baseline: label of the row it is compared with; none of a baseline.
        found: metric -> difference; empty where there is none.
        reason: why there is none; empty for a baseline, or where there is one.
    """

    baseline: str | None
    found: Mapping[str, Difference] = field(default_factory=dict)
    reason: str = ""


def differences(
    plan: Plan,
    store: Store,
    metrics: Sequence[str] = ("AP",),
    replicates: int = REPLICATES,
    progress: Progress | None = None,
) -> dict[str, Change]:
    """Every row's change against its baseline, in the plan's order, seeds together.

    Args:
        metrics: names as in ``evaluation.metric``.
        progress: told how many of how many rows are done, before each that is not cached.
    """
    bench = _Bench(plan, store, tuple(metrics), replicates)
    rows = {planned.row.label: planned for planned in plan.rows}
    named = plan.table.baselines
    found: dict[str, Change] = {}
    for number, planned in enumerate(plan.rows):
        label = planned.row.label
        reference = named[label]
        if reference is None:
            found[label] = Change(None)
            continue
        tell = (lambda done=number: progress(done, len(plan.rows))) if progress else None
        found[label] = bench.change(reference, rows.get(reference), planned, tell)
    return found


class _Bench:
    """Ground truth of one table and matches of its baselines, each made once.

    Other rows' matches are let go: on COCO each takes 50 MB, and a sweep has 85 rows.
    """

    def __init__(self, plan: Plan, store: Store, metrics: tuple[str, ...], replicates: int) -> None:
        self.store = store
        self.metrics, self.replicates = metrics, replicates
        self._truths = Truths(plan.data_root)
        self._matches: dict[str, Matches] = {}

    def change(
        self,
        baseline: str,
        reference: PlannedRow | None,
        planned: PlannedRow,
        tell: Callable[[], None] | None,
    ) -> Change:
        reason = self._why_not(baseline, reference, planned)
        if reason or reference is None:
            return Change(baseline, reason=reason)
        key = self._key(reference.train, planned.train)
        found = _read(self.store, key, self.metrics)
        if found is not None:
            return Change(baseline, found)
        if tell is not None:
            tell()
        try:
            a = [self._baseline(task) for task in reference.train]
            b = [self._match(task) for task in planned.train]
            found = difference(a, b, self.metrics, self.replicates)
        except DetbenchError as error:
            return Change(baseline, reason=" ".join(str(error).split()))
        _keep(self.store, key, found)
        return Change(baseline, found)

    def _why_not(self, baseline: str, reference: PlannedRow | None, planned: PlannedRow) -> str:
        """Why two rows cannot be compared; empty if they can. All seeds of both, or nothing."""
        if not planned.train:
            return planned.reason
        if reference is None:
            return f"its baseline {baseline} is not among these rows"
        if not reference.train:
            return f"its baseline {baseline} is not run here: {reference.reason}"
        for task in (*planned.train, *reference.train):
            status = self.store.status(task.digest)
            if status != "done":
                return f"{task.label}: {'not run' if status == 'missing' else status}"
            if self.store.fingerprint(task.digest) is None:
                return f"{task.label}: no detections are stored"
        ours, theirs = (_protocol(side.train[0]) for side in (planned, reference))
        if ours != theirs:
            return f"its baseline {baseline} was evaluated otherwise"
        return ""

    def _key(self, a: Sequence[Task], b: Sequence[Task]) -> str:
        sides = [
            [[task.digest, self.store.fingerprint(task.digest)] for task in side] for side in (a, b)
        ]
        parts = [METHOD, sides, list(self.metrics), self.replicates]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _baseline(self, task: Task) -> Matches:
        if task.digest not in self._matches:
            self._matches[task.digest] = self._match(task)
        return self._matches[task.digest]

    def _match(self, task: Task) -> Matches:
        assert isinstance(task.cell, Cell)
        found = self.store.detections_of(task.digest, task.label)
        return match(self._truths.of(task.cell.data), found, task.cell.evaluation, task.label)


def _protocol(task: Task) -> tuple[str, str]:
    """What two cells must share to be compared image by image."""
    assert isinstance(task.cell, Cell)
    evaluation = task.cell.evaluation.model_copy(update={"batch": 1})
    return digest(task.cell.data), digest(evaluation)


_MEMORY: dict[str, dict[str, Difference]] = {}
"""What was found in this process: a store that cannot be written keeps nothing."""


def _path(store: Store, key: str) -> Path:
    return store.work("differences") / f"{key}.json"


def _read(store: Store, key: str, metrics: Sequence[str]) -> dict[str, Difference] | None:
    """What was kept, if it is whole."""
    if key in _MEMORY:
        return _MEMORY[key]
    try:
        content = kept.read(_path(store, key))
        found = {name: Difference(**content["differences"][name]) for name in metrics}
    except (KeyError, TypeError):
        return None
    _MEMORY[key] = found
    return found


def _keep(store: Store, key: str, found: dict[str, Difference]) -> None:
    """Remember; a folder that cannot be written only costs the time again."""
    _MEMORY[key] = found
    plain = {name: asdict(one) for name, one in found.items()}
    kept.keep(_path(store, key), {"method": METHOD, "differences": plain})
