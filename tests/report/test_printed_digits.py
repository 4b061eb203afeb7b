"""What papers print is shown with their digits, by every command and in every format."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from detbench.cli import show
from detbench.recipe import load
from detbench.report import ablation
from detbench.report.formats import csv as csv_format
from detbench.report.formats import json as json_format
from detbench.report.formats import latex, markdown, terminal
from detbench.report.results import TableResults
from detbench.report.table import Sheet
from detbench.results.store import Store
from detbench.runner.plan import Request, choose

LISTED = [name for name in load.tables() if "[[rows]]" in load.find("table", name).read_text()]


def texts(name: str) -> dict[str, dict[str, str]]:
    """The numbers as the file has them, by row: another reading of it than the recipes' own."""
    with load.find("table", name).open("rb") as file:
        data: dict[str, Any] = tomllib.load(file, parse_float=str)
    rows = data["rows"]
    return {row["label"]: {k: str(v) for k, v in row.get("published", {}).items()} for row in rows}


def report(name: str, folder: Path) -> Sheet:
    return ablation.sheet(TableResults(choose(Request(name, "paper", folder)), Store(folder)))


def test_most_tables_list_their_rows() -> None:
    assert len(LISTED) >= 41


@pytest.mark.parametrize("name", LISTED)
def test_show_and_report_have_the_digits_of_the_file(name: str, tmp_path: Path) -> None:
    written = texts(name)
    for sheet, prefix in (
        (show.table_sheet(load.table(name), tmp_path), ""),
        (report(name, tmp_path), "published_"),
    ):
        keys = [column.key for column in sheet.columns]
        for row in sheet.rows:
            for metric, text in written[row[0].text].items():
                assert row[keys.index(prefix + metric)].text == text, (row[0].text, metric)


@pytest.mark.parametrize(
    ("name", "row", "numbers"),
    [
        ("tsd-table4", "Point.w, -", ["38.0", "60.3", "40.89"]),
        ("tsd-table5", "ResNet-152", ["40.7", "62.6", "44.6", "76.39", "191.3"]),
        ("tsd-table6", "DCN-SENet154*", ["70", "57.771"]),
        ("tsd-table6", "DCN-SENet154* + TSD", ["72.19", "60.5"]),
        ("decoupled-rcnn-table9", "Faster R-CNN ResNet-101", ["0.149", "295.7", "60.52"]),
        ("decoupled-rcnn-table8", "R101 FPN", ["0.156", "295.70", "60.52"]),
    ],
)
def test_every_format_has_them(name: str, row: str, numbers: list[str], tmp_path: Path) -> None:
    sheet = report(name, tmp_path)
    for render in (markdown.render, latex.render, terminal.render):
        # LaTeX and terminals may part wide tables: the row stands in each part.
        every = re.sub(r"[\\{}]", "", render(sheet)).splitlines()
        lines = [one for one in every if one.strip("| ").startswith(row)]
        words = set(re.split(r"[\s|&*]+", " ".join(lines)))
        assert set(numbers) <= words, lines
    lines = list(csv.reader(io.StringIO(csv_format.render(sheet))))
    assert set(numbers) <= set(next(line for line in lines if line[0] == row))
    rows = json.loads(json_format.render(sheet))["rows"]
    plain = next(one for one in rows if one["row"] == row)
    assert {float(one) for one in numbers} <= {
        one for one in plain.values() if isinstance(one, float)
    }
