"""Rows against their baselines: what is compared, kept, printed, and why it is not."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.made_store import fill_boxes

from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.recipe.table import Row, Table
from detbench.report import ablation, differences, intervals
from detbench.report.differences import Bench, Change
from detbench.report.formats import csv
from detbench.report.formats.json import to_json
from detbench.report.results import TableResults
from detbench.results import cache, prune
from detbench.results.merge import merge
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan

ROWS = ("FCOS", "FCOS, deeper", "ATSS", "ATSS, deeper", "GFL")
TABLE = Table(
    id="own-table1",
    title="Baselines",
    paper="own",
    columns=("AP", "APs"),
    schedule="coco-1x",
    breaks=("ATSS",),
    rows=(
        Row(label="FCOS", detector="fcos-r50"),
        Row(
            label="FCOS, deeper", detector="fcos-r50", heads={"both": {"kind": "tower", "depth": 5}}
        ),
        Row(label="ATSS", detector="atss-r50"),
        Row(
            label="ATSS, deeper", detector="atss-r50", heads={"both": {"kind": "tower", "depth": 5}}
        ),
        Row(label="GFL", detector="gfl-r50", baseline="FCOS, deeper"),
    ),
)


@pytest.fixture(autouse=True)
def fresh() -> None:
    """No memory of another test's store."""
    differences.CACHE.memory.clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def planned(tmp_path: Path, seeds: tuple[int, ...] = (0,), rows: Table = TABLE) -> Plan:
    made = plans.make(rows, load.profile("smoke"), seeds, None, ("data.val=15",))
    return replace(made, data_root=tmp_path)


def fill_all(store: Store, plan: Plan) -> dict[str, float]:
    noises = (0.12, 0.06, 0.08, 0.08, 0.03)
    return {
        row.row.label: float(
            np.mean([fill_boxes(store, task, noise, 7 * i + j) for j, task in enumerate(row.train)])
        )
        for i, (row, noise) in enumerate(zip(plan.rows, noises, strict=True))
    }


def test_baselines_are_the_first_after_a_line_or_the_named() -> None:
    assert TABLE.baselines == {
        "FCOS": None,
        "FCOS, deeper": "FCOS",
        "ATSS": None,
        "ATSS, deeper": "ATSS",
        "GFL": "FCOS, deeper",
    }
    named = TABLE.model_copy(update={"baseline": "ATSS"})
    assert list(named.baselines.values()) == ["ATSS", "ATSS", None, "ATSS", "FCOS, deeper"]
    none = TABLE.model_copy(update={"baseline": "none", "rows": TABLE.rows[:4]})
    assert set(none.baselines.values()) == {None}


def test_every_table_of_the_catalogue_has_sound_baselines() -> None:
    for name in load.tables():
        loaded = load.table(name)
        labels = {row.label for row in loaded.rows}
        assert set(loaded.baselines.values()) <= labels | {None}


def test_a_baseline_that_is_no_row_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'id = "mine"\ntitle = "Mine"\npaper = "own"\ncolumns = ["AP"]\nschedule = "coco-1x"\n'
        'baseline = "FCSO"\n[[rows]]\nlabel = "FCOS"\ndetector = "fcos-r50"\nbaseline = "x"\n'
    )
    with pytest.raises(RecipeError) as caught:
        load.table(str(path))
    said = str(caught.value).splitlines()
    assert len(said) == 2
    assert "baseline: unknown row 'FCSO', did you mean 'FCOS'?" in said[0]
    assert "rows[0] \"FCOS\": baseline: unknown row 'x'" in said[1]


def test_values_are_the_differences_of_the_aps(tmp_path: Path, store: Store) -> None:
    plan = planned(tmp_path)
    aps = fill_all(store, plan)
    found = Bench(plan, store, ("AP", "AP50"), 200).changes()
    assert tuple(found) == ROWS
    for label, baseline in TABLE.baselines.items():
        change = found[label]
        assert change.baseline == baseline
        if baseline is None:
            assert change == Change(None)
            continue
        one = change.found["AP"]
        assert 100 * one.value == pytest.approx(aps[label] - aps[baseline])  # type: ignore[operator]
        assert one.low <= one.value <= one.high  # type: ignore[operator]
        assert set(change.found) == {"AP", "AP50"}
    assert found["FCOS, deeper"].found["AP"].real
    assert not found["ATSS, deeper"].found["AP"].real


def test_the_sheet_has_a_column_of_them_and_says_what_they_cover(
    tmp_path: Path, store: Store
) -> None:
    plan = planned(tmp_path)
    fill_all(store, plan)
    sheet = ablation.sheet(TableResults(plan, store))
    keys = [column.key for column in sheet.columns]
    at = keys.index("change_AP")
    assert keys[at - 2 : at + 2] == ["AP", "APs", "change_AP", "simultaneous_AP"]
    assert not {"p_AP", "adjusted_AP"} & set(keys)  # one seed finds nothing of a method
    assert {sheet.columns[at].group, sheet.columns[at + 1].group} == {"to baseline\nimages only"}
    assert not any(
        entry.strong for row in ablation.marked(TableResults(plan, store)).rows for entry in row
    )
    texts = [row[at].text for row in sheet.rows]
    assert (texts[0], texts[2]) == ("baseline", "baseline")
    one = Bench(plan, store, ("AP", "APs")).changes()["GFL"].found["AP"]
    assert one.wide is not None
    assert texts[4] == intervals.with_interval(one, 1)
    assert texts[4].startswith("+")
    assert sheet.rows[4][at].note == "compared with FCOS, deeper"
    assert sheet.rows[4][at].value == pytest.approx(100 * one.value)  # type: ignore[operator]
    assert sheet.rows[4][at + 1].text == intervals.ends(one.wide, 1)
    said = " ".join(sheet.notes)
    assert "1000 paired bootstrap replicates" in said
    assert "One seed each: the interval says how much the choice of val images matters" in said
    lines = csv.render(sheet).splitlines()
    assert "change_AP,change_AP_low,change_AP_high,simultaneous_AP,simultaneous_AP_low" in lines[0]
    assert lines[5].split(",")[-7:-1] == [
        str(value)
        for value in (
            *(100 * end for end in (one.value, one.low, one.high)),  # type: ignore[operator]
            *("", *(100 * end for end in one.wide)),
        )
    ]


def test_json_carries_all_of_it(tmp_path: Path, store: Store) -> None:
    plan = planned(tmp_path)
    fill_all(store, plan)
    rows = json.loads(to_json(ablation.payload(TableResults(plan, store))))["rows"]
    assert rows[0]["change"] == {"baseline": None, "reason": "", "metrics": {}}
    change = rows[1]["change"]
    assert change["baseline"] == "FCOS"
    numbers = change["metrics"]["AP"]
    assert numbers["value"] == pytest.approx(rows[1]["measured"]["AP"] - rows[0]["measured"]["AP"])
    assert numbers["low"] < numbers["value"] < numbers["high"]
    assert (numbers["seeds"], numbers["replicates"], numbers["covers"]) == ([1, 1], 1000, "images")
    # One seed has no p of a finding.
    assert (numbers["p"], numbers["adjusted"], numbers["family"]) == (None, None, 3)
    assert 0 < numbers["p_images"] <= numbers["adjusted_images"] <= 1
    assert rows[0]["n"] == {"AP": 1, "APs": 1}


def test_what_was_found_is_kept_and_nothing_computed_again(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path)
    fill_all(store, plan)
    told: list[Any] = []
    first = Bench(plan, store).changes(progress=lambda *at: told.append(at))
    assert told == [(1, 5), (3, 5), (4, 5)]
    # One for each training, whatever it is compared with.
    assert len(list(store.derived("replicates").iterdir())) == 5
    differences.CACHE.memory.clear()
    monkeypatch.setattr(differences, "of_results", None)
    # The data set need not be there any more.
    elsewhere = replace(plan, data_root=None)
    again = Bench(elsewhere, store).changes(progress=lambda *at: told.append(at))
    assert again == first
    assert len(told) == 3


def test_detections_are_not_needed_for_what_is_kept(tmp_path: Path, store: Store) -> None:
    """As in a store that is committed without them; what else a table asks for, it lacks."""
    plan = planned(tmp_path)
    fill_all(store, plan)
    Bench(plan, store, ("AP", "APs")).changes()
    more = Bench(plan, store, ("AP75", "AP")).changes()
    [only] = store.derived("replicates").glob(f"{plan.rows[0].train[0].digest}-*")
    assert json.loads(only.read_bytes())["kept"]["value"]["draws"].keys() == {"AP", "APs", "AP75"}
    items = list(prune.plan(store.root, detections=True))
    assert [one.action for one in prune.carry_out(store.root, items)] == ["delete"] * 5
    assert not list(store.cells.glob("*.detections.json.gz"))
    copy = Store(tmp_path / "copy")
    assert {one.action for one in merge(copy.root, store.root)} == {"copied"}
    for one in (store, copy):
        differences.CACHE.memory.clear()
        assert Bench(plan, one, ("AP75", "AP")).changes() == more
    lacking = Bench(plan, store, ("AP90",)).changes()["FCOS, deeper"]
    assert lacking.reason == "FCOS, deeper: no detections are stored"


def test_draws_written_before_they_were_packed_are_read(tmp_path: Path, store: Store) -> None:
    plan = planned(tmp_path)
    fill_all(store, plan)
    first = Bench(plan, store).changes()
    for path in store.derived("replicates").iterdir():
        kept = cache.read(path)
        draws = kept["value"]["draws"]
        found = differences.CACHE.load(kept["value"]).draws
        before = _written_before(found)
        assert len(json.dumps(draws)) < len(json.dumps(before))
        kept["value"]["draws"] = before
        cache.write(path, kept)
    for path in store.cells.glob("*.detections.json.gz"):
        path.unlink()
    differences.CACHE.memory.clear()
    assert Bench(plan, store).changes() == first


def _written_before(draws: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: base64.b64encode(np.asarray(one, "<f4").tobytes()).decode()
        for name, one in draws.items()
    }


def alone(change: Change) -> dict[str, Any]:
    """What is found of a row, without what depends on the others."""
    rest: dict[str, Any] = {"adjusted": None, "wide": None}
    return {metric: replace(one, **rest) for metric, one in change.found.items()}


def test_other_detections_are_compared_anew(tmp_path: Path, store: Store) -> None:
    plan = planned(tmp_path)
    fill_all(store, plan)
    before = Bench(plan, store, replicates=200).changes()
    fill_boxes(store, plan.rows[1].train[0], 0.2, 99)
    after = Bench(plan, store, replicates=200).changes()
    assert before["FCOS, deeper"] != after["FCOS, deeper"]
    assert alone(before["ATSS, deeper"]) == alone(after["ATSS, deeper"])
    other = Bench(plan, store, replicates=201).changes()
    assert alone(other["ATSS, deeper"]) != alone(after["ATSS, deeper"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"differences": {"AP": {"value": 1}}}'])
def test_a_damaged_cache_is_computed_again(tmp_path: Path, store: Store, content: bytes) -> None:
    plan = planned(tmp_path)
    fill_all(store, plan)
    first = Bench(plan, store, replicates=200).changes()
    for path in store.derived("replicates").iterdir():
        path.write_bytes(content)
    differences.CACHE.memory.clear()
    assert Bench(plan, store, replicates=200).changes() == first


def test_a_store_that_cannot_be_written_is_reported_all_the_same(
    tmp_path: Path, store: Store
) -> None:
    plan = planned(tmp_path)
    fill_all(store, plan)
    (store.root / "derived").write_text("in the way")
    assert Bench(plan, store, replicates=200).changes()["GFL"].found


def test_seeds_fail_closed_and_are_combined(tmp_path: Path, store: Store) -> None:
    plan = planned(tmp_path, (0, 1, 2))
    for row, noise in zip(plan.rows, (0.12, 0.05, 0.08, 0.08, 0.03), strict=True):
        for number, task in enumerate(row.train):
            if (row.row.label, number) != ("ATSS", 2):
                fill_boxes(store, task, noise, number)
    found = Bench(plan, store, replicates=200).changes()
    one = found["FCOS, deeper"].found["AP"]
    assert (one.seeds_a, one.seeds_b, one.sources) == (3, 3, "images and seeds")
    assert found["ATSS, deeper"].reason == "ATSS, seed 2: not run"
    sheet = ablation.sheet(TableResults(plan, store))
    keys = [column.key for column in sheet.columns]
    assert sheet.rows[3][keys.index("change_AP")].note == "ATSS, seed 2: not run"
    assert sheet.rows[2][keys.index("AP")].note == "ATSS, seed 2: not run"
    assert " ± " in sheet.rows[0][keys.index("AP")].text
    assert "Mean ± standard deviation over n = 3 seeds." in sheet.notes
    assert any("the choice of val images and of seeds (n = 3)" in note for note in sheet.notes)
    rows = ablation.payload(TableResults(plan, store))["rows"]
    assert (rows[0]["n"]["AP"], rows[2]["n"]["AP"]) == (3, 0)
    assert rows[2]["measured"]["AP"] is None


def test_reasons_for_none(tmp_path: Path, store: Store) -> None:
    plan = planned(tmp_path)
    fill_boxes(store, plan.rows[0].train[0], 0.1, detections=False)
    fill_boxes(store, plan.rows[1].train[0], 0.1)
    found = Bench(plan, store).changes()
    assert found["FCOS, deeper"].reason == "FCOS: no detections are stored"
    assert found["ATSS, deeper"].reason == "ATSS, deeper: not run"
    assert all(not change.found for change in found.values())
    keys = [column.key for column in ablation.sheet(TableResults(plan, store)).columns]
    assert "change_AP" not in keys  # a column without anything is not printed
    part = plans.make(TABLE, load.profile("smoke"), (0,), "FCOS, deeper", ("data.val=15",))
    only = Bench(part, store).changes()["FCOS, deeper"]
    assert only.reason == "its baseline FCOS is not among these rows"


def test_a_table_without_ap_has_none(tmp_path: Path, store: Store) -> None:
    without = TABLE.model_copy(update={"columns": ("gflops",)})
    assert TableResults(planned(tmp_path, rows=without), store).changes == {}
    other = TABLE.model_copy(update={"columns": ("gflops", "AP75")})
    plan = planned(tmp_path, rows=other)
    for row in plan.rows:
        fill_boxes(store, row.train[0], 0.1)
    keys = [column.key for column in ablation.sheet(TableResults(plan, store)).columns]
    assert "change_AP75" in keys


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [(0.8, 1, "+0.8"), (-0.25, 1, "-0.3"), (0.04, 1, "0.0"), (-0.04, 1, "0.0"), (0, 2, "0.00")],
)
def test_signs(value: float, digits: int, said: str) -> None:
    assert intervals.signed(value, digits) == said
