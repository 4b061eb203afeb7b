"""Which trainings an analysis is of: a table's row as ``report`` finds it, or any checkpoint.

No torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from detbench import inputs
from detbench.analysis.kind import Kind
from detbench.errors import RecipeError, WeightsError
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
        lacking: why it cannot be measured now, and what mends that; empty where it can.
    """

    label: str
    cell: Cell = field(repr=False)
    digest: str
    work: Path | None
    weights: Path | None
    where: str
    lacking: str = field(default="", repr=False, compare=False)

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
            may be files. A row whose own label has an ``@`` is that row.

    Raises:
        RecipeError: no such table, row or detector, or the kind does not fit it.
        WeightsError: no such file.
    """
    recipe, at, file = name.rpartition("@")
    if at and not _is_row(name, request):
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
        found = [
            replace(one, lacking=lacking(one, kind, plan, row, store))
            for one in of_row(plan, row, store)
        ]
    if reason := kind.unfit(found[0].cell.detector):
        raise RecipeError(f"'{name}': {kind.name} does not fit this detector: {reason}")
    return found, said


def of_row(plan: Plan, row: PlannedRow, store: Store) -> list[Subject]:
    """A planned row's trainings, whether or not they have run."""
    return [_subject(task, plan, row, store) for task in row.train]


def _is_row(name: str, request: Request) -> bool:
    try:
        return bool(_row(name, request))
    except RecipeError:
        return False


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


def lacking(one: Subject, kind: Kind, plan: Plan, row: PlannedRow, store: Store) -> str:
    """Why a stored training cannot be measured by a kind, and what mends that; empty where it can.

    Args:
        row: whose training it is.
    """
    task = next(task for task in row.train if task.digest == one.digest)
    work, where, needs = store.work(task.work), one.where, kind.needs
    again = hint.again(plan, row.row.label, [task], store)
    advice = f"{again}, or --results names another folder"
    if needs == "weights" and one.weights is None:
        return f"{where} has no checkpoint in {work}: {advice}"
    if needs == "curve" and not (work / "curve.jsonl").is_file():
        return f"{where} has no curve of losses in {work}: {advice}"
    if needs == "boxes" and one.weights is None and not store.has_detections(task.digest):
        return f"{where} has no detections in {store.root}, nor weights: {advice}"
    if needs == "latency" and store.status(task.digest) != "done":
        return f"{where} has no scores in {store.root}: {advice}"
    if needs == "latency" and not latency.of_detector(one.cell.detector, store):
        command = hint.latency(plan, row.row.label)
        return f"{where} has no stored latency in {store.root}: {command} measures it"
    if needs == "detections" and store.fingerprint(task.digest) is None:
        return f"{where} has no detections in {store.root}: {advice}"
    return ""
