"""``detbench claims``: what is claimed of tables, what the papers' own numbers say of it, and what
was measured: supported, contradicted, equivalent or undecided.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from detbench.cli import common
from detbench.cli.common import argument, option, path_option, switch
from detbench.cli.progress_lines import progress_lines
from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.report import claims_page, formats, verdict_sheet
from detbench.report.numbers import PERCENT
from detbench.report.results import TableResults
from detbench.report.table import Sheet
from detbench.report.verdict_sheet import Board
from detbench.results.files import write_atomic
from detbench.results.store import Store
from detbench.runner import plan

EXAMPLES = (
    "detbench claims tscode-table1",
    "detbench claims --profile smoke --seeds 0,1,2 --scoreboard",
    "detbench claims my-table.toml --format json",
    "detbench claims --profile smoke --format html --output claims.html",
    "detbench claims --profile smoke --check docs/claims.md",
)

if TYPE_CHECKING:
    ClaimsFormat = str
else:
    ClaimsFormat = Literal[tuple(formats.FORMATS)]


def command(
    tables: Annotated[
        list[str] | None,
        argument(
            "[TABLE]...",
            "Tables, by id or file; by default every one about which something is claimed.",
            complete=common.complete_tables,
        ),
    ] = None,
    profile: common.ProfileOption = None,
    seeds: common.SeedsOption = "0,1,2",
    margin: Annotated[
        float, option("POINTS", "Differences below it do not matter: equivalent.")
    ] = 0.5,
    looks: common.LooksOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: Annotated[
        ClaimsFormat, typer.Option(help="How it is written; html is a page.")
    ] = "terminal",
    output: Annotated[
        Path | None, path_option("FILE", "Where it goes; by default, or with -, to stdout.")
    ] = None,
    scoreboard: Annotated[
        bool, switch("--scoreboard", "Print how many claims of each paper have each verdict.")
    ] = False,
    check: Annotated[
        Path | None,
        path_option(
            "FILE",
            "Compare the verdicts with those of an earlier --format json, or of docs/claims.md: "
            "exit code 1 where one that was decided there is no longer so.",
        ),
    ] = None,
) -> None:
    """Print what is claimed of tables: each claim, where its paper makes it, what it printed,
    whether its own numbers bear it out, and the verdict of what is measured here.

    A recipe states claims under [[claims]]: docs/recipes.md has their kinds, docs/statistics.md
    the rules of the verdicts. One seed decides nothing.
    """
    if not 0 < margin <= 100:
        raise RecipeError(f"--margin {margin:g}: give points above 0, as in 0.5")
    if format == "html" and output is None and sys.stdout.isatty():
        raise RecipeError("--format html: name a file, as in --output claims.html")
    stated = claims_page.stated(check) if check is not None else None
    numbers = common.parse_seeds(seeds)
    asked = [
        common.request(name, profile, common.data_root(data_root), numbers)
        for name in dict.fromkeys(tables or load.tables())
    ]
    store = Store(common.results_root(results))
    boards = _boards(asked, store, common.terms(looks, None), margin / PERCENT)
    if not any(one.judged for one in boards):
        common.say("nothing is claimed: docs/recipes.md says how a table states claims")
        if format == "terminal":
            return
    if stated is not None:
        _check(stated, boards, str(check))
        return
    _write(boards, store, format, output, scoreboard)


def _boards(
    asked: Sequence[plan.Request], store: Store, terms: common.Terms, margin: float
) -> list[Board]:
    """Each table's verdicts; what is not cached of its trainings is computed.

    Raises:
        RecipeError: a claim tells its analysis what that cannot be told.
    """
    snapshot = store.snapshot()
    from detbench.analysis import answers

    found: list[Board] = []
    said: set[str] = set()
    claiming = [one for one in asked if load.table(one.table).claims]
    if wrong := [said for one in claiming for said in answers.mistakes(load.table(one.table))]:
        raise RecipeError(wrong)
    for request in claiming:
        chosen = plan.choose(request)
        if chosen.said and chosen.said not in said:
            said.add(chosen.said)
            common.say(chosen.said)
        one = TableResults(chosen, snapshot, terms=terms)
        with progress_lines(f"{chosen.table.id}: verdicts from stored detections"):
            found.append(verdict_sheet.board(one, margin))
    return found


def _write(
    boards: Sequence[Board],
    store: Store,
    format: str,
    output: Path | None,
    scoreboard: bool,
) -> None:
    """The claims, or the scoreboard, as they are asked for."""
    scores = verdict_sheet.score_payload(boards)
    sheet: Sheet = verdict_sheet.scoreboard(scores) if scoreboard else verdict_sheet.sheet(boards)
    make = verdict_sheet.score_payload if scoreboard else verdict_sheet.payload
    if formats.FORMATS[format].sheets and output is None:
        common.emit(sheet, format, make(boards) if format == "json" else None)
        return
    if format == "html":
        text = formats.report(formats.Report([], store.root, boards=boards), format)
    elif format == "json":
        text = common.to_json(make(boards))
    else:
        text = formats.render(sheet, format)
    if output is None or str(output) == "-":
        common.write(text)
        return
    write_atomic(output, text.encode())
    common.say(f"{output} is written")


def _check(stated: claims_page.Stated, boards: Sequence[Board], name: str) -> None:
    """Say which verdicts are other than stated; exit 1 where a decided one is."""
    lost, gained = claims_page.changed(stated, boards)
    for line in (*lost, *gained):
        common.write(f"{line}\n")
    count = sum(len(one.judged) for one in boards)
    common.say(
        f"{count} claims against {name}: {len(lost)} decided verdicts are no longer so, "
        f"{len(gained)} are new"
    )
    if lost:
        raise typer.Exit(1)
