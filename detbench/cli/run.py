"""``detbench run``: compute what is missing of a table, store it, print the table."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from detbench.cli import common
from detbench.cli.common import option, switch

EXAMPLES = (
    "detbench run tscode-table1 --profile smoke",
    "detbench run tscode-table1 --rows 'FCOS*' --seeds 0,1,2",
    "detbench run tscode-table3 --profile paper --data-root /data --device cuda",
    "detbench run tscode-table1 --set training.iterations=100 --format markdown",
    "detbench run tscode-table1 --columns AP,AP50,errors",
    "detbench run my-table.toml --retry-failed",
    "detbench run double-head-figure2 --profile smoke",
    "detbench run tscode-table1 --cell-timeout 30",
    "detbench run tscode-table1 --profile paper --jobs 4 --gpus-per-cell 2",
    "detbench run tscode-table1 --profile paper --launcher ray --ray-address 10.0.0.1:6379",
)


def command(
    table: common.TableArgument,
    profile: common.ProfileOption = None,
    rows: common.RowsOption = None,
    seeds: common.SeedsOption = "0",
    device: common.DeviceOption = "auto",
    set_: common.SetOption = None,
    columns: common.ColumnsOption = None,
    dataset: common.DatasetOption = None,
    jobs: Annotated[
        int | None,
        option(
            "N",
            "Cells at once; by default as many as the GPUs, or the cluster, have room for, and one "
            "per processor for the light network of a small profile.",
            min=1,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        option(
            "N",
            "CPU threads of each process; by default the processors that are free now, shared "
            "among the jobs, and one on a cluster. A training that goes on keeps its number.",
            min=1,
        ),
    ] = None,
    gpus_per_cell: Annotated[
        float,
        option(
            "N",
            "GPUs of each cell, which share its batches by DDP: the same outcome, sooner. A "
            "fraction puts several cells on a GPU. With --device cpu, processes of each cell.",
        ),
    ] = 1,
    launcher: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Where cells run: this machine, or a Ray cluster."),
    ] = "local",
    ray_address: Annotated[
        str | None,
        option("ADDRESS", "Of the Ray cluster; by default $RAY_ADDRESS, else one on this machine."),
    ] = None,
    cell_timeout: Annotated[
        float | None,
        option(
            "MINUTES",
            "End a cell as failed that makes no progress for so long; --retry-failed then goes on "
            "from its checkpoint. By default it is named after five minutes, and waited for.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool, switch("--retry-failed", "Run again what is stored as failed.")
    ] = False,
    fresh: Annotated[
        bool, switch("--fresh", "Forget what is stored of these rows and run them all.")
    ] = False,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Run what is missing of TABLE and print it, measured beside published.

    A figure (detbench list figures) is named likewise: its rows are trained, then analysed.

    Each row and seed is a process of its own and is stored when it is done. Ctrl-C, a crash or a
    power cut lose nothing: the same command goes on from there, and does nothing once all is done.
    """
    from detbench.cli import computing, tables
    from detbench.recipe import figures
    from detbench.report.results import TableResults
    from detbench.results.store import Store
    from detbench.runner.options import Options

    if cell_timeout is not None and not cell_timeout > 0:
        raise typer.BadParameter("give minutes, more than none", param_hint="--cell-timeout")
    root, numbers = common.data_root(data_root), common.parse_seeds(seeds)
    asked = common.request(
        table, profile, root, numbers, set_, rows=rows, dataset=dataset, columns=columns
    )
    store = Store(common.results_root(results))
    options = Options(
        data_root=root,
        device=device,
        jobs=jobs,
        threads=threads,
        retry_failed=retry_failed,
        fresh=fresh,
        gpus_per_cell=gpus_per_cell,
        launcher=launcher,
        ray_address=ray_address,
        cell_timeout=cell_timeout,
    )
    if figure := figures.analysed(table):
        from detbench.cli import figure_run

        figure_run.run(figure, asked, store, options, format)
        return
    chosen = common.plan(asked)
    outcome = computing.compute(chosen, store, options)
    tables.emit(TableResults(chosen, store), format)
    computing.told(outcome)
