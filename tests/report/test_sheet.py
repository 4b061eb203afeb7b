from __future__ import annotations

import csv
import io
import json

import pytest

from detbench.report.formats import SHEET_FORMATS, render
from detbench.report.formats.terminal import render as terminal
from detbench.report.table import Column, Entry, Sheet, number, text

SHEET = Sheet(
    title="A | title & 100 %",
    columns=(
        Column("row", "Row"),
        Column("AP", "AP", "measured", right=True),
        Column("AP50", "AP50", "measured", right=True),
        Column("published_AP", "AP", "paper", right=True),
    ),
    rows=(
        (text("FCOS | a_b"), Entry("39.3", 39.312, strong=True), number(58.2, 1), number(38.7, 1)),
        (text("cited"), number(None, note="no code"), number(None, note="no code"), number(40, 1)),
    ),
    notes=("α ± 1",),
    breaks=frozenset({1}),
)

TERMINAL = """\
A | title & 100 %

             measured   paper
Row           AP  AP50     AP
─────────────────────────────
FCOS | a_b  39.3  58.2   38.7
─────────────────────────────
cited        [1]   [1]   40.0

[1] no code
α ± 1
"""
MARKDOWN = """\
**A \\| title & 100 %**

| Row | measured AP | measured AP50 | paper AP |
|:--|--:|--:|--:|
| FCOS \\| a_b | **39.3** | 58.2 | 38.7 |
| cited | <sup>1</sup> | <sup>1</sup> | 40.0 |

1. no code

α ± 1
"""
LATEX = r"""% needs \usepackage{booktabs,amssymb,graphicx}
\begin{table}
\centering
\setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{6pt}
\caption{A \textbar{} title \& 100 \%}
\sbox0{%
\begin{tabular}{lrrr}
\toprule
 & \multicolumn{2}{c}{measured} & \multicolumn{1}{c}{paper} \\
\cmidrule(lr){2-3} \cmidrule(lr){4-4}
Row & AP & AP50 & AP \\
\midrule
FCOS \textbar{} a\_b & \textbf{39.3} & 58.2 & 38.7 \\
\midrule
cited & \textsuperscript{1} & \textsuperscript{1} & 40.0 \\
\bottomrule
\end{tabular}}
\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi
\par\smallskip\begin{minipage}{\linewidth}\footnotesize
\textsuperscript{1} no code\par
$\alpha$ $\pm$ 1\par
\end{minipage}
\end{table}
"""


@pytest.mark.parametrize(
    ("format", "printed"), [("terminal", TERMINAL), ("markdown", MARKDOWN), ("latex", LATEX)]
)
def test_printed(format: str, printed: str) -> None:
    assert render(SHEET, format) == printed


def test_json_carries_raw_values_and_notes() -> None:
    found = json.loads(render(SHEET, "json"))
    assert found["columns"] == ["row", "AP", "AP50", "published_AP"]
    assert found["rows"][0] == {
        "row": "FCOS | a_b",
        "AP": 39.312,
        "AP50": 58.2,
        "published_AP": 38.7,
    }
    assert found["rows"][1]["AP"] is None
    assert found["rows"][1]["notes"] == {"AP": "no code", "AP50": "no code"}
    assert found["notes"] == ["α ± 1"]


def test_csv_carries_raw_values() -> None:
    rows = list(csv.reader(io.StringIO(render(SHEET, "csv"))))
    assert rows == [
        ["row", "AP", "AP50", "published_AP"],
        ["FCOS | a_b", "39.312", "58.2", "38.7"],
        ["cited", "", "", "40"],
    ]


def test_a_narrow_terminal_wraps_words_but_no_numbers() -> None:
    words = "a row with a label of many words"
    columns = (Column("row", "Row"), Column("n", "N", right=True))
    sheet = Sheet("", columns, ((text(words), number(123456.78)),), ("a note of many words",))
    lines = terminal(sheet, width=24).split("\n")
    assert all(len(line) <= 24 for line in lines)
    assert "123456.78" in lines[2]
    assert " ".join(line[:13].strip() for line in lines[2:5]) == words
    assert terminal(sheet, width=5).count("123456.78") == 1


def test_a_group_wider_than_its_columns_has_room() -> None:
    columns = (Column("a", "A", "a long\nheading here", True), Column("b", "B", right=True))
    printed = terminal(Sheet("", columns, ((number(1.0), number(2.0)),)))
    assert printed.split("\n")[:3] == ["   a long", "heading here", "           A     B"]


def test_colour_only_where_asked() -> None:
    assert "\033[1m39.3" in terminal(SHEET, colour=True)
    assert "\033" not in terminal(SHEET)


@pytest.mark.parametrize("format", SHEET_FORMATS)
def test_no_rows(format: str) -> None:
    assert render(Sheet("", SHEET.columns, ()), format).endswith("\n")


def test_a_sheet_is_checked() -> None:
    with pytest.raises(ValueError, match="2 entries for 4 columns"):
        Sheet("", SHEET.columns, ((text("a"), text("b")),))
    with pytest.raises(ValueError, match="column keys repeat"):
        Sheet("", (Column("a", "A"), Column("a", "B")), ())
