"""``detbench report``: tables and plots from stored measurements; computes nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detbench.cli import common, tables
from detbench.cli.common import argument, path_option
from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.report import formats
from detbench.report.judgement import Terms
from detbench.report.results import TableResults
from detbench.report.verdict_sheet import board
from detbench.results.files import write_atomic
from detbench.results.store import Store
from detbench.runner import hint, plan
from detbench.runner.plan import Request

if TYPE_CHECKING:
    from detbench.report.plots.canvas import PictureFormat

EXAMPLES = (
    "detbench report tscode-table1 --profile smoke",
    "detbench report --profile smoke > tables.md",
    "detbench report tscode-table1 --profile smoke --columns +AP60,errors",
    "detbench report tscode-table1 --seeds 0,1,2 --format latex --output table1.tex",
    "detbench report --profile smoke --format html --output report.html",
    "detbench report tscode-table1 --profile smoke --plots plots --plot-format pdf",
)

if TYPE_CHECKING:
    ReportFormat = str
else:
    ReportFormat = Literal[tuple(formats.FORMATS)]


def command(
    tables_: Annotated[
        list[str] | None,
        argument(
            "[TABLE]...",
            "Tables; by default every one of which something is stored.",
            complete=common.complete_tables,
        ),
    ] = None,
    profile: common.ProfileOption = None,
    rows: common.RowsOption = None,
    seeds: common.SeedsOption = "0",
    set_: common.SetOption = None,
    columns: common.ColumnsOption = None,
    dataset: common.DatasetOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    looks: common.LooksOption = None,
    seed_sd: common.SeedSdOption = None,
    format: Annotated[
        ReportFormat | None,
        typer.Option(
            help="How tables are written: by default terminal on one, else markdown; html is one "
            "page with plots."
        ),
    ] = None,
    output: Annotated[
        Path | None, path_option("FILE", "Where tables go; by default, or with -, to stdout.")
    ] = None,
    plots: Annotated[
        Path | None, path_option("DIR", "Write each table's plots into this folder too.")
    ] = None,
    plot_format: Annotated[Literal["svg", "png", "pdf"], typer.Option(help="Of --plots.")] = "svg",
) -> None:
    """Print tables from what is stored: measured beside published, blanks with their reason.

    Bold is every measured row that cannot be told from the best of its column, with one seed none;
    of printed numbers and of costs, the best.
    html is one page without links to anything: tables to sort and
    filter, protocol and provenance of each number, plots, and the verdicts on the tables' claims.
    """
    if format is None:
        format = "terminal" if output is None and sys.stdout.isatty() else "markdown"
    if format == "html" and output is None and sys.stdout.isatty():
        raise RecipeError("--format html: name a file, as in --output report.html")
    store = Store(common.results_root(results))
    root, numbers = common.data_root(data_root), common.parse_seeds(seeds)
    request = common.request(
        "", profile, root, numbers, set_, rows=rows, dataset=dataset, columns=columns
    )
    terms = common.terms(looks, seed_sd)
    found = _tables(tables_, request, store, terms)
    if not found:
        common.say(f"nothing is stored in {store.root}: detbench run tscode-table1 is a start")
    tables.prepare(found)
    for line in tables.unlike(found):
        common.say(line)
    if plots is not None:
        _write_plots(found, plots, plot_format)
    whole = formats.FORMATS[format]
    if whole.payload or not whole.sheets or output is not None:
        boards = [board(one) for one in found if one.plan.table.claims] if format == "html" else []
        single = bool(tables_) and len(found) == 1
        asked = formats.Report(found, store.root, single, boards)
        _write(formats.report(asked, format), output)
        return
    for index, one in enumerate(found):
        common.write("\n" if index else "")
        tables.emit(one, format)
        if tables_ and (advice := hint.rest(one.plan, one.standing)):
            common.say(advice)


def _tables(
    names: list[str] | None,
    request: Request,
    store: Store,
    terms: Terms,
) -> list[TableResults]:
    """The tables that were named, else those of which something is stored."""
    snapshot = store.snapshot()
    found, said = [], set()
    for name in names or load.tables():
        chosen = plan.choose(replace(request, table=name))
        if names or plan.started(store, chosen):
            found.append(TableResults(chosen, snapshot, terms))
            if chosen.said and chosen.said not in said:
                said.add(chosen.said)
                common.say(chosen.said)
    return found


def _write_plots(found: Sequence[TableResults], folder: Path, format: PictureFormat) -> None:
    from detbench.analysis import stored
    from detbench.report.figures import pictures
    from detbench.report.plots import canvas

    for results, drawn in zip(found, map(pictures, found), strict=True):
        analyses = [one.picture for one in stored.of_table(results)]
        for picture in (*drawn.found, *analyses):
            path = folder / f"{picture.name}.{format}"
            write_atomic(path, canvas.save(picture.draw(), format))
            common.say(str(path))
        for reason in drawn.absent:
            common.say(reason)


def _write(text: str, output: Path | None) -> None:
    """To a file, whole or not at all, or to stdout."""
    if output is None or str(output) == "-":
        common.write(text)
        return
    write_atomic(output, text.encode())
    common.say(f"{output} is written")
