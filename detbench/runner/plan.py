"""The cells of a table: which there are, and which the store lacks. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from detbench.errors import DataError
from detbench.evaluation.truth import Truths
from detbench.recipe import load, resolve
from detbench.recipe.columns import choose as choose_columns
from detbench.recipe.digest import digest, former, training
from detbench.recipe.experiment import Cell, Data
from detbench.recipe.metrics import any_of
from detbench.recipe.override import detector_only
from detbench.recipe.resolve import ResolvedRow
from detbench.recipe.table import Profile, Row, Table
from detbench.recipe.validate import suggest
from detbench.results.schema import Kind
from detbench.results.store import Store
from detbench.runner.job import CostCell
from detbench.training import lookup


@dataclass(frozen=True)
class Task:
    """One cell to compute.

    Attributes:
        label: of the first row that needs it, for messages.
    """

    digest: str
    kind: Kind
    label: str
    # The digest stands for it; arguments of a user's own modules cannot be hashed.
    cell: Cell | CostCell = field(hash=False)

    @property
    def work(self) -> str:
        """Name of its work folder: of its training, which other cells may evaluate too."""
        return training(self.cell) if isinstance(self.cell, Cell) else self.digest


@dataclass(frozen=True)
class PlannedRow:
    """A row of a table and the tasks its numbers come from.

    Attributes:
        train: one task per seed; empty for a row that is only cited.
        cost: GFLOPs and parameters; none for a row without a detector, or in a table that prints
            no cost.
        paper: what the paper itself ran; None for a row that is only cited.
        same_detector: nothing was changed of the paper's detector, so its cost is comparable.
        same_data: the printed APs are of data that can be evaluated on.
        reason: why there is nothing to train; else empty.
        same: label of the row above whose cells these are too, so that they tell nothing more;
            else empty. Rows that differ in their readout alone have cells of their own.
    """

    row: Row
    train: tuple[Task, ...]
    cost: Task | None
    paper: Cell | None = field(default=None, hash=False)
    same_detector: bool = True
    same_data: bool = True
    reason: str = ""
    same: str = ""

    @cached_property
    def differs(self) -> tuple[str, ...]:
        """Settings (``training.weights``) in which the cells depart from what the paper ran."""
        cells = [task.cell for task in self.train if isinstance(task.cell, Cell)]
        found = [name for cell in cells if self.paper for name in departures(cell, self.paper)]
        return tuple(dict.fromkeys(found))

    @property
    def digests(self) -> tuple[str, ...]:
        """Of its trainings, one for each seed."""
        return tuple(task.digest for task in self.train)

    @property
    def same_cell(self) -> str:
        """What is said in place of its numbers where another row has its cells; else empty."""
        return f"same cell as {self.same}" if self.same else ""

    @property
    def comparable(self) -> bool:
        """Whether the measured APs follow the paper's own protocol."""
        return bool(self.train) and self.same_data and not self.differs


@dataclass(frozen=True)
class DataSource:
    """Where the data of a plan come from.

    Attributes:
        data: in place of the profile's.
        root: folder of data sets, whose annotations' content the cells then name.
    """

    data: Data | None = None
    root: Path | None = None


@dataclass(frozen=True)
class Request:
    """What is asked for of a table, as the command line names things.

    Attributes:
        table: its id or file.
        profile: None takes ``paper`` where the paper's data set is found, else ``smoke``.
        data_root: folder of data sets.
        rows: patterns of labels, by commas; None is all.
        overrides: of ``--set``.
        dataset: of ``--dataset``; None is the profile's.
        columns: of ``--columns``; None is the table's.
    """

    table: str
    profile: str | None = None
    data_root: Path = Path("data")
    seeds: tuple[int, ...] = (0,)
    rows: str | None = None
    overrides: tuple[str, ...] = ()
    dataset: str | None = None
    columns: str | None = None


@dataclass(frozen=True)
class Plan:
    """A table under a profile, with seeds, as tasks.

    Attributes:
        warnings: what the user should know before it runs.
        data_root: folder of data sets, for what is computed from stored detections; none is
            unknown.
        said: which profile was taken, in a sentence; None if it was named.
        asked: what the user asked for; None of what was planned otherwise.
    """

    table: Table
    profile: Profile
    seeds: tuple[int, ...]
    rows: tuple[PlannedRow, ...]
    warnings: tuple[str, ...] = ()
    data_root: Path | None = None
    said: str | None = None
    asked: Request | None = field(default=None, compare=False)

    def named(self, label: str) -> tuple[PlannedRow | None, str]:
        """The row of a label, in whatever case; where there is none, what to say of those that
        there are.
        """
        labels = {one.row.label.lower(): one for one in self.rows}
        known = [one.row.label for one in self.rows]
        said = f"{suggest(label, known)} (rows: {', '.join(known)})"
        return labels.get(label.strip().lower()), said

    @cached_property
    def truths(self) -> Truths:
        """What stored detections are scored against."""
        return Truths(self.data_root)

    @property
    def cells(self) -> list[Cell]:
        """What is trained, each once."""
        return [task.cell for task in self.tasks if isinstance(task.cell, Cell)]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Every task once, costs first (they take seconds), then in the table's order."""
        costs = [row.cost for row in self.rows if row.cost]
        cells = [task for row in self.rows for task in row.train]
        found: dict[str, Task] = {}
        for task in (*costs, *cells):
            found.setdefault(task.digest, task)
        return tuple(found.values())


def make(
    table: Table,
    profile: Profile,
    seeds: Sequence[int] = (0,),
    rows: str | None = None,
    overrides: Sequence[str] = (),
    source: DataSource = DataSource(),
) -> Plan:
    """Plan a table; the arguments but the last are those of ``recipe.resolve.cells``.

    Raises:
        RecipeError: mistakes in ``rows`` or ``overrides``, all of them.
    """
    resolved = [
        one.settled(source.root)
        for one in resolve.cells(table, profile, seeds, rows, overrides, source.data)
    ]
    papers = {row.label: resolve.paper_cell(row, table) for row in resolve.select(table, rows)}
    by_label: dict[str, list[ResolvedRow]] = {}
    for one in resolved:
        by_label.setdefault(one.row.label, []).append(one)
    same = not detector_only(overrides)
    planned = _told_apart(
        [_row(table, group, papers[label], same) for label, group in by_label.items()]
    )
    cells = [one.cell for one in resolved if one.cell is not None]
    seen = [warning for cell in cells if (warning := cell.data.seen_in_training)]
    warnings = dict.fromkeys([*(text for one in resolved for text in one.warnings), *seen])
    return Plan(table, profile, tuple(seeds), planned, tuple(warnings), source.root)


def choose(request: Request) -> Plan:
    """Plan the table that is asked for.

    Raises:
        RecipeError: mistakes in any part of the request.
    """
    table = load.table(request.table)
    if request.columns is not None:
        table = choose_columns(table, request.columns)
    data = resolve.parse_dataset(request.dataset) if request.dataset else None
    # With a data set of the user's choice, the paper's is not needed.
    needed = [data] if data else resolve.paper_data(table)
    profile, said = resolve.choose_profile(
        request.profile, needed, lambda one: one.why_missing(request.data_root) is None
    )
    source = DataSource(data, request.data_root)
    made = make(table, profile, request.seeds, request.rows, request.overrides, source)
    return replace(made, said=said, asked=request)


def check_data(plan: Plan, data_root: Path) -> None:
    """Raise ``DataError`` if a data set that the plan trains on is not there."""
    for data in {digest(cell.data): cell.data for cell in plan.cells}.values():
        if problem := data.why_missing(data_root):
            raise DataError(problem)


def check_weights(tasks: Iterable[Task]) -> None:
    """Raise ``WeightsError`` if a training of ``tasks`` cannot start from what it asks for."""
    lookup.check(task.cell for task in tasks if isinstance(task.cell, Cell))


def misfits(tasks: Iterable[Task], data_root: Path) -> list[str]:
    """Sentences on trainings whose network does not fit the weights file that they ask for, one for
    each reason; seconds where any asks for a file.
    """
    trained = [(task.label, task.cell) for task in tasks if isinstance(task.cell, Cell)]
    found: dict[str, list[str]] = {}
    said = lookup.misfits([cell for _, cell in trained], data_root)
    for (label, _), problem in zip(trained, said, strict=True):
        if problem:
            found.setdefault(problem, []).append(label)
    return [f"{_named(labels)}: {problem}" for problem, labels in found.items()]


def _row(table: Table, group: list[ResolvedRow], paper: Cell | None, same: bool) -> PlannedRow:
    first = group[0]
    label = first.row.label
    names = [f"{label}, seed {one.seed}" if group[1:] else label for one in group]
    train = tuple(
        Task(digest(one.cell), "train-eval", name, one.cell)
        for one, name in zip(group, names, strict=True)
        if one.cell is not None
    )
    cost = None
    if first.paper_detector is not None and any_of(table.columns, "cost"):
        width, height = table.input.split("x")
        cell = CostCell(detector=first.paper_detector, input=(int(width), int(height)))
        cost = Task(digest(cell), "cost", f"GFLOPs of {first.row.label}", cell)
    same_data = table.elsewhere(first.row) is None
    return PlannedRow(first.row, train, cost, paper, same, same_data, first.reason)


def _told_apart(rows: Iterable[PlannedRow]) -> tuple[PlannedRow, ...]:
    """The rows, each that has the cells of one above it with that one's label."""
    first: dict[tuple[str, ...], str] = {}
    found = []
    for row in rows:
        label = first.setdefault(row.digests, row.row.label) if row.train else row.row.label
        found.append(replace(row, same="" if label == row.row.label else label))
    return tuple(found)


MEANT = {"weights_content": "weights"}
"""Field that stands for another in digests -> that one."""

NAMED = 3
"""Of more cells than this that are left out for one reason, the others are counted."""

FREE: dict[str, dict[str, object]] = {
    "training": {"precision": "fp32", "channels_last": True, "compile": False},
    "evaluation": {"compile": False},
}
"""Settings that say how to compute, not what."""


def departures(cell: Cell, paper: Cell) -> list[str]:
    """Key paths, two deep, in which a cell is not the paper's own; seed, precision and memory
    format aside, and what is no part of a digest.
    """
    found = []
    for section in ("detector", "data", "training", "evaluation"):
        update = FREE.get(section, {})
        ours, theirs = (getattr(one, section).model_copy(update=update) for one in (cell, paper))
        if ours == theirs or digest(ours) == digest(theirs):
            continue
        if type(ours) is not type(theirs):
            found.append(section)
            continue
        names = [name for name in type(ours).model_fields if name not in ours.left_out]
        found += [
            f"{section}.{MEANT.get(name, name)}"
            for name in names
            if getattr(ours, name) != getattr(theirs, name)
        ]
    return found


def started(store: Store, plan: Plan) -> bool:
    """Whether anything of a plan has been trained, by the files' names alone."""
    stored = store.listing()
    return any(task.digest in stored for row in plan.rows for task in row.train)


@dataclass(frozen=True)
class Standing:
    """What the store has of some tasks."""

    done: tuple[Task, ...]
    failed: tuple[Task, ...]
    missing: tuple[Task, ...]


def outdated(store: Store, tasks: Iterable[Task]) -> list[str]:
    """Sentences on what is stored of tasks that count as missing, one for each reason: they were
    measured before a fault was mended, see ``recipe.base.Revision``.
    """
    stored = store.listing()
    found: dict[str, list[str]] = {}
    for task in tasks:
        for name, mended in former(task.cell).items():
            if name in stored:
                found.setdefault(mended, []).append(task.label)
    return [
        f"{_named(labels)}: what is stored is left out, as it was measured before this was mended: "
        f"{mended}"
        for mended, labels in found.items()
    ]


def _named(labels: list[str]) -> str:
    more = len(labels) - NAMED
    return ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")


def standing(store: Store, tasks: Iterable[Task]) -> Standing:
    """Sort tasks by their status in the store; skipped ones count as done."""
    found: dict[str, list[Task]] = {"done": [], "failed": [], "missing": []}
    for task in tasks:
        status = store.status(task.digest)
        found["done" if status == "skipped" else status].append(task)
    return Standing(*(tuple(found[name]) for name in ("done", "failed", "missing")))
