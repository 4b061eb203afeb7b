"""Rows of a table that are one cell: measured once, said so everywhere else."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from report.made_store import all_metrics, curve, fail, fill

from detbench.recipe import load
from detbench.recipe.metrics import SIZED
from detbench.recipe.table import Row, Table
from detbench.report import ablation, best, by_size, differences, figures
from detbench.report.figures.rows import of_grid
from detbench.report.figures.source import Source
from detbench.report.formats import SHEET_FORMATS, Report, html, render
from detbench.report.results import TableResults
from detbench.report.table import Entry, Sheet
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan

DEEPER = {"both": {"kind": "tower", "depth": 5}}
SAID = "same cell as FCOS"
TABLE = Table(
    id="own-table1",
    title="One cell, three rows",
    paper="own",
    columns=("AP", "AP50", "gflops"),
    schedule="coco-1x",
    breaks=("again",),
    rows=(
        Row(label="FCOS", detector="fcos-r50", published={"AP": 38.7, "gflops": 200.59}),
        Row(label="copy", detector="fcos-r50", published={"AP": 39.9, "gflops": 190.0}),
        Row(label="again", detector="fcos-r50"),
        Row(label="deeper", detector="fcos-r50", heads=DEEPER),
    ),
)


@pytest.fixture(autouse=True)
def fresh() -> None:
    """No memory of another test's store."""
    differences.CACHE.memory.clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def planned(seeds: tuple[int, ...] = (0,), rows: str | None = None, of: Table = TABLE) -> Plan:
    return plans.make(of, load.profile("smoke"), seeds, rows)


def done(store: Store, plan: Plan, *aps: float) -> Plan:
    """Store every cell of a plan, the trainings' APs in order."""
    cells = [task for task in plan.tasks if task.kind == "train-eval"]
    for task, ap in zip(cells, aps, strict=True):
        fill(store, task, **all_metrics(ap))
    for number, task in enumerate(task for task in plan.tasks if task.kind == "cost"):
        fill(store, task, gflops=200.0 + number, seed=None)
    return plan


def _entries(sheet: Sheet, key: str) -> list[Entry]:
    place = [column.key for column in sheet.columns].index(key)
    return [row[place] for row in sheet.rows]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_first_row_of_a_cell_is_named_by_the_others(seeds: tuple[int, ...]) -> None:
    plan = planned(seeds)
    assert [row.same for row in plan.rows] == ["", "FCOS", "FCOS", ""]
    assert sum(task.kind == "train-eval" for task in plan.tasks) == 2 * len(seeds)
    # Messages about a cell name the row that has its numbers.
    assert {task.label.partition(",")[0] for task in plan.tasks if task.kind == "train-eval"} == {
        "FCOS",
        "deeper",
    }
    # Of the rows that are shown, the first.
    assert [row.same for row in planned(seeds, "copy,again").rows] == ["", "copy"]


def test_rows_that_are_read_out_otherwise_are_other_cells() -> None:
    base = {"score_threshold": 0.05, "nms": 0.6}
    rows = tuple(
        Row(label=str(nms), detector="fcos-r50", inference=base | {"nms": nms})
        for nms in (0.5, 0.7)
    )
    plan = planned(of=TABLE.model_copy(update={"rows": rows, "breaks": ()}))
    assert [row.same for row in plan.rows] == ["", ""]
    one, other = (row.train[0] for row in plan.rows)
    assert one.work == other.work
    assert one.digest != other.digest


def test_cited_rows_share_nothing() -> None:
    rows = tuple(Row(label=name, cited="not public") for name in ("a", "b"))
    plan = planned(of=TABLE.model_copy(update={"rows": rows, "breaks": ()}))
    assert [row.same for row in plan.rows] == ["", ""]


def test_numbers_stand_once_and_are_never_bold_twice(store: Store) -> None:
    plan = done(store, planned((0, 1)), 0.4, 0.41, 0.3, 0.31)
    sheet = best.mark(ablation.sheet(TableResults(plan, store)))
    ap = _entries(sheet, "AP")
    assert [entry.text for entry in ap] == ["40.5 ± 0.7", "", "", "30.5 ± 0.7"]
    assert [entry.note for entry in ap] == [None, SAID, SAID, None]
    assert [entry.strong for entry in ap] == [True, False, False, False]
    # Costs are of the paper-size detector, each row's own; a copy is not the cheapest too.
    gflops = _entries(sheet, "gflops")
    assert [entry.text for entry in gflops] == ["200.00", "200.00", "200.00", "201.00"]
    assert [entry.strong for entry in gflops] == [True, False, False, False]
    # What the paper prints of a copy stays, and may be its best.
    assert [entry.strong for entry in _entries(sheet, "published_AP")] == [
        False,
        True,
        False,
        False,
    ]
    assert "Cells: 6 of 6 done. 2 rows have the same cell as another row." in sheet.notes


def test_every_format_says_so(store: Store) -> None:
    plan = done(store, planned(), 0.4, 0.3)
    sheet = best.mark(ablation.sheet(TableResults(plan, store)))
    for form in SHEET_FORMATS:
        text = render(sheet, form)
        if form == "csv":
            lines = list(csv.DictReader(io.StringIO(text)))
            assert [line["row_same_cell_as"] for line in lines] == ["", "FCOS", "FCOS", ""]
            assert [line["AP"] for line in lines] == ["40.0", "", "", "30.0"]
        else:
            assert SAID in text
    assert SAID in html.report(Report([TableResults(plan, store)], store.root))


def test_json_has_a_field_for_it(store: Store) -> None:
    plan = done(store, planned((0, 1)), 0.4, 0.41, 0.3, 0.31)
    rows: list[dict[str, Any]] = ablation.payload(TableResults(plan, store))["rows"]
    assert [row["same_cell_as"] for row in rows] == [None, "FCOS", "FCOS", None]
    assert [row["measured"]["AP"] for row in rows] == [pytest.approx(40.5), None, None, 30.5]
    assert [row["n"]["AP"] for row in rows] == [2, 0, 0, 2]
    assert rows[1]["reasons"]["AP"] == SAID
    assert rows[1]["change"]["metrics"] == {}
    assert rows[1]["digests"] == rows[0]["digests"]


def test_a_copy_has_no_difference_but_may_be_a_baseline(store: Store) -> None:
    found = TableResults(done(store, planned(), 0.4, 0.3), store).changes
    assert (found["copy"].reason, dict(found["copy"].found)) == (SAID, {})
    assert found["again"].baseline is None
    assert found["deeper"].baseline == "again"
    assert "detections" in found["deeper"].reason  # compared, had they been kept


def test_a_row_is_not_compared_with_itself_under_a_later_name(store: Store) -> None:
    rows = (TABLE.rows[0].model_copy(update={"baseline": "copy"}), *TABLE.rows[1:2])
    plan = done(store, planned(of=TABLE.model_copy(update={"rows": rows, "breaks": ()})), 0.4)
    found = TableResults(plan, store).changes
    assert found["FCOS"].reason == "same cell as its baseline copy"
    assert found["copy"].reason == SAID


def test_a_cell_has_one_mark_in_every_plot(store: Store) -> None:
    plan = done(store, planned(), 0.4, 0.3)
    for row in (plan.rows[0], plan.rows[3]):
        curve(store, row.train[0], 2.0, 1.0)
    found = {one.name: one.draw() for one in figures.pictures(TableResults(plan, store)).found}
    measured, published = found["own-table1-gflops"].axes
    points = [line for line in measured.lines if line.get_gid() == "points"]
    assert sum(len(line.get_xdata()) for line in points) == 2
    printed = [line for line in published.lines if line.get_gid() == "points"]
    assert sum(len(line.get_xdata()) for line in printed) == 2  # FCOS and copy, as printed
    for name in ("thresholds", "losses"):
        lines = [line for ax in found[f"own-table1-{name}"].axes for line in ax.lines]
        assert [line.get_label() for line in lines] == ["FCOS", "deeper"]
    bars = [text.get_text() for text in found["own-table1-sizes"].axes[0].get_legend().get_texts()]
    assert bars == ["FCOS", "deeper"]


def test_plots_from_detections_leave_copies_out(store: Store, monkeypatch: Any) -> None:
    plan = done(store, planned(), 0.4, 0.3)
    metrics = dict.fromkeys(SIZED, 0.5)
    monkeypatch.setattr(by_size, "_of_task", lambda store, task, truths: metrics)
    assert list(by_size.of_plan(plan, store)[0]) == ["FCOS", "deeper"]
    monkeypatch.setattr("detbench.report.error_columns.values", lambda *rest: [0.1])
    found = {one.name: one.draw() for one in figures.pictures(TableResults(plan, store)).found}
    labels = [text.get_text() for text in found["own-table1-errors"].axes[0].get_yticklabels()]
    assert labels == ["FCOS", "deeper"]


def _tower(pair: str, depth: int) -> dict[str, Any]:
    """Two pairs are the row above the grid."""
    depth = 4 if pair in ("bb", "bc") else depth
    return {"kind": "tower", "conv_bias": True, "depth": depth}


def test_a_heat_map_has_a_cell_once_even_where_its_first_row_is_not_in_the_grid(
    store: Store,
) -> None:
    values = ("a", "b", "c")
    grid = [
        Row(
            label=f"{x}{y}",
            detector="fcos-r50",
            columns={"X": x, "Y": y},
            heads=dict.fromkeys(("cls", "loc"), _tower(x + y, n)),
        )
        for n, (x, y) in enumerate(((x, y) for x in values for y in values), 5)
    ]
    whole = TABLE.model_copy(update={"rows": (TABLE.rows[0], *grid), "breaks": ()})
    plan = planned(of=whole)
    plan = done(store, plan, *(0.3 + 0.01 * n for n in range(8)))
    results = TableResults(plan, store)
    assert [row.planned.same for row in results.rows if row.planned.same] == ["FCOS", "FCOS"]
    [measured] = of_grid(Source(results))
    assert isinstance(measured, figures.Picture)
    texts = {text.get_text() for text in measured.draw().axes[0].texts}
    assert "30.0" in texts
    assert len([text for text in texts if text.replace(".", "").isdigit()]) == 8


def test_rows_of_one_cell_that_failed_give_its_reason_once(store: Store) -> None:
    plan = planned()
    fail(store, plan.rows[0].train[0], "the loss was not finite")
    ap = _entries(ablation.sheet(TableResults(plan, store)), "AP")
    assert [entry.note for entry in ap[:3]] == [
        "FCOS: failed: the loss was not finite",
        SAID,
        SAID,
    ]
