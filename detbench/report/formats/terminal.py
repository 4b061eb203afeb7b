"""For reading in a terminal: aligned columns, group headings, wrapped words."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from detbench.report.table import Sheet, footnote, groups

GAP = "  "
NARROWEST = 12
"""Columns of words are not wrapped to fewer characters, nor inside a word up to LONGEST."""
LONGEST = 30


def render(sheet: Sheet, width: int | None = None, colour: bool = False) -> str:
    """For reading in a terminal; ``colour`` sets headings and strong entries bold.

    Where the table is wider than ``width``, its widest columns of words wrap; numbers never do. Of
    one without rows only the notes are written, if it has some: no headings over nothing.
    """
    if not sheet.rows and sheet.notes:
        return "".join(f"{note}\n" for note in sheet.notes)
    texts = [
        [entry.text + footnote(sheet, entry, lambda n: f"[{n}]") for entry in row]
        for row in sheet.rows
    ]
    titles = [column.title for column in sheet.columns]
    widths = _widths(sheet, [titles, *texts], width)
    rule = "─" * (sum(widths) + len(GAP) * (len(widths) - 1))

    def bold(line: str) -> str:
        return f"\033[1m{line}\033[0m" if colour and line else line

    lines = [*_wrapped(sheet.title, width, bold), ""] if sheet.title else []
    lines += [bold(line) for line in _group_lines(sheet, widths)]
    lines += [bold(line) for line in _lay(sheet, titles, widths)]
    lines.append(rule)
    for index, (row, shown) in enumerate(zip(sheet.rows, texts, strict=True)):
        if index in sheet.breaks:
            lines.append(rule)
        strong = [bold if entry.strong else str for entry in row]
        lines += _lay(sheet, shown, widths, strong)
    notes = [f"[{index}] {note}" for index, note in enumerate(sheet.footnotes, 1)]
    notes += sheet.notes
    if notes:
        lines.append("")
    for note in notes:
        lines += _wrapped(note, width)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wrapped(text: str, width: int | None, style: Callable[[str], str] = str) -> list[str]:
    lines = textwrap.wrap(text, width, break_on_hyphens=False) if width else [text]
    return [style(line) for line in lines]


def _widths(sheet: Sheet, rows: list[list[str]], width: int | None) -> list[int]:
    """Characters per column, groups' headings and the terminal's width seen to."""
    widths = [
        max((len(line) for row in rows for line in row[i].split("\n")), default=0)
        for i in range(len(sheet.columns))
    ]
    for start, count, group in groups(sheet.columns):
        lack = max(map(len, group.split("\n"))) - sum(widths[start : start + count])
        widths[start + count - 1] += max(0, lack - len(GAP) * (count - 1))
    if width is None:
        return widths
    floors = {
        i: max(NARROWEST, *(min(LONGEST, len(w)) for row in rows for w in [*row[i].split(), ""]))
        for i, column in enumerate(sheet.columns)
        if not column.right
    }
    while sum(widths) + len(GAP) * (len(widths) - 1) > width:
        spare = [i for i, floor in floors.items() if widths[i] > floor]
        if not spare:
            break
        widths[max(spare, key=lambda i: widths[i])] -= 1
    return widths


def _group_lines(sheet: Sheet, widths: list[int]) -> list[str]:
    """The groups' headings, each centred over its columns between dashes."""
    found = groups(sheet.columns)
    height = max((group.count("\n") + 1 for _, _, group in found), default=0)
    lines = []
    for level in range(height):
        line = ""
        for start, count, group in found:
            span = sum(widths[start : start + count]) + len(GAP) * (count - 1)
            left = sum(widths[:start]) + len(GAP) * start
            parts = group.split("\n")
            part = parts[level] if level < len(parts) else ""
            last = level == height - 1
            framed = f" {part} " if part and len(part) + 2 <= span else part
            line = line.ljust(left) + (framed.center(span, "─") if last else part.center(span))
        lines.append(line)
    return lines


def _lay(
    sheet: Sheet, texts: list[str], widths: list[int], styles: Sequence[Callable[[str], str]] = ()
) -> list[str]:
    """One row as lines, each entry wrapped to its column."""
    cells = []
    for text_, width in zip(texts, widths, strict=True):
        lines = [
            part
            for line in text_.split("\n")
            for part in (textwrap.wrap(line, max(1, width), break_on_hyphens=False) or [""])
        ]
        cells.append(lines)
    out = []
    for level in range(max(map(len, cells), default=0)):
        shown = []
        for i, (column, lines) in enumerate(zip(sheet.columns, cells, strict=True)):
            part = lines[level] if level < len(lines) else ""
            padded = part.rjust(widths[i]) if column.right else part.ljust(widths[i])
            shown.append(styles[i](padded) if styles else padded)
        out.append(GAP.join(shown))
    return out
