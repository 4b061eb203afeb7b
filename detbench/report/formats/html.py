"""One page with everything: tables that sort and filter, provenance behind each number, plots.

The page is a single file that loads nothing from anywhere, and its policy forbids it to. Whatever
many cells share (a recipe's stages, versions) is in it once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from detbench import __version__
from detbench.recipe.metrics import COSTS
from detbench.report import (
    ablation,
    best,
    figures,
    intervals,
    other_profiles,
    page_tables,
    verdict_sheet,
)
from detbench.report.best import PREFIX
from detbench.report.differences import Change
from detbench.report.figures import Pictures
from detbench.report.figures.source import Picture
from detbench.report.formats import Report
from detbench.report.latency_sheet import sheet as latencies
from detbench.report.numbers import RowNumbers
from detbench.report.plots import canvas
from detbench.report.results import TableResults
from detbench.report.table import Column, Entry, Sheet
from detbench.report.verdict_sheet import Board
from detbench.results.schema import Measurement
from detbench.results.store import Stored
from detbench.runner import hint
from detbench.runner.plan import Plan, standing

PAPERS = {
    "tscode": "TSCODE (Zhuang et al. 2023)",
    "tsd": "TSD (Song et al. 2020)",
    "decoupled-rcnn": "Decoupled R-CNN (Wang et al. 2022)",
    "ddod": "DDOD (Chen et al. 2021)",
    "double-head": "Double-Head R-CNN (Wu et al. 2020)",
    "beyond": "no paper",
    "own": "your own recipe",
}
LISTED = 5
"""Failed cells named above a table; the others are in its footnotes."""
LARGE = 12_000
"""Bytes from which on a drawing is compared with its PNG."""
FEW, MANY = 32, 200
"""Colours of a picture as pixels, and of one that shows photographs."""
ROOM = 1_800_000
"""Characters that all plots of a page may take together."""


def report(asked: Report) -> str:
    """The whole page, a section for each table; without any, it says that nothing is stored."""
    facts = _Facts()
    room = ROOM // max(1, len(asked.tables))
    sections = [_section(one, facts, room) for one in asked.tables]
    one = sections[0]["title"] if len(sections) == 1 else "Tables" if sections else "Claims"
    return _template().render(
        title=f"detbench: {one}",
        heading="Measured with detbench",
        version=__version__,
        store=str(asked.root),
        empty=f"Nothing is stored in {asked.root}: detbench run tscode-table1 is a start.",
        sections=sections,
        claims=_claims(asked.boards),
        facts=_script_safe(facts.plain()),
        css=_file("report.css"),
        script=_file("report.js"),
    )


def _claims(boards: Sequence[Board]) -> dict[str, Any] | None:
    """The scoreboard, by paper and by table, and every claim; none without claims."""
    if not any(one.judged for one in boards):
        return None
    scores = verdict_sheet.score_payload(boards)
    by_table = verdict_sheet.scoreboard(scores, "table") if len(scores) > 1 else None
    return {
        "scores": page_tables.halves(verdict_sheet.scoreboard(scores)),
        "tables": by_table and page_tables.halves(by_table),
        "all": page_tables.words(verdict_sheet.sheet(boards)),
    }


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("detbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html")


def _file(name: str) -> Any:
    """A style sheet or script of ours, to be set into the page as it is."""
    from importlib.resources import files

    import markupsafe

    text = files("detbench.report").joinpath("templates", name).read_text(encoding="utf-8")
    return markupsafe.Markup(text)


def _script_safe(plain: Any) -> Any:
    """JSON that cannot end the script element it stands in."""
    import markupsafe

    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return markupsafe.Markup(text)


class _Facts:
    """What the script needs to show where a number comes from, each thing once."""

    def __init__(self) -> None:
        self.numbers: list[dict[str, Any]] = []
        self.cells: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, int] = {}

    def number(self, found: dict[str, Any]) -> int:
        """Keep what one entry shows; its index."""
        self.numbers.append({key: self._share(item) for key, item in found.items()})
        return len(self.numbers) - 1

    def cell(self, stored: Stored) -> None:
        """Keep a stored cell's numbers, protocol and provenance."""
        first = stored.rows[0]
        if first.digest in self.cells:
            return
        self.cells[first.digest] = {
            "kind": first.kind,
            "seed": first.seed,
            "status": first.status,
            "reason": stored.reason,
            "protocol": self._share(first.protocol),
            "provenance": self._share(first.provenance),
            "metrics": {row.metric: self._metric(row, first) for row in stored.rows},
        }

    def _metric(self, row: Measurement, first: Measurement) -> dict[str, Any]:
        found: dict[str, Any] = {"value": row.value, "unit": row.unit}
        if row.value is None:
            found["reason"] = row.reason
        if row.protocol != first.protocol:
            found["protocol"] = self._share(row.protocol)
        return found

    def _share(self, value: Any) -> Any:
        """A value whose larger parts are replaced by ``{"$": index in shared}``."""
        inner = value
        if isinstance(value, list):
            inner = [self._share(item) for item in value]
        elif isinstance(value, dict):
            inner = {key: self._share(item) for key, item in value.items()}
        text = json.dumps(inner, ensure_ascii=False)
        if len(text) < 40:
            return inner
        return {"$": self.shared.setdefault(text, len(self.shared))}

    def plain(self) -> dict[str, Any]:
        shared = [json.loads(text) for text in self.shared]
        return {"numbers": self.numbers, "cells": self.cells, "shared": shared}


def _section(results: TableResults, facts: _Facts, room: int) -> dict[str, Any]:
    plan, pictures = results.plan, figures.pictures(results)
    sheet = page_tables.main_first(best.mark(ablation.sheet(results)), results.main_metric)
    kinds = page_tables.kinds(sheet)
    drawn, left_out = _pictures(plan, pictures, room)
    for row in results.rows:
        for stored in (*row.stored, *([row.cost] if row.cost else [])):
            facts.cell(stored)
    return {
        "id": plan.table.id,
        "title": sheet.title,
        "profile": plan.profile.id,
        "standing": ablation.status_line(results).removeprefix("Cells: ").rstrip("."),
        "notices": notices(results),
        "groups": page_tables.groups(sheet),
        "columns": [
            {
                "key": column.key,
                "title": column.title,
                "group": column.group.replace("\n", " "),
                "kind": kind,
            }
            for column, kind in zip(sheet.columns, kinds, strict=True)
        ],
        "rows": [_row(results, sheet, index, facts) for index in range(len(sheet.rows))],
        "footnotes": sheet.footnotes,
        "notes": sheet.notes,
        "effects": page_tables.plain(ablation.effects_sheet(results)),
        "latency": page_tables.plain(latencies(results)),
        "pictures": drawn,
        "absent": [*pictures.absent, *left_out],
        "analyses": _analyses(results),
    }


def _analyses(results: TableResults) -> list[dict[str, Any]]:
    """What is stored of the rows in analyses: pictures, each with its numbers."""
    from detbench.analysis import stored

    return [
        {"picture": _picture(one.picture), **(page_tables.plain(one.sheet) or {})}
        for one in stored.of_table(results)
    ]


def notices(results: TableResults) -> list[str]:
    """What a reader must know before the numbers: nothing, half or not all of it is measured."""
    plan, store = results.plan, results.store
    tasks = [task for row in plan.rows for task in row.train]
    stand = standing(store, {task.digest: task for task in tasks}.values())
    total = len(stand.done) + len(stand.failed) + len(stand.missing)
    command = hint.run(plan)
    found = []
    if not total:
        found.append("Cited only: no row of this table runs here.")
    elif not stand.done and not stand.failed:
        found.append(f"Nothing of this table is measured with profile {plan.profile.id}: {command}")
    elif stand.missing:
        found.append(
            f"Not complete: {len(stand.missing)} of {total} trainings are missing, and their rows "
            f"are blank: {command}"
        )
    for task in stand.failed[:LISTED]:
        stored = store.get(task.digest)
        found.append(f"Failed: {task.label}: {stored.reason if stored else ''}")
    if len(stand.failed) > LISTED:
        found.append(f"{len(stand.failed) - LISTED} more failed: see the footnotes.")
    other = other_profiles.sentence(results.other_profiles)
    return [*found, other] if other else found


def _row(results: TableResults, sheet: Sheet, index: int, facts: _Facts) -> dict[str, Any]:
    row = results.rows[index]
    cells: list[dict[str, Any]] = []
    shown = zip(sheet.columns, page_tables.kinds(sheet), sheet.rows[index], strict=True)
    for column, kind, entry in shown:
        info = None
        if column.right and (entry.text or entry.note):
            info = facts.number(_info(results, row, column, entry))
        numeric = isinstance(entry.value, int | float) and column.right
        cells.append(
            {
                "tag": "td" if cells else "th",
                "kind": kind,
                "text": entry.text,
                "value": entry.value if numeric else None,
                "strong": entry.strong,
                "note": entry.note,
                "mark": sheet.footnotes.index(entry.note) + 1 if entry.note else 0,
                "info": info,
            }
        )
    return {"cells": cells, "break": index in sheet.breaks, "status": row.status}


def _info(results: TableResults, row: RowNumbers, column: Column, entry: Entry) -> dict[str, Any]:
    """What the dialog of one number says, and the digests of the cells it comes from."""
    plan, recipe = results.plan, row.planned.row
    change = results.changes.get(recipe.label)
    published = column.key.startswith(PREFIX)
    metric = column.key.removeprefix(PREFIX)
    facts: dict[str, Any] = {}
    digests: list[str] = []
    baseline: str | None = None
    if published:
        facts = {
            "printed in": f"{PAPERS[plan.table.paper]}, {plan.table.id}",
            "measured by the paper on": None if metric in COSTS else results.printed_on(recipe),
            "recipe's fidelity": recipe.fidelity,
            "on the row": " ".join(recipe.notes),
            "on the table": " ".join(plan.table.notes),
        }
    elif metric in COSTS or metric.removeprefix("delta_") in COSTS:
        digests = [row.planned.cost.digest] if row.planned.cost else []
    else:
        digests = [task.digest for task in row.planned.train]
        facts = {
            "profile": plan.profile.id,
            "differs from the paper in": ", ".join(row.planned.differs) or None,
        }
        if column.key.startswith(page_tables.CHANGES):
            metric = column.key.partition("_")[2]
            facts |= _changed(change, metric)
            baseline = change.baseline if change else None
    return {
        "row": recipe.label,
        "column": f"{column.group} {column.title}".replace("\n", " ").strip(),
        "text": entry.text,
        "value": entry.value if isinstance(entry.value, int | float) else None,
        "note": entry.note,
        "metric": metric,
        "facts": facts,
        "digests": digests,
        "baseline": [key for one in plan.rows if one.row.label == baseline for key in one.digests],
    }


def _changed(change: Change | None, metric: str) -> dict[str, Any]:
    """What stands behind a difference to the baseline, in points."""
    if change is None or change.baseline is None:
        return {}
    facts: dict[str, Any] = {"baseline": change.baseline}
    if one := change.found.get(metric):
        facts |= {
            name.replace("_", " "): value
            for name, value in intervals.points(one).items()
            if name not in ("a", "b", "seeds", "simultaneous") and value is not None
        }
        facts["how"] = intervals.covers(one)
    return facts


def _pictures(plan: Plan, pictures: Pictures, room: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The plots that fit, in order, and a sentence that names the others."""
    drawn, left_out = [], []
    for one in pictures.found:
        made = _picture(one)
        if len(made["source"]) <= room:
            room -= len(made["source"])
            drawn.append(made)
        else:
            left_out.append(one.title.removeprefix(f"{plan.table.id}: "))
    if not left_out:
        return drawn, []
    return drawn, [
        f"Not on this page, to keep it small: {', '.join(left_out)}: "
        f"{hint.report(plan)} --format html, or --plots."
    ]


def _picture(picture: Picture) -> dict[str, Any]:
    """A plot as a data URI, as a drawing or as pixels, whichever is smaller."""
    figure = picture.draw()
    width, height = figure.get_size_inches() * 96
    kind, content = "svg+xml", canvas.save(figure, "svg")
    if len(content) > LARGE:
        pixels = canvas.small_png(figure, MANY if picture.photographs else FEW)
        kind, content = min((kind, content), ("png", pixels), key=lambda pair: len(pair[1]))
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return {
        "title": picture.title,
        "source": source,
        "width": round(width),
        "height": round(height),
    }
