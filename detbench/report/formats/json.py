"""JSON, for scripts: raw values, blanks null with a note."""

from __future__ import annotations

import json
import os
from typing import Any

from detbench.report.formats import Report
from detbench.report.table import Sheet


def render(sheet: Sheet) -> str:
    """``{"title", "columns", "rows": [{key: value}], "notes"}``; a note stands at its row."""
    keys = [column.key for column in sheet.columns]
    rows = []
    for row in sheet.rows:
        item = {key: entry.value for key, entry in zip(keys, row, strict=True)}
        notes = {key: entry.note for key, entry in zip(keys, row, strict=True) if entry.note}
        rows.append({**item, "notes": notes} if notes else item)
    return to_json(
        {"title": sheet.title, "columns": keys, "rows": rows, "notes": list(sheet.notes)}
    )


def to_json(payload: Any) -> str:
    """Any plain value, paths among them, as the JSON that commands print."""
    text = json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False, default=os.fspath)
    return text + "\n"


def report(asked: Report) -> str:
    """Every table's payload in a list, or that of a single one alone."""
    from detbench.report import ablation

    found = [ablation.payload(one) for one in asked.tables]
    return to_json(found[0] if asked.single else found)
