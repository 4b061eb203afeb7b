"""A table to print, in no format yet: ``formats`` writes it.

An entry has the text that is printed and the raw value that json and csv carry, so that scripts
never parse rounded text. An entry's note becomes a numbered footnote; equal notes share a number.
Names are data: what a terminal would obey, or what turns the direction of text, is shown, as in
``\\x1b``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import Any

from detbench.errors import shown
from detbench.recipe.printed import Printed


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", shown(self.text))
        if self.note is not None:
            object.__setattr__(self, "note", shown(self.note))


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", shown(self.title))


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
        leaders: key of a column -> the rows that cannot be told from its best.
        keys: how many of the first columns it takes to know a row: where a terminal is too narrow
            for the table, each of its parts has them.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    breaks: frozenset[int] = field(default_factory=frozenset)
    same: frozenset[int] = field(default_factory=frozenset)
    leaders: Mapping[str, frozenset[int]] = field(default_factory=dict)
    keys: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", shown(self.title))
        object.__setattr__(self, "notes", tuple(map(shown, self.notes)))
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


def columns(**titles: str) -> tuple[Column, ...]:
    """Columns by their keys; a title that begins with ``>`` is aligned to the right."""
    return tuple(
        Column(key, title.lstrip(">"), right=title.startswith(">")) for key, title in titles.items()
    )


def plain(
    columns: tuple[Column, ...],
    rows: Iterable[Iterable[Any]],
    notes: Iterable[str] = (),
    title: str = "",
    keys: int = 1,
) -> Sheet:
    """A sheet of plain values, which are printed as they are; an entry among them stands for
    itself.
    """
    entries = (tuple(one if isinstance(one, Entry) else text(one) for one in row) for row in rows)
    return Sheet(title, columns, tuple(entries), tuple(notes), keys=keys)


def short(digest: str) -> Entry:
    """The beginning of a digest."""
    return Entry(digest[:12], digest)


def narrowed(sheet: Sheet, chosen: Sequence[int]) -> Sheet:
    """The sheet with some of its columns."""
    rows = tuple(tuple(row[i] for i in chosen) for row in sheet.rows)
    return replace(sheet, columns=tuple(sheet.columns[i] for i in chosen), rows=rows)


def text(value: object, note: str | None = None) -> Entry:
    """An entry of words; ``None`` is a blank."""
    return Entry("" if value is None else str(value), value, note)


def number(value: float | None, digits: int = 2, note: str | None = None) -> Entry:
    """An entry of a number with ``digits`` decimals, of a paper's number as the paper prints it;
    ``None`` is a blank.
    """
    if isinstance(value, Printed) and value.written:
        return Entry(value.written, value, note)
    return Entry("" if value is None else fixed(value, digits), value, note)


def fixed(value: float, digits: int) -> str:
    """A number with ``digits`` decimals, halves rounded away from zero, as the papers do."""
    exact = Decimal(repr(float(value)))
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def footnote(sheet: Sheet, entry: Entry, mark: Callable[[int], str]) -> str:
    return mark(sheet.footnotes.index(entry.note) + 1) if entry.note else ""


def groups(columns: Sequence[Column]) -> list[tuple[int, int, str]]:
    """Runs of neighbouring columns of one group: start, count, heading."""
    found, start = [], 0
    for group, members in groupby(columns, key=lambda column: column.group):
        count = len(list(members))
        if group:
            found.append((start, count, group))
        start += count
    return found
