"""``detbench claims``: what is claimed of tables, and what the papers' own numbers say of it."""

from __future__ import annotations

from typing import Annotated

from detbench.cli import common
from detbench.cli.common import argument
from detbench.recipe import load
from detbench.report import claim_sheet, claims

EXAMPLES = (
    "detbench claims tscode-table1",
    "detbench claims",
    "detbench claims my-table.toml",
    "detbench claims --format json",
)


def command(
    tables: Annotated[
        list[str] | None,
        argument(
            "[TABLE]...",
            "Tables, by id or file; by default every one about which something is claimed.",
            complete=common.complete_tables,
        ),
    ] = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Print what is claimed of tables: each claim, where its paper makes it, what it printed, and
    whether its own numbers bear it out.

    A recipe states claims under [[claims]]: docs/recipes.md has their kinds.
    """
    named = dict.fromkeys(tables or load.tables())
    found = [one for name in named for one in claims.printed(load.table(name))]
    if not found:
        common.say("nothing is claimed: docs/recipes.md says how a table states claims")
        if format == "terminal":
            return
    common.emit(claim_sheet.sheet(found), format, claim_sheet.payload(found))
