"""``detbench results``: the stored measurements as files and cells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import common
from detbench.cli.groups import epilog, group

if TYPE_CHECKING:
    from detbench.report.table import Sheet
    from detbench.results.merge import Merged
    from detbench.results.prune import Item
    from detbench.results.verify import Finding
    from detbench.runner.stored import Listed

EXAMPLES = (
    "detbench results list",
    "detbench results verify --rescore",
    "detbench results merge /mnt/other/results",
    "detbench results prune --yes",
)
LIST_EXAMPLES = (
    "detbench results list",
    "detbench results list tscode-table1 my-table.toml --profile smoke",
    "detbench results list --status failed --format json",
)
VERIFY_EXAMPLES = (
    "detbench results verify",
    "detbench results verify --rescore --data-root /data",
    "detbench results verify --results results/2026-11-20-smoke-two-cores",
)
MERGE_EXAMPLES = (
    "detbench results merge /mnt/other/results",
    "detbench results merge node1/results node2/results --results results --dry-run",
    "detbench results merge new/results --theirs --work",
)
PRUNE_EXAMPLES = (
    "detbench results prune",
    "detbench results prune --yes",
    "detbench results prune --weights --yes",
)

app = group("List, verify, merge and prune stored measurements.", EXAMPLES)


@app.command("list", epilog=epilog(LIST_EXAMPLES))
def list_(
    tables_: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE]...",
            help="Only cells of these tables: ids, or files of your own; by default every cell.",
            autocompletion=common.complete_tables,
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Only cells of this profile.",
            autocompletion=common.complete_profiles,
            show_default=False,
        ),
    ] = None,
    status: Annotated[
        Literal["done", "failed", "skipped", "damaged"] | None,
        typer.Option("--status", help="Only cells of this status.", show_default=False),
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
        bool,
        typer.Option(
            "--rescore", help="Score the detections again and compare with the stored numbers."
        ),
    ] = False,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Check every file: readable, its checksum, its schema, its cell, its detections.

    Printed are the files with something to say, in json all. Exit code 1 if any cannot be believed.
    """
    from detbench.cli.progress_lines import progress_lines
    from detbench.evaluation.rescore import Rescorer
    from detbench.results import inventory
    from detbench.results.verify import verify as look

    root = common.results_root(results)
    total = len(inventory.scan(inventory.existing(root)).cells)
    found: list[Finding] = []
    with progress_lines(f"verifying {root}") as tell:
        for finding in look(root, Rescorer(common.data_root(data_root)) if rescore else None):
            found.append(finding)
            tell(len({one.digest for one in found if one.digest}), total)
    payload = [{**vars(one), "path": str(one.path)} for one in found]
    common.emit(_verify_sheet(found, root), format, payload)
    if any(finding.status == "bad" for finding in found):
        raise typer.Exit(1)


@app.command("merge", epilog=epilog(MERGE_EXAMPLES))
def merge(
    others: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Results folders to take cells from.", show_default=False
        ),
    ],
    theirs: Annotated[
        bool,
        typer.Option("--theirs", help="Of two measurements that differ, take the other's."),
    ] = False,
    work: Annotated[
        bool, typer.Option("--work", help="Also weights, loss curves and logs of their trainings.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be copied.")
    ] = False,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Copy into this results folder the cells that others have and it has not.

    Files are verified and copied whole. What is done here stays: where the other folder has other
    numbers for the same cell, both are named, ours is kept (or theirs taken with --theirs). Exit
    code 1 if any cell was kept so, or was refused as damaged.
    """
    from detbench.results import inventory
    from detbench.results.merge import merge as cells
    from detbench.results.merge import merge_work

    root = common.results_root(results)
    for other in others:
        inventory.existing(other)  # all of them before the first file is copied
    found = [one for other in others for one in cells(root, other, theirs, dry_run)]
    files = [path for other in others if work for path in merge_work(root, other, dry_run)]
    payload = [{**vars(one), "source": str(one.source)} for one in found]
    common.emit(_merge_sheet(found, root, len(files), dry_run), format, payload)
    if any(one.action in ("kept", "refused") for one in found):
        raise typer.Exit(1)


@app.command("prune", epilog=epilog(PRUNE_EXAMPLES))
def prune(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only say what would be done.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done: the default.")
    ] = False,
    weights: Annotated[
        bool,
        typer.Option(
            "--weights",
            help="Also the weights of trainings that are done: evaluating them otherwise then "
            "means training again.",
        ),
    ] = False,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Free what finished cells left behind: temporary files, checkpoints, logs, empty folders.

    Damaged files are moved to a folder 'damaged' beside 'cells', so that their cells are measured
    again. Measurements, detections, loss curves and unfinished trainings are never touched.
    """
    from detbench.results import prune as pruning

    if yes and dry_run:
        raise typer.BadParameter("--yes and --dry-run exclude each other", param_hint="--yes")
    root = common.results_root(results)
    items = list(pruning.plan(root, weights))
    if yes:
        items = pruning.carry_out(root, items)
    payload = [{**vars(one), "path": str(one.path), "done": yes} for one in items]
    common.emit(_prune_sheet(items, root, yes), format, payload)


def _list_sheet(cells: list[Listed], root: Path, total: int) -> Sheet:
    from detbench.report.table import Column, Entry, Sheet, number, text

    rows = []
    for cell in cells:
        first = cell.names[0] if cell.names else cell.near.name if cell.near else None
        shared = _also([f"{name.table}: {name.row}" for name in cell.names[1:]])
        if cell.near:
            shared = f"this row but for {', '.join(cell.near.differs)}"
        rows.append(
            (
                text(first.table if first else "", shared),
                text(first.row if first else ""),
                text(first.profile if first else ""),
                Entry("" if cell.seed is None else str(cell.seed), cell.seed),
                text(cell.status, cell.reason or None),
                number(None if cell.ap is None else 100 * cell.ap, 1),
                number(cell.gflops, 2),
                text(cell.ended),
                text(cell.device),
                Entry(cell.digest[:12], cell.digest),
            )
        )
    titles = ("Table", "Row", "Profile", "Seed", "Status", "AP", "GFLOPs", "Ended", "On", "Digest")
    right = ("Seed", "AP", "GFLOPs")
    columns = tuple(Column(one.lower(), one, right=one in right) for one in titles)
    counts = Counter(cell.status for cell in cells)
    said = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none"
    shown = f"{len(cells)} of {total} cells" if len(cells) < total else f"{total} cells"
    old = sum(bool(cell.mended) for cell in cells)
    more = f" Left out of tables, as a fault was mended since: {old}." if old else ""
    return Sheet("", columns, tuple(rows), (f"{shown} in {root}: {said}.{more}",))


def _also(places: list[str]) -> str | None:
    """A note on the other rows that a cell is; json names all."""
    if not places:
        return None
    more = f" and {len(places) - 1} more rows" if len(places) > 2 else ""
    return f"also {', '.join(places[:1] if more else places)}{more}"


def _verify_sheet(found: list[Finding], root: Path) -> Sheet:
    from detbench.report.table import Column, Sheet, text

    rows = tuple(
        (text(one.path.name), text(one.status), text(one.message))
        for one in found
        if one.status != "ok"
    )
    columns = (Column("file", "File"), Column("status", "Status"), Column("message", "What"))
    counts = Counter(one.status for one in found)
    words = {"ok": "sound", "warning": "to know of", "bad": "not to be believed"}
    said = ", ".join(f"{count} {words[status]}" for status, count in sorted(counts.items()))
    notes = [f"{root}: {said or 'no cells'}."]
    if counts["bad"]:
        notes.append("detbench results prune --yes moves damaged files aside; run measures again.")
    return Sheet("", columns, rows, tuple(notes))


def _merge_sheet(found: list[Merged], root: Path, files: int, dry: bool) -> Sheet:
    from detbench.report.table import Column, Entry, Sheet, text

    rows = tuple(
        (
            text(str(one.source)),
            text({"train-eval": "train, evaluate", "cost": "count"}[one.kind]),
            Entry(one.digest[:12], one.digest),
            text(one.action),
            text(one.message),
        )
        for one in found
        if one.action != "same"
    )
    titles = ("From", "What", "Digest", "Action", "Why")
    columns = tuple(Column(one.lower(), one) for one in titles)
    counts = Counter(one.action for one in found)
    said = ", ".join(f"{count} {action}" for action, count in counts.items()) or "nothing there"
    notes = [f"{root}: {said}{f', {files} files of work' if files else ''}."]
    if counts["kept"]:
        notes.append("kept: ours, as both are done and differ; --theirs takes the other's.")
    if dry:
        notes.append("Nothing was changed: this was --dry-run.")
    return Sheet("", columns, rows, tuple(notes))


def _prune_sheet(items: list[Item], root: Path, done: bool) -> Sheet:
    from detbench.report.table import Column, Entry, Sheet, text

    rows: list[tuple[Any, ...]] = [
        (
            text(item.path.relative_to(root).as_posix()),
            text(item.action),
            Entry(_bytes(item.size), item.size),
            text(item.why),
        )
        for item in items
    ]
    columns = (
        Column("path", "File"),
        Column("action", "Action"),
        Column("size", "Size", right=True),
        Column("why", "Why"),
    )
    freed = _bytes(sum(item.size for item in items if item.action == "delete"))
    notes = [f"{root}: {len(items)} things, {freed} {'freed' if done else 'to free'}."]
    if items and not done:
        notes.append("Nothing was changed: --yes does it.")
    return Sheet("", columns, tuple(rows), tuple(notes))


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
