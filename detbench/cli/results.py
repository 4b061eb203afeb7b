"""``detbench results``: the stored measurements as files and cells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detbench.cli import common, curve
from detbench.cli.common import argument, option, switch
from detbench.cli.groups import epilog, group
from detbench.cli.progress_lines import progress_lines
from detbench.report.table import Entry, Sheet, columns, number, plain, short, text
from detbench.results import analyses, inventory

if TYPE_CHECKING:
    from detbench.results.merge import Merged
    from detbench.results.prune import Item
    from detbench.results.verify import Finding
    from detbench.runner.stored import Listed

EXAMPLES = (
    "detbench results list",
    "detbench results verify --rescore",
    "detbench results merge /mnt/other/results",
    "detbench results prune --yes",
    curve.EXAMPLES[0],
)
LIST_EXAMPLES = (
    "detbench results list",
    "detbench results list tscode-table1 my-table.toml --profile smoke",
    "detbench results list --status failed --format json",
)
VERIFY_EXAMPLES = (
    "detbench results verify",
    "detbench results verify --rescore --data-root /data",
    "detbench results verify --results results/2026-11-28-smoke-two-cores",
)
MERGE_EXAMPLES = (
    "detbench results merge /mnt/other/results",
    "detbench results merge node1/results node2/results --dry-run",
    "detbench results merge new/results --theirs --work",
)
PRUNE_EXAMPLES = (
    "detbench results prune",
    "detbench results prune --yes",
    "detbench results prune --weights --yes",
    "detbench results prune --detections --weights --yes",
)

app = group("List, verify, merge, prune and export stored measurements.", EXAMPLES)


@app.command("list", epilog=epilog(LIST_EXAMPLES))
def list_(
    tables_: Annotated[
        list[str] | None,
        argument(
            "[TABLE]...",
            "Only cells of these tables: ids, or files of your own; by default every cell.",
            complete=common.complete_tables,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        option("NAME", "Only cells of this profile.", complete=common.complete_profiles),
    ] = None,
    status: Annotated[
        Literal["done", "failed", "skipped", "damaged"] | None,
        typer.Option(help="Only cells of this status."),
    ] = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """List the stored cells: which row of which table, how it ended, when and on what.

    A cell that several tables share is listed once. One that no table has, as after --set, is
    listed last, with the row it is but for some settings; rows of a table of your own have their
    names where that table is given.
    """
    from detbench.runner import stored

    root = common.results_root(results)
    found = stored.cells(root, tables_ or ())
    kept = [
        cell
        for cell in found
        if (not tables_ or cell.names)
        and (not profile or any(name.profile in (profile, "") for name in cell.names))
        and (not status or cell.status == status)
    ]
    common.emit(_list_sheet(kept, root, len(found)), format, [stored.plain(one) for one in kept])


@app.command("verify", epilog=epilog(VERIFY_EXAMPLES))
def verify(
    rescore: Annotated[
        bool, switch("--rescore", "Score the detections again and compare with the stored numbers.")
    ] = False,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Check every file: readable, its checksum, its schema, its cell, its detections.

    Printed are the files with something to say, in json all. Exit code 1 if any cannot be believed.
    """
    from detbench.evaluation.rescore import Rescorer
    from detbench.results.verify import verify as look

    root = common.results_root(results)
    total = len(inventory.scan(inventory.existing(root)).cells)
    found: list[Finding] = []
    cells: set[str] = set()
    with progress_lines(f"verifying {root}") as tell:
        for finding in look(root, Rescorer(common.data_root(data_root)) if rescore else None):
            found.append(finding)
            cells |= {finding.digest} - {""}
            tell(len(cells), total)
    common.emit(_verify_sheet(found, root), format, [vars(one) for one in found])
    if any(finding.status == "bad" for finding in found):
        raise typer.Exit(1)


@app.command("merge", epilog=epilog(MERGE_EXAMPLES))
def merge(
    others: Annotated[
        list[Path], common.path_argument("DIR...", "Results folders to take cells from.")
    ],
    theirs: Annotated[
        bool, switch("--theirs", "Of two measurements that differ, take the other's.")
    ] = False,
    work: Annotated[
        bool, switch("--work", "Also weights, loss curves and logs of their trainings.")
    ] = False,
    dry_run: Annotated[bool, switch("--dry-run", "Only say what would be copied.")] = False,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Copy into this results folder the cells and analyses that others have and it has not.

    Files are verified and copied whole. What is done here stays: where the other folder has other
    numbers for the same cell or analysis, both are named, ours is kept (or theirs taken with
    --theirs). Exit code 1 if any was kept so, or was refused: damaged, or an analysis of a cell
    that has other numbers here, or none there.
    """
    from detbench.results.merge import merge as cells
    from detbench.results.merge_work import merge_work

    root = common.results_root(results)
    for other in others:
        inventory.existing(other)  # all of them before the first file is copied
    found = [one for other in others for one in cells(root, other, theirs, dry_run)]
    files = [path for other in others if work for path in merge_work(root, other, dry_run)]
    sheet = _merge_sheet(found, root, len(files), dry_run)
    common.emit(sheet, format, [vars(one) for one in found])
    if any(one.action in ("kept", "refused") for one in found):
        raise typer.Exit(1)


@app.command("prune", epilog=epilog(PRUNE_EXAMPLES))
def prune(
    yes: Annotated[
        bool, switch("--yes", "Do it; without this, only say what would be done.")
    ] = False,
    dry_run: Annotated[
        bool, switch("--dry-run", "Only say what would be done: the default.")
    ] = False,
    weights: Annotated[
        bool,
        switch(
            "--weights",
            "Also the weights of trainings that are done: evaluating them otherwise then means "
            "training again.",
        ),
    ] = False,
    detections: Annotated[
        bool,
        switch(
            "--detections",
            "Also detections: what reports computed from them stays, so that what was printed is "
            "printed again; other metrics and comparisons then mean evaluating again.",
        ),
    ] = False,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Free what finished cells left behind: temporary files, checkpoints, logs, empty folders.

    Damaged files are moved to a folder 'damaged' beside 'cells', so that their cells are measured
    again. Measurements, loss curves and unfinished trainings are never touched, nor detections
    without --detections.
    """
    from detbench.results import prune as pruning

    if yes and dry_run:
        raise typer.BadParameter("--yes and --dry-run exclude each other", param_hint="--yes")
    root = common.results_root(results)
    items = list(pruning.plan(root, weights, detections))
    if yes:
        items = pruning.carry_out(root, items)
    common.emit(
        _prune_sheet(items, root, yes), format, [vars(one) | {"done": yes} for one in items]
    )


app.command("curve", epilog=epilog(curve.EXAMPLES))(curve.command)


def _list_sheet(cells: list[Listed], root: Path, total: int) -> Sheet:
    rows = []
    timed = any(cell.ms is not None for cell in cells)
    for cell in cells:
        first = cell.names[0] if cell.names else cell.near.name if cell.near else None
        shared = _also([f"{name.table}: {name.row}" for name in cell.names[1:]])
        if cell.near:
            shared = f"this row but for {', '.join(cell.near.differs)}"
        rows.append(
            (
                text(first.table if first else "", shared),
                first.row if first else "",
                first.profile if first else "",
                cell.seed,
                text(cell.status, cell.reason or None),
                number(None if cell.ap is None else 100 * cell.ap, 1),
                number(cell.gflops, 2),
                *([number(cell.ms, 2)] if timed else []),
                cell.ended,
                cell.device,
                short(cell.digest),
            )
        )
    titles = (
        "Table",
        "Row",
        "Profile",
        ">Seed",
        "Status",
        ">AP",
        ">GFLOPs",
        *([">ms"] if timed else []),
        "Ended",
        "On",
        "Digest",
    )
    heads = columns(**{title.lstrip(">").lower(): title for title in titles})
    counts = Counter(cell.status for cell in cells)
    said = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none"
    shown = f"{len(cells)} of {total} cells" if len(cells) < total else f"{total} cells"
    old = sum(bool(cell.mended) for cell in cells)
    more = f" Left out of tables, as a fault was mended since: {old}." if old else ""
    return plain(heads, rows, [f"{shown} in {root}: {said}.{more}"], keys=4)


def _also(places: list[str]) -> str | None:
    """A note on the other rows that a cell is; json names all."""
    if not places:
        return None
    more = f" and {len(places) - 1} more rows" if len(places) > 2 else ""
    return f"also {', '.join(places[:1] if more else places)}{more}"


def _verify_sheet(found: list[Finding], root: Path) -> Sheet:
    rows = [(one.path.name, one.status, one.message) for one in found if one.status != "ok"]
    counts = Counter(one.status for one in found)
    words = {"ok": "sound", "warning": "to know of", "bad": "not to be believed"}
    said = ", ".join(f"{count} {words[status]}" for status, count in sorted(counts.items()))
    notes = [f"{root}: {said or 'no cells'}."]
    if bad := [analyses.FOLDER in one.path.parts[-3:-1] for one in found if one.status == "bad"]:
        makers = [name for name, some in (("run", False), ("analyze", True)) if some in bad]
        again = f"{' or '.join(makers)} measures again"
        notes.append(f"detbench results prune --yes moves damaged files aside; {again}.")
    return plain(columns(file="File", status="Status", message="What"), rows, notes)


def _merge_sheet(found: list[Merged], root: Path, files: int, dry: bool) -> Sheet:
    rows = [
        (str(one.source), common.KINDS[one.kind], _short(one), one.action, one.message)
        for one in found
        if one.action != "same"
    ]
    heads = columns(**{"from": "From"}, what="What", digest="Digest", action="Action", why="Why")
    counts = Counter(one.action for one in found)
    said = ", ".join(f"{count} {action}" for action, count in counts.items()) or "nothing there"
    notes = [f"{root}: {said}{f', {files} files of work' if files else ''}."]
    if counts["kept"]:
        notes.append("kept: ours, as both are done and differ; --theirs takes the other's.")
    if dry:
        notes.append("Nothing was changed: this was --dry-run.")
    return plain(heads, rows, notes, keys=3)


def _short(one: Merged) -> Entry:
    """A cell's digest, or an analysis's kind and key, to read."""
    if one.kind != "analysis":
        return short(one.digest)
    kind, _, key = one.digest.rpartition("-")
    return Entry(f"{kind}-{key[:12]}", one.digest)


def _prune_sheet(items: list[Item], root: Path, done: bool) -> Sheet:
    rows = [
        (
            item.path.relative_to(root).as_posix(),
            item.action,
            Entry(_bytes(item.size), item.size),
            item.why,
        )
        for item in items
    ]
    freed = _bytes(sum(item.size for item in items if item.action == "delete"))
    count = sum(item.action != "keep" for item in items)
    notes = [f"{root}: {count} things, {freed} {'freed' if done else 'to free'}."]
    if count and not done:
        notes.append("Nothing was changed: --yes does it.")
    return plain(columns(path="File", action="Action", size=">Size", why="Why"), rows, notes)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
