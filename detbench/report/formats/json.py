"""JSON, for scripts: raw values, blanks null with a note."""

from __future__ import annotations

import json
import os
from typing import Any

from detbench.errors import shown
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
    """Any plain value, paths among them, as the JSON that commands print, in what can be seen."""
    text = json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False, default=os.fspath)
    lines = text.split("\n")  # its own; those of strings are escaped, as all below a blank are
    return "\n".join(shown(line, lambda each: f"\\u{ord(each):04x}") for line in lines) + "\n"


def report(asked: Report) -> str:
    """Every table's payload in a list, or that of a single one alone."""
    from detbench.report import ablation

    found = [ablation.payload(one) for one in asked.tables]
    return to_json(found[0] if asked.single else found)
