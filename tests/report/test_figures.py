from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import made_latency
import numpy as np
import pytest
from report.made_store import TABLE, all_metrics, curve, fail, fill, make

from detbench.data.kinds import CocoJson
from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.report import error_columns, figures
from detbench.report.differences import Bench, Change
from detbench.report.figures import Pictures
from detbench.report.results import TableResults
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.statistics.bootstrap import Difference


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def _named(found: Pictures) -> dict[str, figures.Picture]:
    return {one.name.removeprefix("own-table1-"): one for one in found.found}


def _half(store: Store) -> None:
    plan = make()
    fill(store, plan.rows[0].train[0], **all_metrics(0.3))
    fail(store, plan.rows[1].train[0], "NaN")
    assert plan.rows[0].cost is not None
    assert plan.rows[1].cost is not None
    fill(store, plan.rows[0].cost, gflops=200.5)
    fill(store, plan.rows[1].cost, gflops=206.0)


def test_of_an_empty_store_only_what_is_printed_is_drawn(store: Store) -> None:
    found = figures.pictures(TableResults(make(), store))
    assert list(_named(found)) == ["gflops"]
    figure = _named(found)["gflops"].draw()
    [ax] = figure.axes
    assert ax.get_title() == "published"
    assert figure.get_supxlabel() == "As the paper prints it, on COCO."
    assert "AP over IoU thresholds: no row is done." in found.absent
    assert any(reason.startswith("Loss curves: no curve is kept in ") for reason in found.absent)


def test_only_done_rows_are_drawn_and_published_ones_apart(store: Store) -> None:
    _half(store)
    found = _named(figures.pictures(TableResults(make(), store)))
    measured, published = found["gflops"].draw().axes
    points = [line for line in measured.lines if line.get_gid() == "points"]
    # ATSS failed: it has a cost but no AP.
    assert [tuple(point) for line in points for point in line.get_xydata()] == [(200.5, 30.0)]
    printed = [line for line in published.lines if line.get_gid() == "points"]
    assert sorted(point[1] for line in printed for point in line.get_xydata()) == [38.7, 39.4]
    assert "shapes" in measured.get_ylabel()
    assert "COCO" in published.get_ylabel()
    assert "paper-size" in measured.get_xlabel()
    [lines] = found["thresholds"].draw().axes
    [line] = lines.lines
    assert line.get_label() == "FCOS"
    assert list(line.get_ydata()) == pytest.approx([42.5 - 2.5 * i for i in range(10)])
    [bars] = found["sizes"].draw().axes
    assert [bar.get_height() for bar in bars.patches] == pytest.approx([0, 30, 40])


def test_every_picture_names_the_profile_and_the_data(store: Store) -> None:
    import matplotlib.text

    _half(store)
    curve(store, make().rows[0].train[0], 3.0, 2.0)
    found = figures.pictures(TableResults(make(), store)).found
    assert len(found) == 4
    for picture in found:
        texts = picture.draw().findobj(matplotlib.text.Text)
        words = " ".join(" ".join(text.get_text() for text in texts).split())
        assert "Profile smoke" in words, picture.name
        assert "shapes covered 128 px" in words, picture.name


def test_seeds_are_averaged_and_a_missing_one_leaves_the_row_out(store: Store) -> None:
    plan = make(seeds=(0, 1))
    fill(store, plan.rows[0].train[0], 0, **all_metrics(0.3))
    assert "thresholds" not in _named(figures.pictures(TableResults(plan, store)))
    fill(store, plan.rows[0].train[1], 1, **all_metrics(0.4))
    [ax] = _named(figures.pictures(TableResults(plan, store)))["thresholds"].draw().axes
    assert ax.lines[0].get_ydata()[0] == pytest.approx(47.5)


def test_another_profiles_numbers_are_not_drawn(store: Store) -> None:
    fill(store, make("small").rows[0].train[0], **all_metrics(0.3))
    assert list(_named(figures.pictures(TableResults(make("smoke"), store)))) == ["gflops"]


def test_curves_say_which_training_is_not_done(store: Store) -> None:
    _half(store)
    rows = make().rows
    curve(store, rows[0].train[0], 3.0, 2.0, 1.0)
    curve(store, rows[1].train[0], 3.0, float("nan"))
    curve(store, rows[2].train[0], 3.0)
    [ax] = _named(figures.pictures(TableResults(make(), store)))["losses"].draw().axes
    assert [line.get_label() for line in ax.lines] == [
        "FCOS",
        "ATSS (failed)",
        "GFL (not finished)",
    ]
    assert [list(line.get_ydata()) for line in ax.lines] == [[3, 2, 1], [3], [3]]


def test_latency_is_drawn_where_it_is_known(store: Store) -> None:
    _half(store)
    found = figures.pictures(TableResults(make(), store))
    [reason] = [one for one in found.absent if one.startswith("AP against latency")]
    assert reason.endswith("detbench latency own-table1 --profile smoke measures it.")
    for row, ms in zip(make().rows[:2], (12.5, 13.0), strict=True):
        cell = row.train[0].cell
        assert isinstance(cell, Cell)
        made_latency.store(store, made_latency.cell(cell.detector), ms, ("own-table1", ""))
    [ax] = _named(figures.pictures(TableResults(make(), store)))["latency"].draw().axes
    [points] = [line for line in ax.lines if line.get_gid() == "points"]
    assert points.get_xydata().tolist() == [[12.5, 30.0]]


def test_printed_milliseconds_are_drawn_as_seconds_are(store: Store) -> None:
    plan = plans.choose(plans.Request("tsd-table5", "smoke", Path("data"), (0,), "ResNet-50*"))
    [picture] = figures.pictures(TableResults(plan, store)).found
    [ax] = picture.draw().axes
    assert ax.get_xlabel() == "ms / image, as the paper prints it"
    points = [line for line in ax.lines if line.get_gid() == "points"]
    drawn = sorted(float(x) for line in points for x in line.get_xdata())
    assert drawn == [159.4, 174.9]


def test_rows_on_different_data_share_no_axes(store: Store) -> None:
    fcos, atss, *_ = TABLE.rows
    other = atss.model_copy(update={"schedule": "voc-decoupled-rcnn"})
    table = TABLE.model_copy(update={"rows": (fcos, other)})
    found = figures.pictures(TableResults(plans.make(table, load.profile("paper")), store))
    assert found.found == ()
    assert found.absent[0].startswith("No plots: rows are measured on COCO val2017 and VOC 2007_te")


def test_a_name_of_one_data_set_may_have_an_and_in_it(store: Store) -> None:
    own = CocoJson(kind="coco-json", annotations="cats and dogs.json", images="pictures")
    plan = plans.make(TABLE, load.profile("smoke"), source=plans.DataSource(own))
    assert TableResults(plan, store).measured_on == "cats and dogs.json"
    assert list(_named(figures.pictures(TableResults(plan, store)))) == ["gflops"]


def _difference(value: float) -> Difference:
    known: dict[str, Any] = dict.fromkeys(one.name for one in fields(Difference))
    known |= {"value": value, "low": value - 0.01, "high": value + 0.02, "p": 0.03}
    return Difference(**{**known, "replicates": 9, "sources": "images", "family": 1})


def test_differences_are_drawn_in_points_beside_their_baseline(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {
        "FCOS": Change(None),
        "ATSS": Change("FCOS", {"AP": _difference(0.05)}),
        "GFL": Change("FCOS", reason="GFL: not run"),
    }
    monkeypatch.setattr(Bench, "changes", lambda *rule: known)
    figure = _named(figures.pictures(TableResults(make(), store)))["differences"].draw()
    [ax] = figure.axes
    [bars] = ax.containers
    assert bars[0].get_xdata() == pytest.approx([5.0])
    assert bars[2][0].get_segments()[0][:, 0].tolist() == pytest.approx([4.0, 7.0])
    assert [one.get_text() for one in ax.get_yticklabels()] == ["ATSS  −  FCOS"]
    assert "One seed each" in " ".join(figure.get_supxlabel().split())
    assert "Thin" not in figure.get_supxlabel()
    together = replace(_difference(0.05), family=3, wide=(0.03, 0.08))
    known["ATSS"] = Change("FCOS", {"AP": together})
    figure = _named(figures.pictures(TableResults(make(), store)))["differences"].draw()
    said = " ".join(figure.get_supxlabel().split())
    assert "Thin: intervals that hold for all 3 rows together" in said
    known["ATSS"] = Change("FCOS", reason="ATSS: no detections are stored")
    absent = figures.pictures(TableResults(make(), store)).absent
    assert "Differences to the baseline: ATSS: no detections are stored." in absent


def test_error_types_are_drawn_in_points(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _half(store)
    monkeypatch.setattr(
        error_columns, "values", lambda found, name: [0.1 if name == "E_loc" else 0.02]
    )
    axes = _named(figures.pictures(TableResults(make(), store)))["errors"].draw().axes
    widths = [group[0].get_width() for ax in axes for group in ax.containers]
    assert widths == pytest.approx([2, 10, 2, 2, 2, 2])
    monkeypatch.setattr(error_columns, "values", lambda found, name: "no detections")
    assert "Error types: no detections." in figures.pictures(TableResults(make(), store)).absent


def test_a_sweep_is_a_heat_map_of_what_is_done(store: Store) -> None:
    plan = plans.make(load.table("double-head-figure6"), load.profile("smoke"), (0,), "*(c)")
    for index, row in enumerate(plan.rows[:3]):
        fill(store, row.train[0], AP=0.3 + index / 100)
    found = {one.name: one for one in figures.pictures(TableResults(plan, store)).found}
    ax, *_ = found["double-head-figure6-grid"].draw().axes
    numbers = ax.images[0].get_array()
    assert numbers[0][:3].tolist() == pytest.approx([30.0, 31.0, 32.0])
    assert int(np.isfinite(np.ma.filled(numbers, np.nan)).sum()) == 3
    # Two printed numbers of twenty-five are no map.
    assert "double-head-figure6-grid-published" not in found


def test_very_many_rows_are_cut_and_the_picture_says_so(store: Store) -> None:
    plan = plans.make(load.table("double-head-figure6"), load.profile("smoke"))
    for task in {row.train[0].digest: row.train[0] for row in plan.rows}.values():
        fill(store, task, **all_metrics(0.3))
    found = {one.name: one for one in figures.pictures(TableResults(plan, store)).found}
    figure = found["double-head-figure6-thresholds"].draw()
    assert sum(len(ax.lines) for ax in figure.axes) == 24
    assert "The first 24 of 85 rows: --rows chooses others." in " ".join(
        figure.get_supxlabel().split()
    )
