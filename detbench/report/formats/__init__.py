"""The output formats: one line each in ``FORMATS``, and a module of the same name here.

A module has ``render``, which writes any sheet as text that ends in a newline, or ``report``, which
writes whole tables of results, or both. Modules are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detbench.report.results import TableResults
    from detbench.report.table import Sheet
    from detbench.report.verdict_sheet import Board


@dataclass(frozen=True)
class Format:
    """What commands must know of a format.

    Attributes:
        sheets: writes any command's table; else ``report``'s alone.
        payload: takes what a command has for scripts in place of the sheet, where it has that.
        notes: has room for footnotes and notes; else they are printed to stderr.
    """

    sheets: bool = True
    payload: bool = False
    notes: bool = True


FORMATS = {
    "terminal": Format(),
    "markdown": Format(),
    "json": Format(payload=True),
    "csv": Format(notes=False),
    "latex": Format(),
    "html": Format(sheets=False),
}
SHEET_FORMATS = tuple(name for name, one in FORMATS.items() if one.sheets)


@dataclass(frozen=True)
class Report:
    """What ``detbench report`` writes.

    Attributes:
        tables: may be none.
        root: of the store that they are from.
        single: one table was asked for by name, and json gives it without a list around it.
        boards: claims with their verdicts, which html alone writes.
    """

    tables: Sequence[TableResults]
    root: Path
    single: bool = False
    boards: Sequence[Board] = ()


def render(sheet: Sheet, format: str) -> str:
    """A sheet as text, ending in a newline."""
    text: str = _module(format).render(sheet)
    return text


def report(asked: Report, format: str) -> str:
    """Whole tables as text."""
    from detbench.report import ablation, latency_sheet

    module = _module(format)
    if hasattr(module, "report"):
        text: str = module.report(asked)
        return text
    sheets = [
        sheet
        for one in asked.tables
        for sheet in (ablation.marked(one), ablation.effects_sheet(one), latency_sheet.sheet(one))
        if sheet is not None
    ]
    return "\n".join(module.render(one) for one in sheets)


def _module(format: str) -> Any:
    return import_module(f"{__name__}.{format}")
