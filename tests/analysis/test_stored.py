"""Which analyses ``report`` finds of a table's rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detbench.analysis import files, kinds, stored, subjects
from detbench.analysis.files import Looked
from detbench.report.results import TableResults
from detbench.results.store import Store
from detbench.runner.plan import Request

TABLE = {"image": np.array([1]), "area": np.array([9.0]), "label": np.array([0])}


def results(root: Path, profile: str) -> TableResults:
    """A table of two rows, of the first of which an alignment of no use is stored."""
    request = Request("tscode-table1", profile, root, rows="FCOS,FCOS + SCE")
    found = TableResults.of(request, Store(root / "results"))
    kind = kinds.kind("alignment")
    [subject] = subjects.of_row(found.plan, found.plan.rows[0], found.store)
    entry = files.entry(root / "results", kind, subject, kinds.settings(kind, []), Looked(1))
    entry.keep(0, 1, TABLE)
    entry.finish(1, {"label": "FCOS"})
    return found


def test_rows_that_were_measured_are_found(tmp_path: Path) -> None:
    made = results(tmp_path, "smoke")
    rows = [subjects.of_row(made.plan, row, made.store) for row in made.plan.rows]
    [request] = stored._requests(files.listing(made.store.root), rows, made)
    assert [row[0].label for row in request.rows] == ["FCOS"]
    assert (request.kind.name, request.looked, request.missing) == ("alignment", Looked(1), [])


def test_without_the_data_nothing_is_shown_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert stored.of_table(results(tmp_path, "paper")) == []
    assert "tscode-table1: alignment is not shown: " in caplog.text


def test_a_store_without_analyses_has_none(tmp_path: Path) -> None:
    made = TableResults.of(Request("tscode-table1", "smoke", tmp_path), Store(tmp_path))
    assert stored.of_table(made) == []
