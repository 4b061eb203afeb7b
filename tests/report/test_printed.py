"""What reports print, held to what was printed before the formats were one table (issue 10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report import made_printed

from detbench.report import ablation, by_size, differences, error_columns
from detbench.report.figures import pictures
from detbench.report.formats import FORMATS, SHEET_FORMATS, Report, render, report
from detbench.report.results import TableResults
from detbench.results.store import Store

PRINTED = Path(__file__).parent / "printed"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    for one in (by_size, differences, error_columns):
        one.CACHE.memory.clear()
    return made_printed.store(tmp_path_factory.mktemp("results"))


def _results(store: Store, seeds: tuple[int, ...]) -> TableResults:
    return TableResults(made_printed.make(store.root, seeds), store)


def _near(found: Any) -> Any:
    """Plain values whose numbers equal others but for the last digits."""
    if isinstance(found, dict):
        return {key: _near(one) for key, one in found.items()}
    if isinstance(found, list):
        return [_near(one) for one in found]
    return pytest.approx(found, rel=1e-9) if isinstance(found, float) else found


@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["one", "two"])
@pytest.mark.parametrize("format", [*SHEET_FORMATS, "payload"])
def test_reports_print_what_they_did(store: Store, format: str, seeds: tuple[int, ...]) -> None:
    printed = (PRINTED / f"{format}-{len(seeds)}.txt").read_text()
    results = _results(store, seeds)
    if format == "payload":
        text = report(Report([results], store.root, single=True), "json")
    else:
        text = render(ablation.marked(results), format)
    if FORMATS.get(format, FORMATS["json"]).payload:
        found = json.loads(text)
        if format == "payload":
            for row in found["rows"]:
                del row["digests"]
        assert found == _near(json.loads(printed))
    elif format == "csv":
        pairs = zip(text.splitlines(), printed.splitlines(), strict=True)
        for ours, theirs in pairs:
            assert _cells(ours) == [_near(cell) for cell in _cells(theirs)]
    else:
        assert text == printed


def _cells(line: str) -> list[float | str]:
    def cell(text: str) -> float | str:
        try:
            return float(text)
        except ValueError:
            return text

    return [cell(text) for text in line.split(",")]


@pytest.mark.parametrize("format", list(FORMATS))
def test_every_format_takes_results_of_no_table_and_of_several(store: Store, format: str) -> None:
    results = _results(store, (0,))
    none = report(Report([], store.root), format)
    two = report(Report([results, results], store.root), format)
    assert two.count("FCOS, deeper") >= 2 > none.count("FCOS, deeper")


def test_a_cells_file_is_read_once_for_all_that_is_printed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    parse = Store._read

    def counted(self: Store, path: Path, digest: str) -> Any:
        rows = parse(self, path, digest)
        read.extend([path] if rows else [])
        return rows

    monkeypatch.setattr(Store, "_read", counted)
    results = _results(store, (0, 1))
    for format in FORMATS:
        report(Report([results], store.root), format)
    assert pictures(results).found
    assert len(read) == len(set(read)) == len(list((store.root / "cells").glob("*.parquet")))


def test_results_are_read_when_they_are_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_read", None)
    results = _results(store, (0,))
    assert results.measured_kind == "shapes"
    with pytest.raises(TypeError):
        _ = results.rows
