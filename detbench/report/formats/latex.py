"""A sheet as a LaTeX table with booktabs' rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

from detbench.recipe.metrics import COSTS
from detbench.report.table import Column, Entry, Sheet, footnote, groups, narrowed

PACKAGES = "% needs \\usepackage{booktabs,amssymb,graphicx}"
CAPTION_SKIP = r"\setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{6pt}"
"""Room between a caption above its table and the table."""
WIDE = 66
"""Characters that fit a line; wider tables span both columns of a page."""
WIDEST = 120
"""Characters that can still be read when they are shrunk; wider tables are parted."""
LONG = 40
"""Characters of a text that is broken into lines, in a table with such a text."""
WORDS = 24
"""Characters from which there other columns' texts are broken, too."""
LINE = 138
"""Characters that a line has room for in the smallest print, where texts are broken."""
PAGE = 40
"""Rows that a page has room for; more, where texts are broken, run over several."""

_SIGNS = {
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
    # In the old font encoding these three come out as others.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    # After the end of a line these would be its arguments.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "−": r"$-$",
    "∞": r"$\infty$",
    "°": r"$^{\circ}$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "✓": r"\checkmark{}",
    "✗": r"$\times$",
    "µ": r"$\mu$",
    "⁺": r"$^{+}$",
    "⁻": r"$^{-}$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "•": r"\textbullet{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "\u00a0": "~",
}

_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u ",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r ",
    "\u030b": "H ",
    "\u030c": "v ",
    "\u0327": "c ",
}

_LIKE_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
"""Greek letters that LaTeX has no command for."""


def escape(text: str) -> str:
    """Any text as LaTeX that compiles with any engine and prints it.

    A sign that LaTeX's own fonts lack becomes its code point, as in ``[U+4E2D]``.
    """
    shown = "".join(_character(one) for one in text)
    # Two of these in a row would become one other sign.
    return re.sub(r"-(?=-)", "-{}", shown) if "--" in text else shown


def _character(one: str) -> str:
    if one in _SIGNS:
        return _SIGNS[one]
    if one.isascii():
        return one if one.isprintable() else " "
    if one in _LIKE_LATIN:
        return f"${_LIKE_LATIN[one]}$"
    name = unicodedata.name(one, "")
    if found := re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (FINAL )?(\w+)", name):
        letter = found[3].replace("LAMDA", "LAMBDA").lower()
        if found[2]:
            return r"$\varsigma$"
        return f"$\\{letter if found[1] == 'SMALL' else letter.capitalize()}$"
    whole = unicodedata.normalize("NFKD", one)
    if whole.isascii() and whole.isprintable():
        plain = "".join(_SIGNS.get(part, part) for part in whole)
        kind = unicodedata.decomposition(one).partition(">")[0]
        return {"<super": f"$^{{{plain}}}$", "<sub": f"$_{{{plain}}}$"}.get(kind, plain)
    if len(whole) == 2 and whole[0].isascii() and whole[1] in _ACCENTS:
        return f"\\{_ACCENTS[whole[1]]}{{{whole[0]}}}"
    return f"{{[}}U+{ord(one):04X}{{]}}"


def number(text: str) -> str:
    """An entry of a column of numbers: a minus is a minus, not a hyphen."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", escape(text))


def render(sheet: Sheet) -> str:
    """The table with its caption and notes; ``PACKAGES`` says what the preamble has to load.

    What is too wide for a page is parted between blocks of columns, one part below the other, each
    with the columns that say which row it is. Where several have long texts, these are broken into
    lines.
    """
    if _texts(sheet):
        return _broken(sheet)
    wide = sum(_widths(sheet)) > WIDE
    environment = "table*" if wide else "table"
    lines = [
        PACKAGES,
        rf"\begin{{{environment}}}",
        r"\centering",
        *([CAPTION_SKIP, rf"\caption{{{escape(sheet.title)}}}"] if sheet.title else []),
    ]
    lines += [r"\sbox0{%", *([r"\footnotesize"] if wide else []), *_tabulars(sheet, _parts(sheet))]
    lines[-1] += "}"
    lines.append(r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi")
    lines += [*_notes(sheet), rf"\end{{{environment}}}"]
    return "\n".join(lines) + "\n"


def _texts(sheet: Sheet) -> list[int]:
    """The columns to break into lines; none unless several have a text too long for a table."""
    longest = {
        i: max((len(row[i].text) for row in sheet.rows), default=0)
        for i, column in enumerate(sheet.columns)
        if not column.right
    }
    several = sum(length > LONG for length in longest.values()) > 1
    return [i for i, length in longest.items() if length > WORDS] if several else []


def _broken(sheet: Sheet) -> str:
    """The table with columns of paragraphs, over several pages where it is long."""
    widths, texts = _widths(sheet), _texts(sheet)
    room = LINE - sum(2 if i in texts else width for i, width in enumerate(widths))
    roots = {i: widths[i] ** 0.5 for i in texts}
    share = {i: room / LINE * root / sum(roots.values()) for i, root in roots.items()}
    spec = "".join(
        rf">{{\raggedright\arraybackslash}}p{{{share[i]:.3f}\linewidth}}"
        if i in share
        else "r"
        if column.right
        else "l"
        for i, column in enumerate(sheet.columns)
    )
    head = [r"\toprule", *_group_header(sheet.columns), _titles(sheet.columns), r"\midrule"]
    caption = rf"\caption{{{escape(sheet.title)}}}" if sheet.title else ""
    small = [r"\scriptsize", r"\setlength{\tabcolsep}{2pt}"]
    if len(sheet.rows) > PAGE:
        lines = [
            PACKAGES + "; \\usepackage{array,longtable}, and one column",
            "{",
            *small,
            rf"\begin{{longtable}}{{{spec}}}",
            *([caption + r"\\"] if caption else []),
            *[*head, r"\endhead", r"\bottomrule", r"\endlastfoot", *_body(sheet, sheet)],
            *[r"\end{longtable}", *_notes(sheet), "}"],
        ]
    else:
        lines = [
            PACKAGES + "; \\usepackage{array}",
            *[r"\begin{table*}", *small, *([CAPTION_SKIP, caption] if caption else [])],
            rf"\begin{{tabular}}{{{spec}}}",
            *[*head, *_body(sheet, sheet), r"\bottomrule", r"\end{tabular}"],
            *[*_notes(sheet), r"\end{table*}"],
        ]
    return "\n".join(lines) + "\n"


def _tabulars(sheet: Sheet, parts: list[Sheet]) -> list[str]:
    """The parts in one box, so that all of them shrink alike."""
    if len(parts) == 1:
        return _tabular(sheet, parts[0])
    lines = [r"\begin{tabular}{@{}c@{}}"]
    for number, part in enumerate(parts):
        lines += [r"\\[\bigskipamount]"] if number else []
        lines += _tabular(sheet, part)
    return [*lines, r"\end{tabular}"]


def _tabular(sheet: Sheet, part: Sheet) -> list[str]:
    """One part; its footnotes have the whole sheet's numbers."""
    return [
        rf"\begin{{tabular}}{{{''.join('r' if one.right else 'l' for one in part.columns)}}}",
        r"\toprule",
        *_group_header(part.columns),
        _titles(part.columns),
        r"\midrule",
        *_body(sheet, part),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _titles(columns: Sequence[Column]) -> str:
    return " & ".join(escape(column.title) for column in columns) + r" \\"


def _body(sheet: Sheet, part: Sheet) -> list[str]:
    """Rows, and rules where the whole sheet has them."""
    body: list[str] = []
    for index, row in enumerate(part.rows):
        body += [r"\midrule"] if index in sheet.breaks else []
        body.append(_row(sheet, part.columns, row))
    return body


def _widths(sheet: Sheet) -> list[int]:
    """About how wide each column is in characters, with its gap."""
    texts = [[column.title for column in sheet.columns]]
    texts += [[entry.text for entry in row] for row in sheet.rows]
    return [max(map(len, column)) + 2 for column in zip(*texts, strict=True)]


def _parts(sheet: Sheet) -> list[Sheet]:
    """The sheet's blocks of numbers on as few parts as fit a page's width; mostly one."""
    numbers = [i for i, column in enumerate(sheet.columns) if column.right]
    if not numbers or sum(_widths(sheet)) <= WIDEST:
        return [sheet]
    widths = _widths(sheet)
    first = [i for i in range(numbers[0]) if i not in numbers]
    last = [i for i in range(len(widths)) if i not in numbers and i not in first]
    room = WIDEST - sum(widths[i] for i in first)
    chosen: list[list[int]] = [[]]
    blocks = [list(members) for _, members in groupby(numbers, lambda i: _block(sheet.columns[i]))]
    for block in [*blocks, *([last] if last else [])]:
        taken = sum(widths[i] for i in chosen[-1])
        if chosen[-1] and taken + sum(widths[i] for i in block) > room:
            chosen.append([])
        chosen[-1] += block
    return [narrowed(sheet, [*first, *part]) for part in chosen]


def _block(column: Column) -> str:
    """Columns of one block stay on one part; a cost beside what is printed for it."""
    return "cost" if column.key.endswith(COSTS) else column.group or column.key


def _row(sheet: Sheet, columns: Sequence[Column], row: Sequence[Entry]) -> str:
    cells = []
    for column, entry in zip(columns, row, strict=True):
        shown = number(entry.text) if column.right else escape(entry.text)
        if entry.strong and shown:
            shown = rf"\textbf{{{shown}}}"
        cells.append(shown + footnote(sheet, entry, lambda n: rf"\textsuperscript{{{n}}}"))
    return " & ".join(cells) + r" \\"


def _notes(sheet: Sheet) -> list[str]:
    notes = [rf"\textsuperscript{{{i}}} {escape(n)}" for i, n in enumerate(sheet.footnotes, 1)]
    notes += [escape(note) for note in sheet.notes]
    if not notes:
        return []
    return [
        r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize",
        *(rf"{note}\par" for note in notes),
        r"\end{minipage}",
    ]


def _group_header(columns: Sequence[Column]) -> list[str]:
    """The line of group headings with a rule under each; nothing where no column has a group."""
    found = groups(columns)
    if not found:
        return []
    cells, rules, at = [], [], 0
    for start, count, group in found:
        cells += [""] * (start - at)
        cells.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(group)}}}")
        rules.append(rf"\cmidrule(lr){{{start + 1}-{start + count}}}")
        at = start + count
    cells += [""] * (len(columns) - at)
    return [" & ".join(cells) + r" \\", " ".join(rules)]
