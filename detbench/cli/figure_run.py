"""``detbench run FIGURE``: train what is missing of a figure's rows, then analyse them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from detbench.analysis import kinds, sheet, summary
from detbench.analysis.files import Looked
from detbench.cli import analyze, common, latency
from detbench.cli.computing import compute, told
from detbench.errors import RecipeError
from detbench.report.formats import FORMATS
from detbench.report.formats.json import to_json
from detbench.results.store import Store

if TYPE_CHECKING:
    from detbench.recipe.figures import Figure, Made
    from detbench.runner.options import Options
    from detbench.runner.plan import Plan, Request


def run(figure: Figure, asked: Request, store: Store, options: Options, format: str) -> None:
    """Run a figure and print its numbers, below what the paper states.

    Raises:
        RecipeError: it is a drawing, or an option of tables is given.
    """
    if figure.drawing:
        raise RecipeError(f"{figure.id} is a drawing, with no data behind it: {figure.drawing}")
    if asked.rows or asked.columns:
        raise RecipeError(f"{figure.id}: --rows and --columns are of tables: leave them out")
    for table, labels in figure.tables.items():
        told(compute(_part(common.plan(replace(asked, table=table)), labels), store, options))
    found = [_made(figure, one, asked, store, options.device) for one in figure.analyses]
    if FORMATS[format].payload:
        common.write(to_json({**figure.model_dump(mode="json"), "analyses": [f[1] for f in found]}))
        return
    for made, _ in found:
        common.emit(made, format)


def _part(plan: Plan, labels: list[str]) -> Plan:
    """Some rows' trainings; costs are not looked at."""
    rows = tuple(replace(row, cost=None) for row in plan.rows if row.row.label in labels)
    return replace(plan, rows=rows)


def _made(figure: Figure, one: Made, asked: Request, store: Store, device: str) -> tuple[Any, Any]:
    """The table of one analysis, and what scripts read."""
    kind = kinds.kind(one.kind)
    given = kinds.settings(kind, [f"{name}={value:g}" for name, value in one.options.items()])
    if kind.needs == "latency":
        latency.time_missing(one.rows, asked, store, device)
    request = analyze.requested(kind, one.rows, asked, (given, Looked(kind.images)), store)
    analysis = analyze.analysed(request, device, asked.data_root)
    numbers = summary.of_kind(kind, analysis)
    title = f"{figure.id}: {figure.title} ({kind.name})"
    made = sheet.sheet(kind, analysis, numbers, title)
    states = f"The paper states: {figure.statement}"
    made = replace(made, notes=(states, *made.notes))
    return made, sheet.payload(kind, analysis, numbers)
