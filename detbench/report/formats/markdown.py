"""GitHub's markdown."""

from __future__ import annotations

import re

from detbench.report.table import Sheet, footnote


def render(sheet: Sheet) -> str:
    """A GitHub table with its footnotes as a list."""

    def safe(value: str) -> str:
        return _text(value).replace("|", "\\|").replace("\n", " ")

    lines = [f"**{safe(sheet.title)}**", ""] if sheet.title else []
    lines.append(
        "| "
        + " | ".join(safe(f"{column.group} {column.title}".strip()) for column in sheet.columns)
        + " |"
    )
    lines.append("|" + "|".join("--:" if column.right else ":--" for column in sheet.columns) + "|")
    for row in sheet.rows:
        entries = []
        for entry in row:
            shown = f"**{safe(entry.text)}**" if entry.strong and entry.text else safe(entry.text)
            entries.append(shown + footnote(sheet, entry, lambda n: f"<sup>{n}</sup>"))
        lines.append("| " + " | ".join(entries) + " |")
    if sheet.footnotes:
        lines.append("")
        lines += [f"{index}. {_text(note)}" for index, note in enumerate(sheet.footnotes, 1)]
    for note in sheet.notes:
        lines += ["", _text(note)]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Neither HTML nor a link."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", value).replace("](", "]\\(")
