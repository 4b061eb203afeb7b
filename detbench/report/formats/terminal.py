"""For reading in a terminal: aligned columns, group headings, wrapped words, parts that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from detbench.report.table import Sheet, groups, narrowed
from detbench.wrapping import cells, wrap

GAP = "  "
NARROWEST = 12
"""Columns of words are not wrapped to fewer cells, nor inside a word up to LONGEST."""
LONGEST = 30
LEAST = 6
"""Cells that the rows' names keep, however narrow the terminal."""


def render(sheet: Sheet, width: int | None = None, colour: bool = False) -> str:
    """For reading in a terminal; ``colour`` sets headings and strong entries bold.

    Where the table is wider than ``width`` cells, its widest columns of words wrap; numbers never
    do. One that is still wider is parted by columns, each part with the rows' names. Of one without
    rows only the notes are written, if it has some: no headings over nothing.
    """
    if not sheet.rows and sheet.notes:
        return "".join(f"{line}\n" for note in sheet.notes for line in _wrapped(note, width))
    lines = [*_wrapped(sheet.title, width, _bold if colour else str), ""] if sheet.title else []
    whole = _Laid.of(sheet)
    for number, chosen in enumerate(parts(sheet, width)):
        part = replace(
            whole,
            sheet=narrowed(sheet, chosen),
            texts=[[row[i] for i in chosen] for row in whole.texts],
        )
        lines += [*([""] if number else []), *part.lines(width, colour)]
    notes = [f"[{index}] {note}" for index, note in enumerate(sheet.footnotes, 1)]
    notes += sheet.notes
    if notes:
        lines.append("")
    for note in notes:
        lines += _wrapped(note, width)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def parts(sheet: Sheet, width: int | None) -> list[list[int]]:
    """Which columns stand side by side: all where they fit, else as many as do, in order.

    The first columns, the rows' names, are in every part; columns under one heading stay together
    where they can.
    """
    everything = list(range(len(sheet.columns)))
    if width is None or len(everything) < 2:
        return [everything]
    laid = _Laid.of(sheet)
    least = laid.floors()
    size = [len(GAP) + one for one in least]
    if least[0] + sum(size[1:]) <= width:
        return [everything]
    names, room = _names(laid, size, width)
    found: list[list[int]] = []
    left = 0
    for run in _runs(sheet, names):
        together = sum(size[i] for i in run)
        # A run that fits nowhere whole goes on in the part that is begun.
        if found and together <= room and together > left:
            left = 0
        for i in run:
            if not found or size[i] > left:
                found.append(list(range(names)))
                left = room
            found[-1].append(i)
            left -= size[i]
    return found


def _names(laid: _Laid, size: Sequence[int], width: int) -> tuple[int, int]:
    """How many columns name the rows in every part, and the cells that they leave: all ``keys``
    where any other column fits beside them, else fewer.
    """
    wide = [max(one, len(GAP) + min(LONGEST, laid.longest(i))) for i, one in enumerate(size)]
    for names in range(min(laid.sheet.keys, len(size) - 1), 1, -1):
        room = width + len(GAP) - sum(wide[:names])
        if max(size[names:]) <= room:
            return names, room
    return 1, width + len(GAP) - wide[0]


def _runs(sheet: Sheet, names: int) -> list[list[int]]:
    """Columns after the rows' names by their headings; one number measured and printed is a run
    too.
    """
    headed = {start: count for start, count, _ in groups(sheet.columns)}
    runs: list[list[int]] = []
    at = names
    while at < len(sheet.columns):
        run = list(range(at, at + headed.get(at, 1)))
        before = {sheet.columns[i].title for i in runs[-1]} if runs else set()
        if before == {sheet.columns[i].title for i in run}:
            runs[-1] += run
        else:
            runs.append(run)
        at = run[-1] + 1
    return runs


@dataclass(frozen=True)
class _Laid:
    """A sheet with its texts, footnotes' marks among them."""

    sheet: Sheet
    texts: list[list[str]]

    @classmethod
    def of(cls, sheet: Sheet) -> _Laid:
        marks = {note: f"[{index}]" for index, note in enumerate(sheet.footnotes, 1)}
        return cls(
            sheet,
            [[entry.text + marks.get(entry.note or "", "") for entry in row] for row in sheet.rows],
        )

    def lines(self, width: int | None, colour: bool) -> list[str]:
        """Headings, rule and rows."""
        sheet, widths = self.sheet, self.widths(width)
        style = _bold if colour else str
        rule = "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
        lines = [style(line) for line in _group_lines(sheet, widths)]
        lines += [style(line) for line in _lay(sheet, self._titles(), widths)]
        lines.append(rule)
        for index, (row, texts) in enumerate(zip(sheet.rows, self.texts, strict=True)):
            if index in sheet.breaks:
                lines.append(rule)
            lines += _lay(sheet, texts, widths, [style if one.strong else str for one in row])
        return lines

    def _titles(self) -> list[str]:
        return [column.title for column in self.sheet.columns]

    def longest(self, i: int) -> int:
        """Cells of the longest line of a column's entries."""
        return max((cells(line) for row in self.texts for line in row[i].split("\n")), default=0)

    def floors(self) -> list[int]:
        """Cells that each column needs at least: words wrap, numbers do not."""
        found = []
        for i, column in enumerate(self.sheet.columns):
            words = column.title.split()
            if not column.right:
                words += [word for row in self.texts for word in row[i].split()]
            least = max((min(LONGEST, cells(word)) for word in words), default=0)
            longest = max(self.longest(i), cells(column.title))
            found.append(
                max(least, self.longest(i)) if column.right else min(longest, max(NARROWEST, least))
            )
        return found

    def widths(self, width: int | None) -> list[int]:
        """Cells per column, groups' headings and the terminal's width seen to."""
        titles = [cells(title) for title in self._titles()]
        widths = [max(self.longest(i), title) for i, title in enumerate(titles)]
        if width is None:
            return self._headed(widths, None)
        floors = self.floors()
        room = width - len(GAP) * (len(widths) - 1)
        while (wide := sum(widths)) > room:
            spare = [i for i, floor in enumerate(floors) if widths[i] > floor]
            if not spare:
                # Names of rows give way last: numbers beside them stay whole.
                widths[0] = max(min(LEAST, widths[0]), widths[0] - (wide - room))
                break
            widths[max(spare, key=lambda i: widths[i])] -= 1
        return self._headed(widths, room)

    def _headed(self, widths: list[int], room: int | None) -> list[int]:
        """With room for the groups' headings, as far as there is some."""
        for start, count, group in groups(self.sheet.columns):
            lack = max(map(cells, group.split("\n"))) - sum(widths[start : start + count])
            more = max(0, lack - len(GAP) * (count - 1))
            free = more if room is None else max(0, room - sum(widths))
            widths[start + count - 1] += min(more, free)
        return widths


def _bold(line: str) -> str:
    return f"\033[1m{line}\033[0m" if line else line


def _wrapped(text: str, width: int | None, style: Callable[[str], str] = str) -> list[str]:
    return [style(line) for line in (wrap(text, width) if width else [text])]


def _group_lines(sheet: Sheet, widths: list[int]) -> list[str]:
    """The groups' headings, each centred over its columns between dashes."""
    found = []
    for start, count, group in groups(sheet.columns):
        span = sum(widths[start : start + count]) + len(GAP) * (count - 1)
        parted = [part for line in group.split("\n") for part in wrap(line, span)]
        found.append((sum(widths[:start]) + len(GAP) * start, span, parted))
    height = max((len(parted) for _, _, parted in found), default=0)
    lines = []
    for level in range(height):
        line = ""
        for left, span, parted in found:
            part = parted[level] if level < len(parted) else ""
            last = level == height - 1
            framed = f" {part} " if part and cells(part) + 2 <= span else part
            line = _padded(line, left) + _centred(framed if last else part, span, "─ "[not last])
        lines.append(line)
    return lines


def _padded(text: str, width: int, right: bool = False) -> str:
    space = " " * (width - cells(text))
    return space + text if right else text + space


def _centred(text: str, width: int, fill: str) -> str:
    """As ``str.center`` does, by cells."""
    return text.center(width - cells(text) + len(text), fill)


def _lay(
    sheet: Sheet, texts: list[str], widths: list[int], styles: Sequence[Callable[[str], str]] = ()
) -> list[str]:
    """One row as lines, each entry wrapped to its column."""
    entries = [
        [part for line in text.split("\n") for part in wrap(line, max(1, width))]
        for text, width in zip(texts, widths, strict=True)
    ]
    out = []
    for level in range(max(map(len, entries), default=0)):
        shown = []
        for i, (column, lines) in enumerate(zip(sheet.columns, entries, strict=True)):
            part = lines[level] if level < len(lines) else ""
            padded = _padded(part, widths[i], column.right)
            shown.append(styles[i](padded) if styles else padded)
        out.append(GAP.join(shown))
    return out
