"""``detbench doctor``: is this machine fit for runs?"""

from __future__ import annotations

import typer

from detbench.cli import common
from detbench.cli.progress_lines import progress_lines
from detbench.report.table import columns, plain

EXAMPLES = (
    "detbench doctor",
    "detbench doctor --data-root /data --results /scratch/results",
    "detbench doctor --format json",
)


def command(
    data_root: common.DataRootOption = None,
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Look at versions, devices, memory, disk, data sets, weights and the stored results.

    PyTorch and torchvision are started, and each device computes a convolution. The results folder
    is written to and locked, where it is there. Exit code 1 if anything is broken.
    """
    from detbench.runner import health

    with progress_lines("looking at this machine"):
        found = list(health.checks(common.data_root(data_root), common.results_root(results)))
    words = {"ok": "ok", "warning": "warning", "broken": "BROKEN"}
    rows = [(one.name, words[one.status], one.message) for one in found]
    notes = [f"{words[one.status]}: {one.name}: {one.advice}" for one in found if one.advice]
    heads = columns(name="What", status="Status", message="Found")
    sheet = plain(heads, rows, notes or ["Nothing to mend."])
    common.emit(sheet, format, [vars(one) for one in found])
    if any(one.status == "broken" for one in found):
        raise typer.Exit(1)
