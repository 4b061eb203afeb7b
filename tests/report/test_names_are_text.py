"""Titles, labels and names of classes are data: no format lets them do anything."""

from __future__ import annotations

import csv
import io

import pytest

from detbench.errors import shown
from detbench.report.formats import SHEET_FORMATS, render
from detbench.report.table import columns, plain

ESCAPES = "red \x1b[31m\x1b]0;owned\x07 \u202eback\u2028"
LINES = "one\ntwo\r\n\n# heading\n\n<b>x</b> [a](javascript:b)"
FORMULAS = ("=cmd|' /C calc'!A0", "@SUM(1)", "+cmd|' /C calc'!A0", "-2+3+cmd|'x'!A0")
LABELS = ("+ assignment", "-", "+0.3 [0.1, 0.5]", "- 1.2")


def sheet(name: str, format: str) -> str:
    made = plain(columns(row="Row", what=name), [(name, 1.5)], [f"Note {name}"], f"Title {name}")
    return render(made, format)


@pytest.mark.parametrize("format", SHEET_FORMATS)
@pytest.mark.parametrize("name", [ESCAPES, LINES])
def test_nothing_that_a_terminal_obeys_is_written(format: str, name: str) -> None:
    written = sheet(name, format)
    assert all(each.isprintable() or each == "\n" for each in written)
    if format != "json":
        plainly = sheet("x" * len(shown(name)), format)
        assert written.count("\n") == plainly.count("\n")


def test_markdown_is_neither_html_nor_a_link() -> None:
    written = sheet(LINES, "markdown")
    assert "<b>" not in written
    assert "](" not in written


def test_a_spreadsheet_computes_nothing() -> None:
    for name in FORMULAS:
        rows = list(csv.reader(io.StringIO(sheet(name, "csv"))))
        assert rows[1] == [f"'{name}", "1.5"]
    for name in LABELS:
        assert list(csv.reader(io.StringIO(sheet(name, "csv"))))[1] == [name, "1.5"]
