"""A neutral table and its five renderings: terminal, markdown, json, csv and latex.

Whoever makes a table fills a :class:`Sheet`; nobody else formats. An entry has the text that is
printed and the raw value that json and csv carry, so that scripts never parse rounded text. An
entry's note becomes a numbered footnote; equal notes share a number.
"""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import Any, Literal

Format = Literal["terminal", "markdown", "json", "csv", "latex"]
FORMATS: tuple[Format, ...] = ("terminal", "markdown", "json", "csv", "latex")


@dataclass(frozen=True)
class Entry:
    """One cell of a printed table.

    Attributes:
        text: what is printed; empty is a blank.
        value: what json and csv carry; ``None`` is null.
        note: footnote: the reason of a blank, a misprint, a caveat.
        strong: printed bold.
        more: further raw values of csv, by what is added to the column's key: ``(("low", 0.3),)``.
    """

    text: str
    value: Any = None
    note: str | None = None
    strong: bool = False
    more: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: name in json and csv; unique within the sheet.
        title: heading.
        group: heading over neighbouring columns of the same group (``published``, ``measured``).
        right: aligned to the right, as numbers are.
    """

    key: str
    title: str
    group: str = ""
    right: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table to print.

    Attributes:
        title: above the table.
        columns, rows: every row has one entry per column.
        notes: sentences below the table, after the footnotes.
        breaks: indices of rows before which a rule is drawn.
        same: indices of rows whose cells a row above has too: none of their measured numbers can
            be the best of its column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    breaks: frozenset[int] = field(default_factory=frozenset)
    same: frozenset[int] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        keys = [column.key for column in self.columns]
        if len(set(keys)) != len(keys):
            raise ValueError(f"column keys repeat: {keys}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} entries for {len(self.columns)} columns: {row}")

    @property
    def footnotes(self) -> list[str]:
        """The entries' notes, each once, in reading order; number i is at index i - 1."""
        return list(dict.fromkeys(entry.note for row in self.rows for entry in row if entry.note))


def text(value: object, note: str | None = None) -> Entry:
    """An entry of words; ``None`` is a blank."""
    return Entry("" if value is None else str(value), value, note)


def number(value: float | None, digits: int = 2, note: str | None = None) -> Entry:
    """An entry of a number with ``digits`` decimals; ``None`` is a blank."""
    return Entry("" if value is None else fixed(value, digits), value, note)


def fixed(value: float, digits: int) -> str:
    """A number with ``digits`` decimals, halves rounded away from zero, as the papers do."""
    exact = Decimal(repr(float(value)))
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def render(sheet: Sheet, format: Format, width: int | None = None) -> str:
    """The sheet as text, ending in a newline.

    Args:
        width: of the terminal, in characters; none never wraps. Other formats ignore it.
    """
    if format == "terminal":
        return terminal(sheet, width)
    from detbench.report.latex import latex

    plain: dict[str, Callable[[Sheet], str]] = {
        "markdown": markdown,
        "json": as_json,
        "csv": as_csv,
        "latex": latex,
    }
    return plain[format](sheet)


def footnote(sheet: Sheet, entry: Entry, mark: Callable[[int], str]) -> str:
    return mark(sheet.footnotes.index(entry.note) + 1) if entry.note else ""


def _heading(column: Column) -> str:
    return f"{column.group} {column.title}".strip()


GAP = "  "
NARROWEST = 12
"""Columns of words are not wrapped to fewer characters, nor inside a word up to LONGEST."""
LONGEST = 30


def terminal(sheet: Sheet, width: int | None = None, colour: bool = False) -> str:
    """For reading in a terminal; ``colour`` sets headings and strong entries bold.

    Where the table is wider than ``width``, its widest columns of words wrap; numbers never do.
    """
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


def groups(columns: Sequence[Column]) -> list[tuple[int, int, str]]:
    """Runs of neighbouring columns of one group: start, count, heading."""
    found, start = [], 0
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        if group:
            found.append((start, count, group))
        start += count
    return found


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


def markdown(sheet: Sheet) -> str:
    """A GitHub table with its footnotes as a list."""

    def safe(value: str) -> str:
        return value.replace("|", "\\|").replace("\n", " ")

    lines = [f"**{safe(sheet.title)}**", ""] if sheet.title else []
    lines.append("| " + " | ".join(safe(_heading(column)) for column in sheet.columns) + " |")
    lines.append("|" + "|".join("--:" if column.right else ":--" for column in sheet.columns) + "|")
    for row in sheet.rows:
        entries = []
        for entry in row:
            shown = f"**{safe(entry.text)}**" if entry.strong and entry.text else safe(entry.text)
            entries.append(shown + footnote(sheet, entry, lambda n: f"<sup>{n}</sup>"))
        lines.append("| " + " | ".join(entries) + " |")
    if sheet.footnotes:
        lines.append("")
        lines += [f"{index}. {note}" for index, note in enumerate(sheet.footnotes, 1)]
    for note in sheet.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def as_json(sheet: Sheet) -> str:
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
    """Any plain value as the JSON that commands print."""
    return json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(sheet: Sheet) -> str:
    """Keys as header, then raw values; blanks are empty. Notes do not fit and are left out."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    # A column's own values, then those that any of its entries has more.
    names = [
        ["", *dict.fromkeys(name for row in sheet.rows for name, _ in row[i].more)]
        for i in range(len(sheet.columns))
    ]
    heads = [
        f"{column.key}_{name}" if name else column.key
        for column, some in zip(sheet.columns, names, strict=True)
        for name in some
    ]
    writer.writerow(heads)
    for row in sheet.rows:
        values = [
            {"": entry.value, **dict(entry.more)}.get(name)
            for entry, some in zip(row, names, strict=True)
            for name in some
        ]
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue()
