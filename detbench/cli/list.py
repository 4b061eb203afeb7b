"""``detbench list``: the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from detbench.cli import common

if TYPE_CHECKING:
    from detbench.report.table import Sheet

EXAMPLES = (
    "detbench list",
    "detbench list detectors",
    "detbench list datasets --data-root /data",
    "detbench list tables --format json",
)


def command(
    what: Annotated[
        Literal["tables", "detectors", "datasets"],
        typer.Argument(help="What to list.", metavar="[tables|detectors|datasets]"),
    ] = "tables",
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """List what there is: tables with what is measured so far, detectors, or data sets."""
    if what == "tables":
        sheet, payload = _tables(common.results_root(results))
    elif what == "detectors":
        sheet, payload = _detectors()
    else:
        sheet, payload = _datasets(common.data_root(data_root))
    common.emit(sheet, format, payload)


def _tables(results: Path) -> tuple[Sheet, Any]:
    from detbench.recipe import catalogue, load
    from detbench.report.table import Column, Entry, Sheet, text

    done = measured(results)
    known = catalogue.digests(results / "work" / "catalogue.json") if done else {}
    rows, payload = [], []
    for name in load.tables():
        table = load.table(name)
        runnable = sum(row.cited is None for row in table.rows)
        counts = {
            profile: count
            for profile, digests in known.get(name, {}).items()
            if (count := len(done.intersection(digests)))
        }
        listed = ", ".join(f"{profile} {count}" for profile, count in counts.items())
        rows.append(
            (
                text(table.id),
                text(table.paper),
                text(table.title),
                Entry(str(len(table.rows)), len(table.rows)),
                Entry(str(runnable), runnable),
                Entry(listed or "-", listed or None),
            )
        )
        payload.append(
            {
                "id": table.id,
                "paper": table.paper,
                "title": table.title,
                "rows": len(table.rows),
                "runnable": runnable,
                "measured": counts,
            }
        )
    columns = (
        Column("id", "Table"),
        Column("paper", "Paper"),
        Column("title", "Title"),
        Column("rows", "Rows", right=True),
        Column("runnable", "Run here", right=True),
        Column("measured", "Measured"),
    )
    note = f"Measured: cells per profile with seed 0 in {results}; rows may share one."
    return Sheet("", columns, tuple(rows), (note,)), payload


def measured(results: Path) -> set[str]:
    """Digests of the cells that are done, by file names alone; empty without a store."""
    from detbench.results.store import Store

    return {digest for digest, status in Store(results).listing().items() if status == "done"}


def _detectors() -> tuple[Sheet, Any]:
    from detbench.recipe import load
    from detbench.report.table import Column, Sheet, number, text

    rows, payload = [], []
    for name in load.detectors():
        recipe = load.detector(name)
        figures = recipe.published
        rows.append(
            (
                text(recipe.id),
                text(recipe.title),
                number(figures.get("AP"), 1),
                number(figures.get("gflops"), 2),
                number(figures.get("params_m"), 2),
                text(recipe.fidelity),
            )
        )
        payload.append(
            {
                "id": recipe.id,
                "title": recipe.title,
                "source": recipe.source,
                "published": figures,
                "fidelity": recipe.fidelity,
                "notes": list(recipe.notes),
            }
        )
    columns = (
        Column("id", "Detector"),
        Column("title", "Title"),
        Column("AP", "AP", "published", right=True),
        Column("gflops", "GFLOPs", "published", right=True),
        Column("params_m", "Params (M)", "published", right=True),
        Column("fidelity", "Fidelity"),
    )
    note = "Published: COCO val2017; GFLOPs at 1280x800; trainable parameters."
    return Sheet("", columns, tuple(rows), (note,)), payload


def _datasets(root: Path) -> tuple[Sheet, Any]:
    from detbench.data.kinds import named
    from detbench.report.table import Column, Sheet, text

    payload: list[dict[str, Any]] = []
    for name, data in named().items():
        problem = data.why_missing(root)
        state = {"id": name, "title": data.what, "found": problem is None, "why": problem or ""}
        payload.append(state)
    rows = [
        (text(one["id"]), text(one["title"]), text("yes" if one["found"] else "no", one["why"]))
        for one in payload
    ]
    columns = (Column("id", "Data set"), Column("title", "What"), Column("found", "Found"))
    note = "Any other in COCO's JSON: --dataset coco:ANNOTATIONS.json:IMAGES_DIR"
    return Sheet("", columns, tuple(rows), (note,)), payload
