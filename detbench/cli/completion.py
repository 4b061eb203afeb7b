"""What the shell is told of rows and settings, of the table or detector on the command line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from detbench.errors import DetbenchError

if TYPE_CHECKING:
    from detbench.recipe.experiment import Cell
    from detbench.recipe.table import Table


def rows(incomplete: str) -> list[str]:
    """Patterns that ``--rows`` takes, which no shell reads as anything else: what is no letter in a
    label is ``?``.

    Args:
        incomplete: patterns by commas, of which the last is begun.
    """
    table = _table(_words())
    if table is None:
        return []
    before, comma, begun = incomplete.rpartition(",")
    patterns = [_pattern(row.label) for row in table.rows]
    # Signs are typed as they are or as ``?``.
    return [f"{before}{comma}{one}" for one in patterns if one.startswith(_pattern(begun))]


def settings(incomplete: str) -> list[str]:
    """``key.path=`` of every setting that ``--set`` takes there, which begin so."""
    cell = _cell(_words())
    if cell is None:
        return []
    paths = list(_paths(cell.model_dump(mode="json")))
    short = [one.removeprefix("detector.") for one in paths]
    return [f"{one}=" for one in dict.fromkeys(short) if one.startswith(incomplete)]


def _words() -> list[str]:
    """The command line, as the shell hands it over: click gives up at the option that is begun."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    try:
        return shlex.split(line)
    except ValueError:  # a quote is open
        return line.split()


def _pattern(label: str) -> str:
    """It, or its beginning, with ``?`` for what is no letter."""
    return re.sub(r"[^\w.+=-]", "?", label)


def _table(words: list[str]) -> Table | None:
    """The first table that is named."""
    from detbench.recipe import load

    named = [one for one in words if one in load.tables() or one.endswith(".toml")]
    with suppress(DetbenchError, OSError):
        return load.table(named[0]) if named else None
    return None


def _cell(words: list[str]) -> Cell | None:
    """What the table's first row trains under its profile, or a detector that is named."""
    from detbench.recipe import load, resolve

    at = words.index("--profile") + 1 if "--profile" in words else len(words)
    profile = words[at] if at < len(words) else "smoke"
    detectors = [one for one in words if one in load.detectors() or one.endswith(".toml")]
    with suppress(DetbenchError, OSError):
        if table := _table(words):
            found = resolve.cells(table, profile)
            return next((one.cell for one in found if one.cell is not None), None)
        if detectors:
            return resolve.cell(detectors[0], profile).cell
    return None


def _paths(value: Any, before: str = "") -> Iterator[str]:
    """Of all that is no table itself; of an array of tables, each by its index."""
    items: Any = ()
    if isinstance(value, dict):
        items = [(f".{key}", item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        items = [(f"[{index}]", item) for index, item in enumerate(value)]
    if not items and before:
        yield before
    for key, item in items:
        yield from _paths(item, f"{before}{key}".lstrip("."))
