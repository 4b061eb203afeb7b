"""What each row of a table changes against its baseline: paired differences, cached.

A row's baseline is the one it names, else the table's, else the first row of its part of the table
(after the last line the paper draws). Differences come from stored detections alone; nothing is
trained. Each training is resampled once, and its metrics in every replicate are cached as JSON in
``<results>/derived/replicates/``: differences, simultaneous intervals and effects are sums of
those, and need no detections any more.

No torch.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from detbench.errors import DetbenchError
from detbench.evaluation.metric import of_masks
from detbench.evaluation.truth import Truths
from detbench.progress import Tell
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results.cache import Cache
from detbench.results.store import Store
from detbench.runner.plan import Plan, PlannedRow, Task
from detbench.statistics import corrections
from detbench.statistics.bootstrap import REPLICATES, Difference, between
from detbench.statistics.estimate import RULE, Rule
from detbench.statistics.replicates import Replicates, Resampling, of_results

ByMetric = Mapping[str, Difference]


def _dump(found: Replicates) -> dict[str, Any]:
    return {
        "values": {name: None if math.isnan(v) else v for name, v in found.values.items()},
        "draws": {name: _packed(one) for name, one in found.draws.items()},
        "images": found.images,
        "rare": {name: list(one) for name, one in found.rare.items()},
        "scene": list(found.scene),
    }


LARGEST = 1 << 24
"""Bytes of one metric's draws in memory; a thousand are 4 kB."""


def _packed(draws: Any) -> dict[str, str]:
    """float32 draws, first bytes first: signs and exponents, which are nearly all the same."""
    planes = np.asarray(draws, ">f4").view(np.uint8).reshape(-1, 4).T
    return {"planes": base64.b85encode(zlib.compress(planes.tobytes(), 9)).decode()}


def _unpacked(plain: Any) -> Any:
    if isinstance(plain, str):  # as they were written before, all bytes of a draw together
        return np.frombuffer(base64.b64decode(plain), "<f4")
    content = zlib.decompressobj().decompress(base64.b85decode(plain["planes"]), LARGEST)
    planes = np.frombuffer(content, np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).view(">f4").astype("<f4").ravel()


def _load(plain: Any) -> Replicates:
    values = {name: math.nan if v is None else float(v) for name, v in plain["values"].items()}
    draws = {name: _unpacked(one) for name, one in plain["draws"].items()}
    rare = {name: (int(one[0]), int(one[1])) for name, one in plain["rare"].items()}
    if not (values.keys() == draws.keys() == plain["images"].keys() == rare.keys()):
        raise KeyError("a metric lacks a part")
    return Replicates(values, draws, dict(plain["images"]), rare, tuple(plain["scene"]))


CACHE: Cache[Replicates] = Cache(folder="replicates", method=2, dump=_dump, load=_load)


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


class Bench:
    """A table's trainings in every replicate, each made once.

    Args:
        metrics: names as in ``evaluation.metric``.
        replicates: at least 200.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        metrics: Sequence[str] = ("AP",),
        replicates: int = REPLICATES,
    ) -> None:
        self.plan, self.store = plan, store
        self.metrics, self.how = tuple(metrics), Resampling(replicates)

    def changes(self, rule: Rule = RULE, progress: Tell | None = None) -> dict[str, Change]:
        """Every row's change against its baseline, in the plan's order, seeds together.

        The differences of one metric are adjusted for each other.

        Args:
            progress: told how many of how many rows are done, before each that is not cached.
        """
        rows = {planned.row.label: planned for planned in self.plan.rows}
        found: dict[str, Change] = {}
        for number, planned in enumerate(self.plan.rows):
            reference = self.plan.table.baselines[planned.row.label]
            tell = partial(progress, number, len(self.plan.rows)) if progress else _silent
            change = Change(None)
            if reference is not None:
                change = self._change(reference, rows.get(reference), planned, rule, tell)
            found[planned.row.label] = change
        for metric in self.metrics:
            own = {label: one.found[metric] for label, one in found.items() if one.found}
            for label, one in corrections.adjust(own, rule.level).items():
                found[label] = replace(found[label], found={**found[label].found, metric: one})
        return found

    def side(self, planned: PlannedRow, tell: Callable[[], None] | None = None) -> list[Replicates]:
        """A row's trainings, one for each seed.

        Args:
            tell: called before each that is not cached.

        Raises:
            DetbenchError: its detections cannot be read, or do not fit the ground truth.
        """

        return [
            self._known(task) or self._resample(task, tell or _silent) for task in planned.train
        ]

    def _known(self, task: Task) -> Replicates | None:
        """A training's replicates as they are kept, if they have all metrics."""
        return known(task.digest, self.store, self.metrics, self.how)

    def lacks(self, planned: PlannedRow) -> str:
        """Why a row has no replicates; empty if it has. All seeds, or nothing."""
        if not planned.train:
            return planned.reason
        if planned.same:
            return planned.same_cell
        for task in planned.train:
            status = self.store.status(task.digest)
            if status != "done":
                return f"{task.label}: {'not run' if status == 'missing' else status}"
            if not self.store.has_detections(task.digest) and self._known(task) is None:
                return f"{task.label}: no detections are stored"
        return ""

    def _change(
        self,
        baseline: str,
        reference: PlannedRow | None,
        planned: PlannedRow,
        rule: Rule,
        tell: Callable[[], None],
    ) -> Change:
        reason = self._why_not(baseline, reference, planned)
        if reason or reference is None:
            return Change(baseline, reason=reason)
        once = lru_cache(tell)
        try:
            a, b = (self.side(one, once) for one in (reference, planned))
            return Change(baseline, between(a, b, self.metrics, rule))
        except DetbenchError as error:
            return Change(baseline, reason=" ".join(str(error).split()))

    def _why_not(self, baseline: str, reference: PlannedRow | None, planned: PlannedRow) -> str:
        """Why two rows cannot be compared; empty if they can."""
        if not planned.train or planned.same:
            return self.lacks(planned)
        if reference is None:
            return f"its baseline {baseline} is not among these rows"
        if planned.digests == reference.digests:
            return f"same cell as its baseline {baseline}"
        if not reference.train:
            return f"its baseline {baseline} is not run here: {reference.reason}"
        lacking = self.lacks(planned) or self.lacks(replace(reference, same=""))
        if lacking:
            return lacking
        ours, theirs = (_protocol(row.train[0]) for row in (planned, reference))
        return "" if ours == theirs else f"its baseline {baseline} was evaluated otherwise"

    def _resample(self, task: Task, tell: Callable[[], None]) -> Replicates:
        """A training's replicates, kept with those of other metrics that are known."""
        if not isinstance(task.cell, Cell):
            raise TypeError(f"{task.label} is no training")
        tell()
        named = task.digest, task.label, task.cell
        return resampled(named, self.store, self.plan.truths, self.metrics, self.how)


def known(name: str, store: Store, metrics: Sequence[str], how: Resampling) -> Replicates | None:
    """A training's replicates as they are kept, if they have all metrics."""
    found = CACHE.known(store, name, [store.fingerprint(name), how.replicates])
    return found[0] if found and found[0].draws.keys() >= set(metrics) else None


def resampled(
    training: tuple[str, str, Cell],
    store: Store,
    truths: Truths,
    metrics: Sequence[str],
    how: Resampling,
) -> Replicates:
    """A training's replicates from its detections, kept with those of other metrics.

    Args:
        training: its digest, what to call it, and its cell.

    Raises:
        DetbenchError: its detections are not there or cannot be read.
    """
    name, label, cell = training
    parts = [store.fingerprint(name), how.replicates]
    kept = CACHE.known(store, name, parts)
    wanted = list(dict.fromkeys([*(kept[0].draws if kept else ()), *metrics]))
    results = store.detections_of(name, label)
    truth = truths.of(cell.data, any(map(of_masks, wanted)))
    found = of_results(truth, results, cell.evaluation, wanted, how, label)
    return CACHE.keep(store, name, parts, found)


def _silent() -> None: ...


def _protocol(task: Task) -> tuple[str, str]:
    """What two cells must share to be compared image by image."""
    if not isinstance(task.cell, Cell):
        raise TypeError(f"{task.label} is no training")
    evaluation = task.cell.evaluation.model_copy(update={"batch": 1, "compile": False})
    return digest(task.cell.data), digest(evaluation)
