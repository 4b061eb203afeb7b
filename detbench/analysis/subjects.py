"""Which trainings an analysis is of: a table's row as ``report`` finds it, or any checkpoint.

No torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from detbench import inputs
from detbench.analysis.kind import Kind, Needs
from detbench.errors import RecipeError, StoreError, WeightsError
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cell
from detbench.results.store import Store
from detbench.runner import hint, latency
from detbench.runner.plan import Plan, PlannedRow, Request, Task, choose


@dataclass(frozen=True)
class Subject:
    """One training.

    Attributes:
        label: of its row.
        cell: what it is; ``digest`` is its.
        work: folder of its checkpoint and curve; none of a checkpoint given by path.
        weights: the file.
        where: what to call it in messages.
    """

    label: str
    cell: Cell = field(repr=False)
    digest: str
    work: Path | None
    weights: Path | None
    where: str

    @cached_property
    def content(self) -> str:
        """Hash of a file given by path; empty of a stored row, whose digest says all."""
        if self.work is not None or self.weights is None:
            return ""
        return hashlib.sha256(self.weights.read_bytes()).hexdigest()

    @property
    def identity(self) -> str:
        """What its measurements belong to."""
        return f"{self.digest}@{self.content}" if self.content else self.digest


def find(name: str, kind: Kind, request: Request, store: Store) -> tuple[list[Subject], str]:
    """The trainings of a row, one for each seed, and the profile's choice in words.

    Args:
        name: ``TABLE:ROW``, ``DETECTOR@WEIGHTS`` or ``TABLE:ROW@WEIGHTS``; tables and detectors
            may be files.

    Raises:
        RecipeError: no such table, row or detector, or the kind does not fit it.
        WeightsError, StoreError: what the kind needs is not there.
    """
    recipe, at, file = name.rpartition("@")
    if at:
        path = inputs.expanded(file)
        if not path.is_file():
            raise WeightsError(f"'{name}': {file}: no such file of weights")
        if kind.needs not in ("weights", "boxes"):
            raise RecipeError(
                f"'{name}': {kind.name} is measured from what a run stored ({kind.needs}), not "
                "from weights: name a row, as in tscode-table1:FCOS"
            )
        cell, label, said = _of_recipe(recipe, request)
        found = [Subject(label, cell, digest(cell), None, path, name)]
    else:
        plan, row = _row(name, request)
        said = plan.said or ""
        found = [_stored(task, plan, row, kind.needs, store) for task in row.train]
    if reason := kind.unfit(found[0].cell.detector):
        raise RecipeError(f"'{name}': {kind.name} does not fit this detector: {reason}")
    return found, said


def of_row(plan: Plan, row: PlannedRow, store: Store) -> list[Subject]:
    """A planned row's trainings, whether or not they have run."""
    return [_subject(task, plan, row, store) for task in row.train]


def _of_recipe(name: str, request: Request) -> tuple[Cell, str, str]:
    """The cell of a detector or a row, its label, and the profile's choice in words."""
    if ":" in name:
        plan, row = _row(name, request)
        return _cell(row.train[0]), row.row.label, plan.said or ""
    recipe, root = load.detector(name), request.data_root
    data = resolve.parse_dataset(request.dataset) if request.dataset else None
    needed = data or load.schedule(recipe.schedule).data
    profile, said = resolve.choose_profile(
        request.profile, [needed], lambda one: one.why_missing(root) is None
    )
    made = resolve.cell(recipe, profile, request.seeds[0], request.overrides, data).settled(root)
    if made.cell is None:
        raise RecipeError(f"'{name}': {made.reason}")
    return made.cell, recipe.id, said or ""


def _row(name: str, request: Request) -> tuple[Plan, PlannedRow]:
    table, colon, label = name.partition(":")
    if not colon or not label:
        raise RecipeError(
            f"'{name}': name a row, as in tscode-table1:FCOS, or a detector with its checkpoint, "
            "as in fcos-r50@weights.pt"
        )
    plan = choose(replace(request, table=table))
    row, known = plan.named(label)
    if row is None:
        raise RecipeError(f"'{name}': {plan.table.id} has no such row{known}")
    if not row.train:
        raise RecipeError(f"'{name}': this row is not run here: {row.reason}")
    return plan, row


def _subject(task: Task, plan: Plan, row: PlannedRow, store: Store) -> Subject:
    work = store.work(task.work)
    file = work / "weights.pt"
    weights, where = file if file.is_file() else None, f"{plan.table.id}:{task.label}"
    return Subject(row.row.label, _cell(task), task.digest, work, weights, where)


def _cell(task: Task) -> Cell:
    if not isinstance(task.cell, Cell):
        raise TypeError(f"{task.label} is no training")
    return task.cell


def _stored(task: Task, plan: Plan, row: PlannedRow, needs: Needs, store: Store) -> Subject:
    found = _subject(task, plan, row, store)
    work = store.work(task.work)
    again = hint.again(plan, row.row.label, [task], store)
    advice = f"{again}, or --results names another folder"
    if needs == "weights" and found.weights is None:
        raise WeightsError(f"{found.where} has no checkpoint in {work}: {advice}")
    if needs == "curve" and not (work / "curve.jsonl").is_file():
        raise StoreError(f"{found.where} has no curve of losses in {work}: {advice}")
    kept = store.has_detections(task.digest) if needs == "boxes" else True
    if not kept and found.weights is None:
        raise StoreError(f"{found.where} has no detections in {store.root}, nor weights: {advice}")
    if needs == "latency" and store.status(task.digest) != "done":
        raise StoreError(f"{found.where} has no scores in {store.root}: {advice}")
    if needs == "latency" and not latency.of_detector(found.cell.detector, store):
        command = hint.latency(plan, row.row.label)
        raise StoreError(
            f"{found.where} has no stored latency in {store.root}: {command} measures it"
        )
    if needs == "detections" and store.fingerprint(task.digest) is None:
        raise StoreError(f"{found.where} has no detections in {store.root}: {advice}")
    return found
