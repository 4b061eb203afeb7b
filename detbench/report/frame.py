"""Stored measurements as a pandas table, for notebooks: ``detbench.load_results``. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detbench.results.store import Store
from detbench.runner import stored
from detbench.runner.names import Name
from detbench.runner.stored import Listed

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **dict.fromkeys(("table", "row", "profile", "differs", "metric"), "object"),
    **{"seed": "Int64", "value": "float64"},
    **dict.fromkeys(("unit", "status", "reason", "kind", "digest"), "object"),
    **dict.fromkeys(("protocol", "provenance"), "object"),
}
"""Column -> type."""


def load(root: Path, tables: Sequence[str]) -> pd.DataFrame:
    """See ``detbench.load_results``."""
    import pandas as pd

    store = Store(root)
    lines = [line for cell in stored.cells(root, tables) for line in _lines(cell, store, tables)]
    return pd.DataFrame(lines, columns=list(TYPES)).astype(TYPES)


def _lines(cell: Listed, store: Store, tables: Sequence[str]) -> list[dict[str, Any]]:
    """A line for each place of a cell and each of its measurements; none of a damaged one."""
    places = [(name, "") for name in cell.names]
    if not places and not tables:
        near = cell.near
        places = [(near.name, ", ".join(near.differs)) if near else (Name("", "", "", None), "")]
    found = store.get(cell.digest)
    return [
        {**vars(name), "differs": differs, **vars(row)}
        for name, differs in places
        for row in (found.rows if found else ())
    ]
