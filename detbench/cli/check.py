"""``detbench check``: a dry run."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from detbench.cli import common, estimate
from detbench.cli.common import switch
from detbench.errors import DataError
from detbench.recipe import source
from detbench.recipe.experiment import Cell
from detbench.report.table import Sheet, columns, plain, short
from detbench.results.store import Store
from detbench.runner import plan
from detbench.runner.plan import Plan, Task
from detbench.training import lookup
from detbench.training.lookup import Answer, Start

EXAMPLES = (
    "detbench check tscode-table1",
    "detbench check tscode-table1 --profile paper --data-root /data --read-data",
    "detbench check my-table.toml --rows 'mine*' --seeds 0,1,2",
    "detbench check tscode-table1 --profile paper --set training.batch=8",
)

BYTES_PER_WEIGHT = 4
CHECKPOINT_COPIES = 12
"""A checkpoint holds the weights, their average and up to two moments of the optimiser; that before
it is kept, and the next one is written beside both."""
LIGHT_MILLIONS = 15.0
"""Parameters to reckon with in a small profile's network, and in one nobody has published."""
PAPER_MILLIONS = 60.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        status: ``mend`` stops a run, ``warning`` does not.
    """

    name: str
    status: Literal["ok", "warning", "mend"]
    message: str


def command(
    table: common.TableArgument,
    profile: common.ProfileOption = None,
    rows: common.RowsOption = None,
    seeds: common.SeedsOption = "0",
    set_: common.SetOption = None,
    dataset: common.DatasetOption = None,
    data_root: common.DataRootOption = None,
    read_data: Annotated[
        bool,
        switch(
            "--read-data",
            "Read the annotation files whole too, and look for every image: half a minute for "
            "COCO.",
        ),
    ] = False,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Check what TABLE needs and print what would run; runs nothing.

    Looked at: the recipe, whether the data set's files are there (and, with --read-data, sound),
    whether the weights asked for are there and a file of them fits, whether own modules are there
    and detectors can be built with them (which runs their code), the results folder and its disk
    space, the ratio of learning rate and batch.
    Printed: each cell with its digest and its status in the store, and the time still to spend.
    Exit code 2 if something must be mended before a run.
    """
    root, numbers = common.data_root(data_root), common.parse_seeds(seeds)
    chosen = common.plan(
        common.request(table, profile, root, numbers, set_, rows=rows, dataset=dataset)
    )
    store = Store(common.results_root(results))
    missing = list(plan.standing(store, chosen.tasks).missing)
    findings = [
        *_recipe(chosen),
        *_data(chosen, root, read_data),
        *_weights(chosen),
        *[Finding("weights", "mend", said) for said in plan.misfits(chosen.tasks, root)],
        *_modules(chosen, root),
        *_disk(chosen, missing, store.root),
        *[Finding("store", "warning", said) for said in plan.outdated(store, missing)],
        *[Finding("settings", "warning", sentence) for sentence in chosen.warnings],
    ]
    payload = _payload(chosen, store, findings, _estimate(missing, store))
    common.emit(_sheet(payload), format, payload)
    if any(finding.status == "mend" for finding in findings):
        raise typer.Exit(2)


def _recipe(chosen: Plan) -> list[Finding]:
    from detbench.analysis import answers

    wrong = answers.mistakes(chosen.table)
    if wrong:
        return [Finding("recipe", "mend", said) for said in wrong]
    return [Finding("recipe", "ok", f"{chosen.table.id}: {_counted(chosen)}, no mistakes")]


def _counted(chosen: Plan) -> str:
    """``9 rows, 3 cells``: rows may share one."""
    cells = {digest for row in chosen.rows for digest in row.digests}
    counts = {"row": len(chosen.rows), "cell": len(cells)}
    return ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())


def _data(chosen: Plan, root: Path, read: bool) -> list[Finding]:
    found = []
    for data in {cell.data.model_dump_json(): cell.data for cell in chosen.cells}.values():
        problem = data.why_missing(root)
        notes = [] if problem or read else data.overlap(root)
        if read and not problem:
            try:
                notes = data.check(root)
            except DataError as error:
                problem = str(error)
        if problem:
            found.append(Finding("data", "mend", problem))
        else:
            state = "is there and sound" if read else "is there"
            found.append(Finding("data", "ok", f"{data.describe()}{data.edits} {state}"))
            found += [Finding("data", "warning", said) for said in notes]
    return found


def _weights(chosen: Plan) -> list[Finding]:
    starts = dict.fromkeys(lookup.of_cell(cell) for cell in chosen.cells)
    found = lookup.look_up([one.name for one in starts if lookup.needs_lookup(one)])
    unknown = lookup.unknown_networks(chosen.cells)
    return [
        *[Finding("backbone", "mend", said) for said in unknown],
        *[_weights_from(one, found.get(one.name)) for one in starts],
        *[Finding("weights", "warning", said) for said in _pixels(chosen, found)],
    ]


def _pixels(chosen: Plan, found: dict[str, Answer]) -> list[str]:
    """Of cells whose pixels are not those of the published weights that they start from."""
    from detbench.training import lookup

    pairs = [(lookup.of_cell(cell).name, cell.detector.pixels) for cell in chosen.cells]
    said = [
        lookup.other_pixels(name, pixels, found[name].pixels)
        for name, pixels in pairs
        if name in found
    ]
    return list(dict.fromkeys(filter(None, said)))


def _weights_from(start: Start, found: Answer | None) -> Finding:
    if problem := lookup.problem(start, found):
        return Finding("weights", "mend", problem)
    if not start.name:
        return Finding("weights", "ok", "training starts from scratch")
    if found is None or found.cached:
        where = f" in {found.path}" if found and found.path else ""
        return Finding("weights", "ok", f"{start.name} is there{where}")
    return Finding("weights", "ok", f"{start.name}: {found.origin}'s, the run downloads it")


def _modules(chosen: Plan, root: Path) -> list[Finding]:
    """Of the user's own: as far as their source tells, then by building detectors with them."""
    cells = [task.cell for task in chosen.tasks]
    targets = list(dict.fromkeys(name for cell in cells for name in source.targets(cell)))
    problems = [said for target in targets if (said := source.problem(target))]
    if not problems:
        problems = lookup.unbuilt((one for one in cells if isinstance(one, Cell)), root)
    if problems:
        return [Finding("module", "mend", said) for said in problems]
    return [Finding("module", "ok", f"{target} is there, and is built") for target in targets]


def _disk(chosen: Plan, missing: list[Task], root: Path) -> list[Finding]:
    """Whether the results folder can be written and has room for the weights of what is missing."""
    folder = root.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        advice = "choose another folder with --results or $DETBENCH_RESULTS"
        return [Finding("results", "mend", f"{folder} cannot be written: {advice}")]
    trainings = len({task.work for task in missing if task.kind == "train-eval"})
    millions = LIGHT_MILLIONS if chosen.profile.light else PAPER_MILLIONS
    needed = (trainings + CHECKPOINT_COPIES * (trainings > 0)) * millions * BYTES_PER_WEIGHT / 1e3
    free = shutil.disk_usage(folder).free / 1e9
    message = f"{free:.1f} GB free in {folder}, at most {needed:.1f} GB needed"
    if free < needed:
        return [Finding("disk", "mend", f"{message}: free some or choose another --results")]
    return [Finding("disk", "ok", message)]


def _estimate(missing: list[Task], store: Store) -> str:
    # Rows that read out one training in several ways need it once.
    runs = {task.work: task.cell for task in missing if isinstance(task.cell, Cell)}
    cells = list(runs.values())
    if not cells:
        return "nothing to train"
    steps = {count for cell in cells if (count := estimate.iterations(cell)) is not None}
    each = f", {'/'.join(map(str, sorted(steps)))} iterations each" if steps else ""
    spent = estimate.seconds(store, cells[0], store.done())
    return f"{len(cells)} to train{each}; {estimate.remaining(len(cells), spent)}"


def _payload(chosen: Plan, store: Store, findings: list[Finding], guess: str) -> dict[str, Any]:
    cells = [
        {
            "row": row.row.label,
            "kind": task.kind,
            "seed": getattr(task.cell, "seed", None),
            "digest": task.digest,
            "status": store.status(task.digest),
            "same_cell_as": (row.same if task.kind == "train-eval" else "") or None,
        }
        for row in chosen.rows
        for task in (*row.train, *([row.cost] if row.cost else []))
    ]
    cited = [{"row": row.row.label, "reason": row.reason} for row in chosen.rows if not row.train]
    return {
        "table": chosen.table.id,
        "profile": chosen.profile.id,
        "checks": [vars(finding) for finding in findings],
        "cells": cells,
        "cited": cited,
        "estimate": guess,
    }


def _sheet(payload: dict[str, Any]) -> Sheet:
    first: dict[str, str] = {}
    rows = []
    for cell in payload["cells"]:
        shared = first.setdefault(cell["digest"], cell["row"])
        status = cell["status"] if shared == cell["row"] else f"same cell as {shared}"
        kind, digest = common.KINDS[cell["kind"]], short(cell["digest"])
        rows.append((cell["row"], kind, cell["seed"], digest, status))
    heads = columns(row="Row", kind="What", seed=">Seed", digest="Digest", status="Status")
    words = {"ok": "ok", "warning": "warning", "mend": "TO MEND"}
    notes = [
        f"{words[one['status']]}: {one['name']}: {one['message']}" for one in payload["checks"]
    ]
    notes += [f"cited only: {one['row']}: {one['reason']}" for one in payload["cited"]]
    title = f"{payload['table']} under {payload['profile']}"
    return plain(heads, rows, [*notes, f"estimate: {payload['estimate']}"], title, keys=3)
