"""``detbench results curve``: losses and scores of trainings for TensorBoard, Trackio or W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from detbench.cli import common
from detbench.cli.common import argument, path_option

EXAMPLES = (
    "detbench results curve runs/fcos-r50-smoke-0 --to tensorboard --output logs",
    "detbench results curve 'tscode-table1:FCOS' 'tscode-table1:FCOS + DPE' --profile smoke "
    "--seeds 0,1,2 --to wandb --output logs",
)


def command(
    trainings: Annotated[
        list[str],
        argument(
            "TRAINING...",
            "Folders of detbench train, rows as in tscode-table1:FCOS, or beginnings of digests "
            "that detbench results list shows.",
        ),
    ],
    to: Annotated[
        Literal["tensorboard", "trackio", "wandb"],
        typer.Option(help="Whose files: of an extra, pip install 'detbench[tensorboard]'."),
    ],
    output: Annotated[Path, path_option("DIR", "A new folder for them.")],
    profile: common.ProfileOption = None,
    seeds: common.SeedsOption = "0",
    set_: common.SetOption = None,
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
) -> None:
    """Export the curves of trainings, done or not, to TensorBoard, Trackio or Weights & Biases.

    Losses and learning rate of each iteration, and the scores of each validation
    (training.validation), from curve.jsonl, as train/NAME and val/METRIC. Files are written into
    the folder and nothing is sent: `tensorboard --logdir DIR`, `wandb sync DIR/wandb/offline-run-*`
    and `TRACKIO_DIR=DIR trackio show` are yours to run.
    """
    from detbench.report import curve_sources, tracking
    from detbench.results.store import Store

    store = Store(common.results_root(results))
    root, numbers = common.data_root(data_root), common.parse_seeds(seeds)

    found = [
        source
        for name in trainings
        for source in curve_sources.find(
            name,
            store,
            lambda table: common.plan(common.request(table, profile, root, numbers, set_)),
        )
    ]
    tracking.export(to, found, output)
    common.say(f"{output}: {len(found)} curve{'' if len(found) == 1 else 's'} for {to}")
