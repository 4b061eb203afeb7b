"""``detbench show``: one table or detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detbench.cli import common

if TYPE_CHECKING:
    from detbench.recipe.table import Row, Table
    from detbench.report.table import Entry, Sheet

EXAMPLES = (
    "detbench show tscode-table1",
    "detbench show fcos-r50",
    "detbench show tscode-table1 --format json",
    "detbench show my-table.toml",
)


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="TABLE|DETECTOR",
            help="Id of a table or a detector, or a file of your own.",
            autocompletion=common.complete_any,
            show_default=False,
        ),
    ],
    results: common.ResultsOption = None,
    format: common.FormatOption = "terminal",
) -> None:
    """Show a table: its rows, what each changes, published numbers, settings, notes and cost.

    Of a detector, show every setting and what is published about it.
    """
    from detbench.recipe import load
    from detbench.report.formats.json import to_json

    if _is_detector(name):
        sheet, payload = _detector(name)
        common.emit(sheet, format, payload)
        return
    table = load.table(name)
    if format == "json":
        common.write(to_json(table_payload(table)))
    else:
        below = format == "terminal"
        common.emit(table_sheet(table, common.results_root(results), below), format)


def _is_detector(name: str) -> bool:
    """Whether a name is a detector's; of one that is neither, say what there is."""
    from detbench.errors import RecipeError
    from detbench.recipe import load
    from detbench.recipe.validate import unknown

    if name.endswith(".toml"):
        return Path(name).is_file() and load.kind_of(load.read(Path(name))) == "detector"
    tables, detectors = load.tables(), load.detectors()
    if name not in (*tables, *detectors):
        said = load.another_kind(name, "table", "detector")
        raise RecipeError(said or unknown("table or detector", name, [*tables, *detectors]))
    return name in detectors


def table_payload(table: Table) -> dict[str, Any]:
    """What ``--format json`` prints; the same keys for every table."""
    from detbench.recipe import describe

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
    }


def table_sheet(table: Table, results: Path, below: bool = False) -> Sheet:
    """The table as the paper prints it, with what each row changes.

    Args:
        below: what the rows change stands under the table, which is narrower so.
    """
    from detbench.recipe import describe
    from detbench.recipe.metrics import METRICS
    from detbench.report.table import Column, Sheet, text

    columns = [Column("label", "Row")]
    columns += [Column(f"printed_{name}", name) for name in table.labels]
    columns += [Column(key, METRICS[key].title, "published", right=True) for key in table.columns]
    columns.append(Column("fidelity", "Fidelity"))
    if not below:
        columns.append(Column("changes", "Changes"))
    rows = []
    for row in table.rows:
        entries = [text(row.label, " ".join([*row.notes, row.cited or ""]).strip() or None)]
        entries += [text(row.columns.get(name)) for name in table.labels]
        entries += [_published(row, key) for key in table.columns]
        entries += [text(row.fidelity), text("; ".join(describe.changes(row)))]
        rows.append(tuple(entries[: len(columns)]))
    labels = [row.label for row in table.rows]
    above = _changes(table) if below else []
    schedules = [f"Training ({id}): {line}." for id, line in _schedules(table).items()]
    return Sheet(
        f"{table.id}: {table.title}",
        tuple(columns),
        tuple(rows),
        (
            *above,
            *table.notes,
            *schedules,
            *cost_notes(table, results),
        ),
        frozenset(labels.index(label) for label in table.breaks if label in labels[1:]),
    )


def _changes(table: Table) -> list[str]:
    """What the rows change of their detectors, rows that change the same together."""
    from detbench.recipe import describe

    found: dict[str, list[str]] = {}
    for row in table.rows:
        found.setdefault("; ".join(describe.changes(row)), []).append(row.label)
    return [f"Changed in {', '.join(rows)}: {change}." for change, rows in found.items() if change]


def _published(row: Row, key: str) -> Entry:
    from detbench.recipe.metrics import METRICS
    from detbench.report.table import number

    notes = [found for notes in (row.misprints, row.unmatched) if (found := notes.get(key))]
    return number(row.published.get(key), METRICS[key].digits, " ".join(notes) or None)


def _schedules(table: Table) -> dict[str, str]:
    """Schedule id -> what it does, for the rows that are trained."""
    from detbench.recipe import describe, resolve

    found: dict[str, str] = {}
    for row in table.rows:
        schedule = None if row.cited else resolve.schedule_of(row, table)
        if schedule is not None:
            words = f"{schedule.data.describe()}; {describe.training(schedule.training)}"
            found[schedule.id] = words
    return found


def cost_notes(table: Table, results: Path) -> list[str]:
    """How much there is to run, per profile, and how long one cell took before."""
    from detbench.cli import estimate
    from detbench.recipe import load

    lines = []
    for name in load.profiles():
        guess = estimate.table(table, load.profile(name), results)
        lines.append(f"Cost ({name}): {guess}.")
    return lines


def _detector(name: str) -> tuple[Sheet, dict[str, Any]]:
    from detbench.recipe import load
    from detbench.report.table import Column, Sheet, text

    recipe = load.detector(name)
    settings = recipe.detector.model_dump(mode="json", exclude_none=True)
    rows = tuple((text(key), text(_plain(value))) for key, value in _flat(settings))
    columns = (Column("setting", "Setting"), Column("value", "Value"))
    published = ", ".join(f"{key} {value:g}" for key, value in recipe.published.items())
    notes = (
        f"Source: {recipe.source}. Fidelity: {recipe.fidelity}. Schedule: {recipe.schedule}.",
        *([f"Published: {published}."] if published else []),
        *recipe.notes,
    )
    payload = recipe.model_dump(mode="json", exclude={"detector"})
    return Sheet(f"{recipe.id}: {recipe.title}", columns, rows, notes), {
        **payload,
        "settings": settings,
    }


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
