import json
from dataclasses import replace
from pathlib import Path

import pytest
from no_torch import NoTorch
from report.made_store import all_metrics, fill, make

from detbench.recipe import load
from detbench.recipe.experiment import Cell
from detbench.recipe.table import Row, Table
from detbench.report import ablation
from detbench.report.formats import SHEET_FORMATS, markdown, render, terminal
from detbench.report.results import TableResults
from detbench.report.table import narrowed
from detbench.results.schema import Measurement
from detbench.results.store import Store
from detbench.runner import plan as plans
from detbench.runner.plan import Plan

TABLE = Table(
    id="own-table1",
    title="Two detectors",
    paper="own",
    columns=("AP", "APs", "gflops"),
    schedule="coco-1x",
    notes=("A note of the table.",),
    breaks=("ATSS",),
    rows=(
        Row(
            label="FCOS",
            detector="fcos-r50",
            columns={"Method": "FCOS"},
            published={"AP": 38.7, "APs": 22.9, "gflops": 200.59},
            misprints={"APs": "printed wrongly: 23.9 is meant"},
            fidelity="official-config",
        ),
        Row(
            label="ATSS",
            detector="atss-r50",
            columns={"Method": "ATSS"},
            published={"AP": 39.4, "gflops": 205.3},
            unmatched={"gflops": "the paper counts one layer less"},
        ),
        Row(label="Cited", published={"AP": 41.0}, cited="its code is not public"),
    ),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


PAPER = ("paper", (0,), "training.weights=default")


def _plan(profile: str = "smoke", seeds: tuple[int, ...] = (0,), *overrides: str) -> Plan:
    return plans.make(TABLE, load.profile(profile), seeds, None, overrides)


def _fill_all(store: Store, plan: Plan) -> None:
    fcos, atss = plan.rows[:2]
    assert fcos.cost is not None
    assert atss.cost is not None
    fill(store, fcos.train[0], AP=0.3064, APs=None)
    fill(store, atss.train[0], AP=0.3956, APs=0.1)
    fill(store, fcos.cost, gflops=200.5894)
    fill(store, atss.cost, gflops=206.31)


def _lines(plan: Plan, store: Store) -> list[str]:
    return markdown.render(ablation.sheet(TableResults(plan, store))).splitlines()


def test_another_data_set_stands_in_blocks_that_say_so(store: Store) -> None:
    plan = _plan()
    _fill_all(store, plan)
    lines = _lines(plan, store)
    assert lines[:6] == [
        "**own-table1: Two detectors**",
        "",
        "| Row | Method | measured shapes AP | measured shapes APs | paper COCO AP "
        "| paper COCO APs | measured GFLOPs | paper GFLOPs | Δ GFLOPs | Fidelity |",
        "|:--|:--|--:|--:|--:|--:|--:|--:|--:|:--|",
        "| FCOS | FCOS | 30.6 | <sup>1</sup> | 38.7 | 22.9<sup>2</sup> | 200.59 | 200.59 | 0.00 "
        "| official-config |",
        "| ATSS | ATSS | 39.6 | 10.0 | 39.4 |  | 206.31 | 205.30 | +1.01<sup>3</sup> | text-only |",
    ]
    assert "| Cited |  | <sup>4</sup> | <sup>4</sup> | 41.0 |  | <sup>4</sup> |  |  |" in lines[6]
    assert "1. no object of this size among the val images" in lines
    assert "2. printed wrongly: 23.9 is meant" in lines
    assert "3. the paper counts one layer less" in lines
    assert "4. cited only: its code is not public" in lines
    text = "\n".join(lines)
    assert "The paper's AP and AR are on COCO, measured ones on shapes: they are not comp" in text
    assert "A note of the table." in lines
    assert lines[-1] == "Cells: 4 of 4 done."


def test_no_difference_of_aps_under_another_protocol(store: Store) -> None:
    plan = _plan()
    _fill_all(store, plan)
    rows = ablation.payload(TableResults(plan, store))["rows"]
    assert [row["comparable"] for row in rows] == [False, False, False]
    assert [row["delta"]["AP"] for row in rows] == [None, None, None]
    assert rows[1]["delta"]["gflops"] == pytest.approx(1.01)


def test_the_papers_own_protocol_is_compared(store: Store) -> None:
    plan = _plan(*PAPER)
    _fill_all(store, plan)
    lines = _lines(plan, store)
    assert lines[2] == (
        "| Row | Method | measured AP | measured APs | paper AP | paper APs | Δ AP "
        "| measured GFLOPs | paper GFLOPs | Δ GFLOPs | Fidelity |"
    )
    assert lines[4].startswith(
        "| FCOS | FCOS | 30.6 | <sup>1</sup> | 38.7 | 22.9<sup>2</sup> | -8.1 "
    )
    assert "not comparable" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("override", "differs"),
    [
        ("training.weights=none", ("training.weights",)),
        ("training.batch=8", ("training.batch",)),
        ("evaluation.limit=10", ("evaluation.limit",)),
        ("inference.nms=0.5", ("detector.inference",)),
        ("training.precision=bf16", ()),
        ("training.checkpoint_every=5", ()),
    ],
)
def test_a_changed_setting_ends_comparability_unless_it_is_how_to_compute(
    override: str, differs: tuple[str, ...]
) -> None:
    rows = _plan(*PAPER, override).rows
    assert [row.differs for row in rows] == [differs, differs, ()]
    assert [row.comparable for row in rows] == [not differs, not differs, False]


def test_what_departs_from_the_paper_is_named(store: Store) -> None:
    lines = _lines(_plan("paper"), store)
    assert (
        "The paper's AP and AR are with other settings (training.weights): they are not comparable."
    ) in lines


def test_a_changed_detector_has_no_published_cost(store: Store) -> None:
    plan = _plan("paper", (0,), "heads.cls.depth=1")
    _fill_all(store, plan)
    rows = ablation.payload(TableResults(plan, store))["rows"]
    assert rows[0]["measured"]["gflops"] == 200.5894
    assert rows[0]["delta"]["gflops"] is None


def test_blanks_have_reasons(store: Store) -> None:
    plan = _plan()
    failure = Measurement(
        plan.rows[0].train[0].digest,
        "train-eval",
        "cell",
        None,
        "",
        status="failed",
        reason="the loss is NaN at iteration 7",
    )
    store.add([failure])
    rows = ablation.payload(TableResults(plan, store))["rows"]
    assert [row["status"] for row in rows] == ["failed", "missing", "cited"]
    assert rows[0]["reasons"]["AP"] == "FCOS: failed: the loss is NaN at iteration 7"
    assert rows[1]["reasons"]["AP"] == "not run with profile smoke"
    assert rows[2]["reasons"]["AP"] == "cited only: its code is not public"
    for row in rows:
        for metric, value in row["measured"].items():
            assert (value is None) == (metric in row["reasons"])
    assert _lines(plan, store)[-1] == "Cells: 0 of 4 done, 1 failed, 3 missing."


def test_seeds_give_mean_deviation_and_number_and_fail_closed(store: Store) -> None:
    plan = _plan("smoke", (0, 1, 2))
    cells = plan.rows[0].train
    assert [task.label for task in cells] == ["FCOS, seed 0", "FCOS, seed 1", "FCOS, seed 2"]
    fill(store, cells[0], 0, AP=0.30, APs=0.1)
    fill(store, cells[1], 1, AP=0.31, APs=0.1)
    [first, *_] = ablation.payload(TableResults(plan, store))["rows"]
    assert first["measured"]["AP"] is None
    assert first["reasons"]["AP"] == "FCOS, seed 2: not run"
    fill(store, cells[2], 2, AP=0.32, APs=0.1)
    assert "| FCOS | FCOS | 31.0 ± 1.0 | 10.0 ± 0.0 |" in "\n".join(_lines(plan, store))
    assert "Mean ± standard deviation over n = 3 seeds." in _lines(plan, store)
    [first, *_] = ablation.payload(TableResults(plan, store))["rows"]
    assert first["sd"]["AP"] == pytest.approx(1.0)


def test_a_single_seed_has_no_deviation(store: Store) -> None:
    plan = _plan()
    _fill_all(store, plan)
    assert "±" not in "\n".join(_lines(plan, store))


def test_the_same_store_gives_the_same_bytes_in_every_format(store: Store) -> None:
    plan = _plan()
    _fill_all(store, plan)
    for format in SHEET_FORMATS:
        texts = {
            render(ablation.sheet(TableResults(plan, Store(store.root))), format) for _ in range(2)
        }
        assert len(texts) == 1
    json.dumps(ablation.payload(TableResults(plan, store)), allow_nan=False)


def test_narrow_parts_hold_every_column_once(store: Store) -> None:
    plan = _plan()
    _fill_all(store, plan)
    whole = ablation.sheet(TableResults(plan, store))
    assert terminal.parts(whole, 200) == [list(range(len(whole.columns)))]
    parts = [narrowed(whole, chosen) for chosen in terminal.parts(whole, 42)]
    assert len(parts) == 3
    assert all(part.columns[0].key == "row" for part in parts)
    numbers = [column for part in parts for column in part.columns if column.right]
    assert numbers == [column for column in whole.columns if column.right]
    rules = [line for line in terminal.render(whole, 42).split("\n") if set(line) == {"─"}]
    assert len(rules) == 2 * len(parts)
    assert terminal.render(whole, 42).count(whole.notes[0][:20]) == 1
    assert whole.breaks == frozenset({1})


def test_report_and_an_idle_run_import_no_torch(tmp_path: Path, no_torch: NoTorch) -> None:
    root = tmp_path / "results"
    name = load.tables()[0]
    plan = plans.make(load.table(name), load.profile("smoke"))
    for task in plan.tasks:
        fill(Store(root), task, AP=0.25, gflops=200.0)
    outputs = []
    for words in (["run", name, "--format", "markdown"], ["report", name], ["report"]):
        words = [*words, "--profile", "smoke", "--results", str(root)]
        done = no_torch.detbench(*words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not done.modules & {"torch", "pandas", "torchvision"}
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    # Every table that something is stored of: the first one's baselines are in others too.
    assert outputs[2].startswith(outputs[0])
    assert "Cells: " in outputs[0]


def test_what_a_first_iteration_said_stands_at_the_numbers(tmp_path: Path) -> None:
    plan, store = make(seeds=(0, 1)), Store(tmp_path)
    notes = {0: ["the first loss 'cls' is 415, 162 times what ..."], 1: []}
    for task in plan.rows[0].train:
        assert isinstance(task.cell, Cell)
        seed = task.cell.seed
        row = Measurement(
            *(task.digest, task.kind, "AP", 0.3 + seed / 10, "fraction", {}, seed),
            provenance={"first": {"notes": notes[seed]}},
        )
        store.add([row, replace(row, metric="AP50")])
    for task in plan.rows[1].train:
        fill(store, task, **all_metrics(0.4))  # from before anything was looked at
    found = ablation.sheet(TableResults(plan, store))
    place = [column.key for column in found.columns].index("AP")
    said = "In training: the first loss 'cls' is 415, 162 times what ...."
    assert [row[place].note for row in found.rows[:2]] == [said, None]
    rows = ablation.payload(TableResults(plan, store))["rows"]
    assert [row["warnings"] for row in rows] == [notes[0], [], [], []]


def test_what_was_set_for_it_is_said_under_a_table(tmp_path: Path) -> None:
    overrides = ("training.iterations=3", "data.val=8")
    asked = plans.Request("tscode-table1", "smoke", tmp_path, rows="FCOS", overrides=overrides)
    lines = _lines(plans.choose(asked), Store(tmp_path))
    assert "Changed by --set: training.iterations=3; data.val=8." in lines
    assert not [
        one
        for one in _lines(plans.choose(replace(asked, overrides=())), Store(tmp_path))
        if "Changed" in one
    ]
