"""detbench: reproduce, measure and extend detection ablation tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__version__ = "0.1.0"


def load_results(root: str | Path = "results", tables: Sequence[str] = ()) -> pd.DataFrame:
    """Stored measurements, a line for each number of each row of a table: for notebooks.

    A cell that several rows share has a line in each. Published numbers are not among them.

    Args:
        root: a folder of results.
        tables: ids, or files of your own; by default every table of the catalogue, and the cells
            that are in none.

    Returns:
        Columns ``table``, ``row``, ``profile``; ``differs``, the settings in which a cell of no
        table departs from that row; ``metric``, ``value`` in ``unit`` (AP as a fraction, NaN where
        there is none), ``seed``, ``status``, ``reason``, ``kind``, ``digest``; ``protocol`` and
        ``provenance`` as dictionaries. Without lines where nothing is stored.

    Raises:
        StoreError: there is no store.
        RecipeError: there is no such table.
    """
    from detbench.report.frame import load

    return load(Path(root), tables)
