"""What each row of a table changes against its baseline: paired differences, cached.

A row's baseline is the one it names, else the table's, else the first row of its part of the table
(after the last line the paper draws). Differences come from stored detections alone; nothing is
trained. They are cached as JSON in ``<results>/work/differences/``.

No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from detbench.errors import DetbenchError
from detbench.evaluation.bootstrap import REPLICATES, Difference, difference
from detbench.evaluation.matching import Matches, match
from detbench.evaluation.metric import by_kind
from detbench.progress import Tell
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results.cache import Cache
from detbench.results.store import Store
from detbench.runner.plan import Plan, PlannedRow, Task

ByMetric = Mapping[str, Difference]
CACHE: Cache[ByMetric] = Cache(
    folder="differences",
    method=1,
    dump=lambda found: {name: asdict(one) for name, one in found.items()},
    load=lambda plain: {name: Difference(**one) for name, one in plain.items()},
)


@dataclass(frozen=True)
class Change:
    """A row against its baseline.

    Attributes:
        baseline: label of the row it is compared with; none of a baseline.
        found: metric -> difference; empty where there is none.
        reason: why there is none; empty for a baseline, or where there is one.
    """

    baseline: str | None
    found: ByMetric = field(default_factory=dict)
    reason: str = ""


def differences(
    plan: Plan,
    store: Store,
    metrics: Sequence[str] = ("AP",),
    replicates: int = REPLICATES,
    progress: Tell | None = None,
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
    """Matches of one table's baselines, each made once.

    Other rows' matches are let go: on COCO each takes 50 MB, and a sweep has 85 rows.
    """

    def __init__(self, plan: Plan, store: Store, metrics: tuple[str, ...], replicates: int) -> None:
        self.store = store
        self.metrics, self.replicates = metrics, replicates
        self._truths = plan.truths
        self._matches: dict[tuple[str, bool], Matches] = {}

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

        def compute() -> ByMetric:
            if tell is not None:
                tell()
            found: dict[str, Difference] = {}
            for masks, names in by_kind(self.metrics):
                a = [self._baseline(task, masks) for task in reference.train]
                b = [self._match(task, masks) for task in planned.train]
                found |= difference(a, b, names, self.replicates)
            return found

        cells = [
            [[task.digest, self.store.fingerprint(task.digest)] for task in row.train]
            for row in (reference, planned)
        ]
        parts = [cells, list(self.metrics), self.replicates]
        try:
            found = CACHE.of(self.store, planned.train[0].digest, parts, compute)
        except DetbenchError as error:
            return Change(baseline, reason=" ".join(str(error).split()))
        return Change(baseline, found)

    def _why_not(self, baseline: str, reference: PlannedRow | None, planned: PlannedRow) -> str:
        """Why two rows cannot be compared; empty if they can. All seeds of both, or nothing."""
        if not planned.train:
            return planned.reason
        if planned.same:
            return planned.same_cell
        if reference is None:
            return f"its baseline {baseline} is not among these rows"
        if planned.digests == reference.digests:
            return f"same cell as its baseline {baseline}"
        if not reference.train:
            return f"its baseline {baseline} is not run here: {reference.reason}"
        for task in (*planned.train, *reference.train):
            status = self.store.status(task.digest)
            if status != "done":
                return f"{task.label}: {'not run' if status == 'missing' else status}"
            if self.store.fingerprint(task.digest) is None:
                return f"{task.label}: no detections are stored"
        ours, theirs = (_protocol(row.train[0]) for row in (planned, reference))
        if ours != theirs:
            return f"its baseline {baseline} was evaluated otherwise"
        return ""

    def _baseline(self, task: Task, masks: bool) -> Matches:
        key = task.digest, masks
        if key not in self._matches:
            self._matches[key] = self._match(task, masks)
        return self._matches[key]

    def _match(self, task: Task, masks: bool) -> Matches:
        assert isinstance(task.cell, Cell)
        found = self.store.detections_of(task.digest, task.label)
        truth = self._truths.of(task.cell.data, masks)
        return match(truth, found, task.cell.evaluation, task.label, masks)


def _protocol(task: Task) -> tuple[str, str]:
    """What two cells must share to be compared image by image."""
    assert isinstance(task.cell, Cell)
    evaluation = task.cell.evaluation.model_copy(update={"batch": 1})
    return digest(task.cell.data), digest(evaluation)
