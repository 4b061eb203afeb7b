"""The plots that a table's stored numbers allow, and why the others are not there.

What is drawn is read here; how, in ``detbench.report.plots``. Published numbers get axes of their
own, and a row that is not done is in no plot.
"""

from __future__ import annotations

from dataclasses import dataclass

from detbench.report.figures import clouds, lines, rows
from detbench.report.figures.source import Picture, Source
from detbench.report.results import TableResults


@dataclass(frozen=True)
class Pictures:
    """A table's plots, and a sentence for each that cannot be drawn."""

    found: tuple[Picture, ...]
    absent: tuple[str, ...]


def pictures(results: TableResults) -> Pictures:
    """Everything that can be drawn of a table."""
    source = Source(results)
    if len(results.data_sets) > 1:
        # One pair of axes would set side by side what cannot be compared.
        return Pictures(
            (), (f"No plots: rows are measured on {results.measured_on}: choose some by --rows.",)
        )
    # A page too small for all of them leaves out the last.
    made = (
        clouds.of_cost(source),
        clouds.of_latency(source),
        rows.of_differences(source),
        *rows.of_grid(source),
        lines.of_thresholds(source),
        lines.of_sizes(source),
        rows.of_errors(source),
        lines.of_losses(source),
        lines.of_sizes_and_thresholds(source),
    )
    return Pictures(
        tuple(one for one in made if isinstance(one, Picture)),
        tuple(one for one in made if isinstance(one, str)),
    )
