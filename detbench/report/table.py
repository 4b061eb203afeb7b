"""A neutral table and its five renderings: terminal, markdown, json, csv and latex.

Whoever makes a table fills a :class:`Sheet`; nobody else formats. An entry has the text that is
printed and the raw value that json and csv carry, so that scripts never parse rounded text. An
entry's note becomes a numbered footnote; equal notes share a number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    """

    text: str
    value: Any = None
    note: str | None = None
    strong: bool = False


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
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    breaks: frozenset[int] = field(default_factory=frozenset)

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
    return Entry("" if value is None else f"{value:.{digits}f}", value, note)


def render(sheet: Sheet, format: Format, width: int | None = None) -> str:
    """The sheet as text, ending in a newline.

    Args:
        width: of the terminal, in characters; none never wraps. Other formats ignore it.
    """
    if format == "terminal":
        return terminal(sheet, width)
    plain: dict[str, Callable[[Sheet], str]] = {
        "markdown": markdown,
        "json": as_json,
        "csv": as_csv,
        "latex": latex,
    }
    return plain[format](sheet)


def _mark(sheet: Sheet, entry: Entry, mark: Callable[[int], str]) -> str:
    return mark(sheet.footnotes.index(entry.note) + 1) if entry.note else ""


def _heading(column: Column) -> str:
    return f"{column.group} {column.title}".strip()


def terminal(sheet: Sheet, width: int | None = None, colour: bool = False) -> str:
    """For reading in a terminal, drawn by rich; ``colour`` adds escape codes."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    out = io.StringIO()
    console = Console(
        file=out, width=width or 10_000, force_terminal=colour, highlight=False, emoji=False
    )
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in sheet.columns:
        heading = f"{column.group}\n{column.title}" if column.group else column.title
        drawn.add_column(Text(heading), justify="right" if column.right else "left")
    for index, row in enumerate(sheet.rows):
        entries = [
            Text(
                entry.text + _mark(sheet, entry, lambda n: f"[{n}]"),
                style="bold" if entry.strong else "",
            )
            for entry in row
        ]
        drawn.add_row(*entries, end_section=index + 1 in sheet.breaks)
    if sheet.title:
        console.print(Text(sheet.title, style="bold"))
        console.print()
    console.print(drawn)
    notes = [f"[{index}] {note}" for index, note in enumerate(sheet.footnotes, 1)]
    for note in [*notes, *sheet.notes]:
        console.print(Text(note))
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))


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
            entries.append(shown + _mark(sheet, entry, lambda n: f"<sup>{n}</sup>"))
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
    writer.writerow([column.key for column in sheet.columns])
    for row in sheet.rows:
        writer.writerow(["" if entry.value is None else entry.value for entry in row])
    return out.getvalue()


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "−": r"$-$",
    "✓": r"\checkmark{}",
    "α": r"$\alpha$",
}


def _tex(value: str) -> str:
    return "".join(_LATEX.get(character, character) for character in value)


def _group_header(columns: Sequence[Column]) -> list[str]:
    """The line of group headings with a rule under each; nothing where no column has a group."""
    if not any(column.group for column in columns):
        return []
    cells, rules, start = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        if group:
            cells.append(rf"\multicolumn{{{count}}}{{c}}{{{_tex(group)}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
        else:
            cells += [""] * count
        start += count
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def latex(sheet: Sheet) -> str:
    """A booktabs table (needs the packages ``booktabs`` and, for check marks, ``amssymb``)."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(sheet.title)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if c.right else 'l' for c in sheet.columns)}}}",
        r"\toprule",
        *_group_header(sheet.columns),
        " & ".join(_tex(column.title) for column in sheet.columns) + r" \\",
        r"\midrule",
    ]
    for index, row in enumerate(sheet.rows):
        if index in sheet.breaks:
            lines.append(r"\midrule")
        cells = []
        for entry in row:
            shown = rf"\textbf{{{_tex(entry.text)}}}" if entry.strong else _tex(entry.text)
            cells.append(shown + _mark(sheet, entry, lambda n: rf"\textsuperscript{{{n}}}"))
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [rf"\textsuperscript{{{i}}} {_tex(n)}" for i, n in enumerate(sheet.footnotes, 1)]
    notes += [_tex(note) for note in sheet.notes]
    if notes:
        lines.append(r"\par\smallskip\footnotesize")
        lines += [note + r"\\" for note in notes]
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"
