"""Table × profile × seeds × overrides -> the cells to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from detbench.data.kinds import KINDS, named
from detbench.data.settle import settled
from detbench.errors import RecipeError
from detbench.recipe import doubts, embedded, idle, load
from detbench.recipe.base import PerTaskSpec
from detbench.recipe.detector import Dense, Detector, DetectorRecipe
from detbench.recipe.experiment import (
    Cell,
    Data,
    Evaluation,
    Learnt,
    Schedule,
    Scored,
    Sgd,
    Training,
)
from detbench.recipe.light import lighten
from detbench.recipe.override import apply, detector_only, split
from detbench.recipe.rows import matches
from detbench.recipe.table import Profile, Row, Table
from detbench.recipe.validate import parse, suggest


@dataclass(frozen=True)
class ResolvedRow:
    """One row of a table with one seed.

    Attributes:
        row: as in the table.
        cell: what to train and evaluate; none where the row is only cited.
        paper_detector: the paper-size detector, for GFLOPs and parameters; none where the row
            names no detector.
        seed: of the cell.
        reason: why there is no cell; else empty.
        warnings: sentences about settings that a user should know.
        idle: what was set by hand and does nothing in this cell, and why.
    """

    row: Row
    cell: Cell | None
    paper_detector: Detector | None
    seed: int = 0
    reason: str = ""
    warnings: tuple[str, ...] = ()
    idle: tuple[tuple[str, str], ...] = ()

    def settled(self, root: Path | None) -> ResolvedRow:
        """It with the content of its files, see ``data.settle``."""
        cell = self.cell and settled(self.cell, root)
        paper = self.paper_detector and settled(self.paper_detector, root)
        return replace(self, cell=cell, paper_detector=paper)


def cells(
    table: Table | str,
    profile: Profile | str,
    seeds: Sequence[int] = (0,),
    rows: str | None = None,
    overrides: Sequence[str] = (),
    data: Data | None = None,
) -> list[ResolvedRow]:
    """The rows of a table, each with each seed, in print order.

    Args:
        rows: pattern on the labels (``FCOS*``), several by commas; none is all.
        overrides: ``key.path=value`` as from ``--set``.
        data: replaces the profile's data set.

    Raises:
        RecipeError: a pattern without a row, or mistakes in the overrides, all of them; one that
            does nothing in any of these rows is a mistake, in some rows a warning.
    """
    table = load.table(table) if isinstance(table, str) else table
    profile = load.profile(profile) if isinstance(profile, str) else profile
    found: list[ResolvedRow] = []
    mistakes: list[str] = []
    chosen = table.rows
    try:
        chosen = tuple(select(table, rows))
    except RecipeError as error:
        mistakes += error.mistakes
    for row in chosen:
        try:
            found += _resolve(row, table, profile, seeds, overrides, data)
        except RecipeError as error:
            mistakes += error.mistakes
    if not mistakes:
        mistakes, found = _idle(found)
    if mistakes:
        raise RecipeError(list(dict.fromkeys(mistakes)))
    return found


def _idle(rows: list[ResolvedRow]) -> tuple[list[str], list[ResolvedRow]]:
    """What was set by hand and does nothing anywhere, and the rows with a warning about what does
    nothing in some of them.
    """
    run = list(dict.fromkeys(row.row.label for row in rows if row.cell is not None))
    where: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for one in row.idle:
            if row.row.label not in where.setdefault(one, []):
                where[one].append(row.row.label)
    count: dict[str, int] = {}
    for (what, _), labels in where.items():
        count[what] = count.get(what, 0) + len(labels)
    everywhere = {what for what in count if count[what] == len(run) or what.startswith("row ")}
    mistakes = [idle.sentence(*one) for one in where if one[0] in everywhere]
    some = tuple(idle.sentence(*one, f"in {', '.join(labels)}") for one, labels in where.items())
    if mistakes or not some:
        return mistakes, rows
    return [], [replace(rows[0], warnings=(*rows[0].warnings, *some)), *rows[1:]]


def cell(
    detector: DetectorRecipe | str,
    profile: Profile | str,
    seed: int = 0,
    overrides: Sequence[str] = (),
    data: Data | None = None,
) -> ResolvedRow:
    """One detector by itself, as ``train`` and ``eval`` run it: a table's row of one.

    Raises:
        RecipeError: mistakes in the overrides, or one that does nothing here.
    """
    recipe = load.detector(detector) if isinstance(detector, str) else detector
    profile = load.profile(profile) if isinstance(profile, str) else profile
    row = Row(label=recipe.id, detector=recipe.id, published=recipe.published)
    base = _base(recipe.detector, load.schedule(recipe.schedule), profile, data)
    base = base.model_copy(update={"seed": seed})
    made = _one(row, recipe.detector, profile, base, overrides)
    if made.idle:
        raise RecipeError([idle.sentence(*one) for one in made.idle])
    return made


def scored(
    profile: Profile | str, overrides: Sequence[str] = (), data: Data | None = None
) -> Scored:
    """What is scored, and how, where no detector is named: the profile's, else COCO's.

    Raises:
        RecipeError: mistakes in the overrides, or one of anything else.
    """
    profile = load.profile(profile) if isinstance(profile, str) else profile
    schedule = load.schedule("coco-1x")
    other = [one for one in overrides if split(one)[0][0] not in Scored.model_fields]
    if other:
        raise RecipeError(
            [f"--set '{one}': no detector is run here: data and evaluation apply" for one in other]
        )
    own = _data(schedule, profile, data)
    found = Scored(data=own, evaluation=_evaluation(own, schedule, profile))
    return apply(found, overrides)[0]


def learnt(
    profile: Profile | str, overrides: Sequence[str] = (), data: Data | None = None
) -> Learnt:
    """What is trained on, and how images enter a network, where no detector is named.

    Args:
        data: by default the profile's, else COCO.

    Raises:
        RecipeError: mistakes in the overrides, or one of anything else.
    """
    profile = load.profile(profile) if isinstance(profile, str) else profile
    schedule = load.schedule("coco-1x")
    for one in overrides:
        path = split(one)[0]
        if path[0] != "data" and path[:2] != ["training", "input"]:
            raise RecipeError(f"--set '{one}': nothing is trained: data and training.input apply")
    training = profile.training or schedule.training
    found = Learnt(data=_data(schedule, profile, data), training=training)
    return apply(found, overrides)[0]


def paper_cell(row: Row, table: Table) -> Cell | None:
    """What the paper itself ran for a row, its ImageNet weights included; none if only cited. Own
    modules and files of weights have their content, see ``data.settle``.
    """
    paper, schedule = paper_detector(row), schedule_of(row, table)
    if row.cited or paper is None or schedule is None:
        return None
    made = Cell(
        detector=paper,
        data=schedule.data,
        training=schedule.training,
        evaluation=schedule.evaluation,
    )
    return settled(made, None)


def select(table: Table, pattern: str | None) -> list[Row]:
    """The rows whose label matches: the whole pattern, else any of its parts between commas.

    Raises:
        RecipeError: a part matches no row.
    """
    if pattern is None:
        return list(table.rows)
    labels = [row.label for row in table.rows]
    parts = [pattern]
    if not any(matches(label, pattern) for label in labels):
        parts = [part.strip() for part in pattern.split(",")]
    mistakes = [
        f"--rows '{part}': no row of {table.id} matches{suggest(part, labels)} "
        f"(rows: {', '.join(labels)})"
        for part in parts
        if not any(matches(label, part) for label in labels)
    ]
    if mistakes:
        raise RecipeError(mistakes)
    return [row for row in table.rows if any(matches(row.label, part) for part in parts)]


def paper_detector(row: Row) -> Detector | None:
    """The row's detector at paper size; none for a row that names no detector."""
    if row.detector is None:
        return None
    recipe = load.detector(row.detector)
    if not row.replaced:
        return recipe.detector
    data = {**recipe.detector.model_dump(mode="json"), **row.replaced}
    parsed, mistakes = parse(type(recipe.detector), data, f'row "{row.label}"')
    if parsed is None:
        raise RecipeError(mistakes)
    return parsed


def schedule_of(row: Row, table: Table) -> Schedule | None:
    """The row's own schedule, else the table's, else the detector's; none without a detector."""
    if row.schedule or table.schedule:
        return load.schedule(row.schedule or table.schedule or "")
    return load.schedule(load.detector(row.detector).schedule) if row.detector else None


def batch_warning(training: Training, lr: float, reference_batch: int) -> str | None:
    """A sentence where SGD's learning rate is not in proportion to the batch, else none.

    Args:
        training: what will run.
        lr, reference_batch: the recipe's learning rate and the batch it was chosen for.
    """
    if not isinstance(training.optimizer, Sgd):
        return None
    expected = lr * training.batch / reference_batch
    if abs(training.optimizer.lr - expected) <= 0.01 * expected:
        return None
    return (
        f"learning rate {training.optimizer.lr:g} with batch {training.batch} is not the recipe's "
        f"ratio ({lr:g} for {reference_batch}): --set training.optimizer.lr={expected:g} keeps it"
    )


def choose_profile(
    requested: str | None, needed: Sequence[Data], available: Callable[[Data], bool]
) -> tuple[Profile, str | None]:
    """The profile of a run, and a sentence that says which one was taken if nobody asked.

    Args:
        requested: ``--profile``.
        needed: the data sets of the table's own schedules.
        available: whether a data set is on disk.
    """
    if requested is not None:
        return load.profile(requested), None
    kinds = ", ".join(dict.fromkeys(data.kind for data in needed))
    if needed and all(not data.drawn and available(data) for data in needed):
        return load.profile("paper"), f"profile: paper, as its data set ({kinds}) is here"
    what = f"the paper's data set ({kinds}) is not here" if kinds else "no row can run"
    return load.profile("smoke"), f"profile: smoke, as {what}; choose with --profile"


def paper_data(table: Table) -> list[Data]:
    """The data sets that the table's runnable rows are trained on in the paper, each once."""
    found: list[Data] = []
    for row in table.rows:
        schedule = None if row.cited else schedule_of(row, table)
        if schedule is not None and schedule.data not in found:
            found.append(schedule.data)
    return found


def parse_dataset(text: str) -> Data:
    """A data set by its name, as ``coco``, or by its files, as ``coco:ANNOTATIONS.json:IMAGES``
    (from ``--dataset``).

    Raises:
        RecipeError: for anything else.
    """
    known = named()
    if text in known:
        return known[text]
    kind, colon, rest = text.partition(":")
    own = [one for one in KINDS if one.prefix]
    for one in own:
        if one.prefix != kind or not colon:
            continue
        if (found := one.of_argument(rest)) is None:
            raise RecipeError(f"--dataset '{text}': give it as {one.prefix}:{one.takes}")
        return cast(Data, found)
    hint = suggest(kind, tuple(known))
    choices = [*known, *(f"{one.prefix}:{one.takes}" for one in own)]
    raise RecipeError(f"--dataset '{text}': unknown{hint} (choices: {', '.join(choices)})")


def _resolve(
    row: Row,
    table: Table,
    profile: Profile,
    seeds: Sequence[int],
    overrides: Sequence[str],
    data: Data | None,
) -> list[ResolvedRow]:
    paper = paper_detector(row)
    schedule = schedule_of(row, table)
    if row.cited or paper is None or schedule is None:
        cited = row.cited or "it names no detector"
        return [ResolvedRow(row, None, paper, seed, f"cited only: {cited}") for seed in seeds]
    base = _base(paper, schedule, profile, data)
    found = [
        _one(row, paper, profile, base.model_copy(update={"seed": seed}), overrides)
        for seed in seeds
    ]
    if table.paper != "own":
        return found
    return [
        replace(one, idle=(*one.idle, *idle.of_row(one.cell, row))) if one.cell else one
        for one in found
    ]


def _base(paper: Detector, schedule: Schedule, profile: Profile, data: Data | None) -> Cell:
    """The cell of a row before overrides; its seed is still to be said."""
    used = _data(schedule, profile, data)
    return Cell(
        detector=lighten(paper, profile.light) if profile.light else paper,
        data=used,
        training=_training(paper, schedule, profile),
        evaluation=_evaluation(used, schedule, profile),
        seed=0,
    )


def _training(paper: Detector, schedule: Schedule, profile: Profile) -> Training:
    """The profile's, else the schedule's; at the profile's own rate for towers without norm."""
    training = profile.training or schedule.training
    share = profile.light.plain_lr if profile.light else 1.0
    if share == 1.0 or not isinstance(paper, Dense) or not _plain(paper.heads):
        return training
    optimizer = training.optimizer
    slower = optimizer.model_copy(update={"lr": optimizer.lr * share})
    return training.model_copy(update={"optimizer": slower})


def _plain(heads: PerTaskSpec[Any]) -> bool:
    """Whether the towers have no norm."""
    options = [one for one in (heads.both, heads.cls, heads.loc) if one is not None]
    return all(getattr(one, "norm", None) == "none" for one in options)


def _data(schedule: Schedule, profile: Profile, data: Data | None) -> Data:
    """What is given, else the profile's, else the schedule's."""
    if data is not None and data.drawn and profile.data and data.kind == profile.data.kind:
        data = profile.data  # ``--dataset shapes`` by itself does not change the profile's scenes
    data = data or profile.data or schedule.data
    return schedule.data.standing_in(data) if data.drawn else data


def _evaluation(data: Data, schedule: Schedule, profile: Profile) -> Evaluation:
    """The profile's, else the schedule's; size bounds are scaled for the profile's data alone."""
    found = profile.evaluation or schedule.evaluation
    if profile.data is None or data.kind == profile.data.kind:
        return found
    return found.model_copy(update={"area_scale": schedule.evaluation.area_scale})


def _one(
    row: Row, paper: Detector, profile: Profile, base: Cell, overrides: Sequence[str]
) -> ResolvedRow:
    """A row's cell, by the cell before overrides."""
    base, scratch = _unasked(base)
    used, warnings = apply(base, overrides)
    if scratch and used.training.weights == "none":
        warnings = [*warnings, scratch]
    used, scratch = embedded.settle(used, profile)
    if scratch:
        warnings = [*warnings, scratch]
    if embedded.missed(used, base):
        whole = apply(embedded.whole(base), overrides)[0]
        used = used.model_copy(update={"detector": whole.detector})
    optimizer = base.training.optimizer
    ratio = batch_warning(used.training, optimizer.lr, base.training.reference_batch)
    if ratio:
        warnings = [*warnings, ratio]
    warnings = [*warnings, *doubts.of_cell(used)]
    changed = apply(base.model_copy(update={"detector": paper}), detector_only(overrides))[0]
    nothing = tuple(idle.of_overrides(used, overrides))
    return ResolvedRow(row, used, changed.detector, base.seed, "", tuple(warnings), nothing)


def _unasked(cell: Cell) -> tuple[Cell, str]:
    """The cell from scratch where its recipe starts from weights: nobody has asked for them yet.

    It is settled here, so that a cell's digest tells what it started from.
    """
    if cell.training.weights != "default":
        return cell, ""
    scratch = cell.training.model_copy(update={"weights": "none"})
    return cell.model_copy(update={"training": scratch}), (
        "training starts from scratch, the paper's from ImageNet weights: "
        "ask for them with --set training.weights=default, a name or a file"
    )
