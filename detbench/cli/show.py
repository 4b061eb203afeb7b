"""``detbench show``: one table or detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from detbench.cli import common, estimate
from detbench.cli.common import argument
from detbench.recipe import describe, figures, load, resolve
from detbench.recipe.metrics import METRICS
from detbench.recipe.table import Row, Table
from detbench.report.formats.json import to_json
from detbench.report.table import Column, Entry, Sheet, columns, number, plain, text

EXAMPLES = (
    "detbench show tscode-table1",
    "detbench show fcos-r50",
    "detbench show tscode-table1 --format json",
    "detbench show my-table.toml",
    "detbench show double-head-figure2",
)


def command(
    name: Annotated[
        str,
        argument(
            "TABLE|DETECTOR",
            "Id of a table, a detector or a figure, or a file of your own.",
            complete=common.complete_any,
        ),
    ],
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Show a table: its rows, what each changes, published numbers, settings, notes and cost.

    Of a detector, show every setting and what is published about it.
    """
    if figure := figures.analysed(name):
        sheet, payload = _figure(figure)
        common.emit(sheet, format, payload)
        return
    if load.table_or_detector(name) == "detector":
        sheet, payload = _detector(name)
        common.emit(sheet, format, payload)
        return
    table = load.table(name)
    if format == "json":
        common.write(to_json(table_payload(table)))
    else:
        below = format == "terminal"
        common.emit(table_sheet(table, common.results_root(results), below), format)


def _figure(figure: figures.Figure) -> tuple[Sheet, dict[str, Any]]:
    """What a figure states, and how it is made here."""
    rows = [
        (one.kind, row, ", ".join(f"{name} {value:g}" for name, value in one.options.items()))
        for one in figure.analyses
        for row in one.rows
    ]
    states = f"The paper: {figure.statement}" if figure.statement else ""
    made = f"detbench run {figure.id}: trains what is missing of these rows, then analyses them."
    if figure.drawing:
        made = f"A drawing, with no data behind it: {figure.drawing}."
    notes = [states, made, f"{figure.pictures}." if figure.pictures else ""]
    heads = columns(kind="Analysis", row="Row", options="Settings")
    title = f"{figure.id}: {figure.title}"
    return plain(heads, rows, [one for one in notes if one], title), figure.model_dump(mode="json")


def table_payload(table: Table) -> dict[str, Any]:
    """What ``--format json`` prints; the same keys for every table."""
    return {
        "id": table.id,
        "paper": table.paper,
        "title": table.title,
        "columns": list(table.columns),
        "rows": [
            {
                "label": row.label,
                "settings": describe.settings(row, table),
                "published": row.published,
                "fidelity": row.fidelity,
                "changes": describe.changes(row),
                "printed": row.columns,
                "misprints": row.misprints,
                "unmatched": row.unmatched,
                "cited": row.cited,
                "notes": list(row.notes),
            }
            for row in table.rows
        ],
        "input": table.input,
        "schedules": _schedules(table),
        "notes": list(table.notes),
        "claims": len(table.claims),
    }


def table_sheet(table: Table, results: Path, below: bool = False) -> Sheet:
    """The table as the paper prints it, with what each row changes.

    Args:
        below: what the rows change stands under the table, which is narrower so.
    """
    heads = (
        Column("label", "Row"),
        *(Column(f"printed_{name}", name) for name in table.labels),
        *(Column(key, METRICS[key].title, "published", right=True) for key in table.columns),
        Column("fidelity", "Fidelity"),
        *(() if below else [Column("changes", "Changes")]),
    )
    rows = [
        (
            text(row.label, " ".join([*row.notes, row.cited or ""]).strip() or None),
            *(row.columns.get(name) for name in table.labels),
            *(_published(row, key) for key in table.columns),
            row.fidelity,
            *(() if below else ["; ".join(describe.changes(row))]),
        )
        for row in table.rows
    ]
    notes = (
        *(_changes(table) if below else []),
        *table.notes,
        *(f"Training ({id}): {line}." for id, line in _schedules(table).items()),
        *cost_notes(table, results),
        *claim_notes(table),
    )
    labels = [row.label for row in table.rows]
    breaks = frozenset(labels.index(label) for label in table.breaks if label in labels[1:])
    return replace(plain(heads, rows, notes, f"{table.id}: {table.title}"), breaks=breaks)


def _changes(table: Table) -> list[str]:
    """What the rows change of their detectors, rows that change the same together."""
    found: dict[str, list[str]] = {}
    for row in table.rows:
        found.setdefault("; ".join(describe.changes(row)), []).append(row.label)
    return [f"Changed in {', '.join(rows)}: {change}." for change, rows in found.items() if change]


def _published(row: Row, key: str) -> Entry:
    notes = [found for notes in (row.misprints, row.unmatched) if (found := notes.get(key))]
    return number(row.published.get(key), METRICS[key].digits, " ".join(notes) or None)


def _schedules(table: Table) -> dict[str, str]:
    """Schedule id -> what it does, for the rows that are trained."""
    found: dict[str, str] = {}
    for row in table.rows:
        schedule = None if row.cited else resolve.schedule_of(row, table)
        if schedule is not None:
            words = f"{schedule.data.describe()}; {describe.training(schedule.training)}"
            found[schedule.id] = words
    return found


def cost_notes(table: Table, results: Path) -> list[str]:
    """How much there is to run, per profile, how long one cell took before, and what it reached."""
    guesses = {name: estimate.table(table, load.profile(name), results) for name in load.profiles()}
    costs = [f"Cost ({name}): {guess}." for name, guess in guesses.items()]
    stores = [results, *estimate.below(results)]
    return costs + [
        f"Measured ({name}): {said}."
        for name in load.profiles()
        for said in estimate.measured(table, load.profile(name), stores)
    ]


def claim_notes(table: Table) -> list[str]:
    """How many claims about it a table carries, if any."""
    count = len(table.claims)
    where = f"detbench claims {table.id}" if table.paper != "own" else "detbench claims FILE"
    return [f"Claims: {count} ({where})."] if count else []


def _detector(name: str) -> tuple[Sheet, dict[str, Any]]:
    recipe = load.detector(name)
    settings = recipe.detector.model_dump(mode="json", exclude_none=True)
    rows = [(key, _plain(value)) for key, value in _flat(settings)]
    numbers = {key: number(value, METRICS[key].digits) for key, value in recipe.published.items()}
    published = ", ".join(f"{key} {one.text}" for key, one in numbers.items())
    notes = (
        f"Source: {recipe.source}. Fidelity: {recipe.fidelity}. Schedule: {recipe.schedule}.",
        *([f"Published: {published}."] if published else []),
        *recipe.notes,
    )
    heads = columns(setting="Setting", value="Value")
    payload = recipe.model_dump(mode="json", exclude={"detector"}) | {"settings": settings}
    return plain(heads, rows, notes, f"{recipe.id}: {recipe.title}"), payload


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        inner = isinstance(value, dict)
        found += _flat(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return found


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
