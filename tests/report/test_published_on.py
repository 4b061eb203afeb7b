"""Rows of one table whose printed APs are of several data sets: TSD's Table 8, † is minival."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detbench.recipe import load
from detbench.report import ablation
from detbench.report.results import TableResults
from detbench.results.store import Store
from detbench.runner.plan import Request, choose

MINIVAL = "TSD† ResNet-101"
WEIGHTS = ("training.weights=default",)


def results(folder: Path, profile: str, overrides: tuple[str, ...] = ()) -> TableResults:
    asked = Request("tsd-table8", profile, folder, overrides=overrides)
    return TableResults(choose(asked), Store(folder))


@pytest.fixture
def paper(tmp_path: Path) -> TableResults:
    return results(tmp_path, "paper", WEIGHTS)


def test_the_row_alone_is_comparable(paper: TableResults) -> None:
    assert paper.comparable_rows == [MINIVAL]
    assert not paper.comparable
    rows = {row["label"]: row["comparable"] for row in ablation.payload(paper)["rows"]}
    assert [label for label, same in rows.items() if same] == [MINIVAL]


def test_heading_and_note_say_of_what_the_numbers_are(paper: TableResults) -> None:
    sheet = ablation.sheet(paper)
    heads = {column.key: column.group for column in sheet.columns}
    assert heads["published_AP"] == "paper\nCOCO test-dev or COCO"
    assert heads["delta_AP"] == "Δ"
    said = next(note for note in sheet.notes if note.startswith("The paper's AP and AR"))
    assert said.endswith(f"they are not comparable but those of {MINIVAL}.")
    printed = {row.label: paper.printed_on(row) for row in paper.plan.table.rows}
    marked = {label for label, data in printed.items() if data != "COCO test-dev"}
    assert marked == {label for label in printed if "†" in label}


def test_the_difference_is_that_rows_alone(paper: TableResults) -> None:
    numbers = {row.planned.row.label: row for row in paper.rows}
    for label in (MINIVAL, "TSD ResNet-101"):
        row = numbers[label]
        measured = {**row.measured, "AP": replace(row.measured["AP"], value=43.0, reason=None)}
        found = ablation.delta(replace(row, measured=measured), "AP")
        assert found == (pytest.approx(-0.1) if label == MINIVAL else None)


def test_elsewhere_nothing_is_comparable(tmp_path: Path) -> None:
    small = results(tmp_path, "smoke")
    assert small.comparable_rows == []
    assert "delta_AP" not in {column.key for column in ablation.sheet(small).columns}
    ddod = load.table("ddod-table8")
    assert {ddod.elsewhere(row) for row in ddod.rows} == {"COCO test-dev"}
