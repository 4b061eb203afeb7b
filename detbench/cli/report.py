"""``detbench report``: tables from stored measurements; computes nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from detbench.cli import common

EXAMPLES = (
    "detbench report tscode-table1 --profile smoke",
    "detbench report --profile smoke > tables.md",
    "detbench report tscode-table1 --seeds 0,1,2 --format latex",
)


def command(
    tables_: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE]...",
            help="Tables; by default every one of which something is stored.",
            autocompletion=common.complete_tables,
            show_default=False,
        ),
    ] = None,
    profile: common.ProfileOption = None,
    rows: common.RowsOption = None,
    seeds: common.SeedsOption = "0",
    set_: common.SetOption = None,
    dataset: common.DatasetOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "markdown",
) -> None:
    """Print tables from what is stored: measured beside published, blanks with their reason."""
    from detbench.cli import tables
    from detbench.recipe import load
    from detbench.report import ablation, table
    from detbench.results.store import Store
    from detbench.runner import plan

    store = Store(common.results_root(results))
    said_before: set[str] = set()
    plans = []
    for name in tables_ or load.tables():
        chosen, said = plan.choose(
            name,
            profile,
            common.data_root(data_root),
            common.parse_seeds(seeds),
            rows,
            set_ or (),
            dataset,
        )
        if tables_ or plan.started(store, chosen):
            plans.append(chosen)
            if said and said not in said_before:
                said_before.add(said)
                common.say(said)
    if not plans:
        common.say(f"nothing is stored in {store.root}: detbench run tscode-table1 is a start")
    if format == "json" and not (tables_ and len(tables_) == 1):
        common.write(table.to_json([ablation.payload(one, store) for one in plans]))
        return
    for index, one in enumerate(plans):
        if index:
            common.write("\n")
        tables.emit(one, store, format)
