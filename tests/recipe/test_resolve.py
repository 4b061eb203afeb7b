from __future__ import annotations

from typing import Any

import pytest

from detbench.data.kinds import Coco, CocoJson, Shapes
from detbench.errors import RecipeError
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Training
from detbench.recipe.table import Light, Row, Table
from detbench.recipe.validate import parse

TABLE = load.table("tscode-table1")


def light(channels: int = 64, **settings: Any) -> Light:
    data = {"backbone": {"blocks": (1, 1, 1, 1)}, "channels": channels, **settings}
    spec, mistakes = parse(Light, data, "test")
    assert spec is not None, mistakes
    return spec


def test_rows_times_seeds_in_order() -> None:
    rows = resolve.cells(TABLE, "smoke", (0, 3), rows="GFL")
    assert [(row.row.label, row.seed, row.cell and row.cell.seed) for row in rows] == [
        ("GFL", 0, 0),
        ("GFL", 3, 3),
    ]
    assert digest(rows[0].cell) != digest(rows[1].cell)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        (None, 12),
        ("FCOS*", 4),
        ("fcos", 1),
        ("* + DPE", 6),
        ("FCOS, GFL + SCE", 2),
        ("GFL,ATSS", 2),
    ],
)
def test_rows_by_pattern(pattern: str | None, labels: int) -> None:
    assert len(resolve.select(TABLE, pattern)) == labels


def test_rows_that_are_not_there() -> None:
    with pytest.raises(RecipeError, match=r"--rows 'FOCS': .* did you mean 'FCOS'\? \(rows: FCOS,"):
        resolve.select(TABLE, "FOCS, GFL")


def test_paper_profile_replaces_nothing() -> None:
    (row,) = resolve.cells(TABLE, "paper", rows="FCOS + SCE")
    assert row.cell is not None
    assert row.cell.detector == row.paper_detector
    assert row.cell.data == Coco(kind="coco")
    assert row.cell.training.epochs == 12
    assert row.cell.training.schedule.warmup_ratio == pytest.approx(1 / 3)  # type: ignore[union-attr]


def test_each_row_trains_as_its_host() -> None:
    (atss,) = resolve.cells(TABLE, "paper", rows="ATSS")
    assert atss.cell is not None
    assert atss.cell.training.schedule.warmup_ratio == 0.001  # type: ignore[union-attr]


def test_nobody_asked_for_weights() -> None:
    (row,) = resolve.cells(TABLE, "paper", rows="ATSS")
    assert row.cell is not None
    assert row.cell.training.weights == "none"
    assert "from scratch" in row.warnings[0]
    (asked,) = resolve.cells(TABLE, "paper", rows="ATSS", overrides=["training.weights=default"])
    assert asked.cell is not None
    assert asked.warnings == ()
    assert asked.cell == resolve.paper_cell(asked.row, TABLE)
    assert digest(asked.cell) != digest(row.cell)


def test_light_scales_the_network() -> None:
    (row,) = resolve.cells(TABLE, "paper", rows="FCOS + SCE")
    assert row.paper_detector is not None
    small = resolve.lighten(row.paper_detector, light(64, first=4, levels=3))
    assert (small.backbone.depth, small.backbone.blocks) == (50, (1, 1, 1, 1))  # type: ignore[union-attr]
    assert (small.neck.channels, small.neck.first, small.neck.levels) == (64, 4, 3)
    assert small.heads.of("cls").channels == 128  # type: ignore[union-attr]
    assert small.heads.of("loc").channels == 64  # type: ignore[union-attr]
    assert small.heads.of("cls").depth == 2  # type: ignore[union-attr]
    assert small.features == row.paper_detector.features


@pytest.mark.parametrize(("channels", "width"), [(4, 8), (36, 40), (100, 104), (128, 128)])
def test_light_widths_are_multiples_of_eight(channels: int, width: int) -> None:
    detector = load.detector("gfl-r50").detector
    assert resolve.lighten(detector, light(channels)).heads.of("loc").channels == width  # type: ignore[union-attr]


def test_light_keeps_a_shared_head_shared_and_the_users_own() -> None:
    row = Row(
        label="own",
        detector="fcos-r50",
        heads={"both": {"kind": "tower", "channels": 512}},
        neck={"kind": "custom", "target": "mine:Neck"},
        backbone={"kind": "custom", "target": "mine:Body"},
    )
    paper = resolve.paper_detector(row)
    assert paper is not None
    small = resolve.lighten(paper, light(64))
    assert small.heads.shared
    assert small.heads.both.channels == 128  # type: ignore[union-attr]
    assert (small.neck, small.backbone) == (paper.neck, paper.backbone)


def test_towers_without_norm_take_the_profiles_own_rate() -> None:
    """At the others' rate RetinaNet learns nothing with AdamW; the network stays what it is."""

    def rate(name: str, profile: str, *changes: str) -> float:
        cell = resolve.cell(name, profile, 0, changes).cell
        assert cell is not None
        return cell.training.optimizer.lr

    share = load.profile("smoke").light.plain_lr  # type: ignore[union-attr]
    assert rate("retinanet-r50", "smoke") == pytest.approx(share * rate("atss-r50", "smoke"))
    assert rate("faster-rcnn-r50", "smoke") == rate("atss-r50", "smoke")
    assert rate("retinanet-r50", "paper") == 0.01
    assert rate("retinanet-r50", "smoke", "training.optimizer.lr=0.5") == 0.5
    hosts = {
        row.row.label: row
        for row in resolve.cells(load.table("ddod-table3"), load.profile("smoke"))
    }
    rates = {label: row.cell.training.optimizer.lr for label, row in hosts.items() if row.cell}
    assert rates["RetinaNet"] == rates["RetinaNet + DDOD"] < rates["FCOS"] == rates["FCOS + DDOD"]


def test_the_papers_size_is_kept_for_costs() -> None:
    (row,) = resolve.cells(TABLE, "smoke", rows="FCOS", overrides=["heads.cls.depth=1"])
    assert row.cell is not None
    assert row.paper_detector is not None
    assert row.paper_detector.backbone.depth == 50  # type: ignore[union-attr]
    assert row.paper_detector.heads.of("cls").depth == 1  # type: ignore[union-attr]
    assert row.paper_detector.heads.of("cls").channels == 256  # type: ignore[union-attr]
    assert row.cell.detector.heads.of("cls").depth == 1  # type: ignore[union-attr]


def test_a_cited_row_says_why_it_does_not_run() -> None:
    cited = Row(label="theirs", cited="no code", published={"AP": 40.0})
    table = Table(id="t", title="T", paper="own", columns=("AP",), rows=(cited,))
    (row,) = resolve.cells(table, "smoke")
    assert (row.cell, row.paper_detector) == (None, None)
    assert row.reason == "cited only: no code"
    assert resolve.paper_data(table) == []


def test_a_data_set_in_place_of_the_profiles() -> None:
    both = resolve.parse_dataset("coco:a.json:images:b.json:others")
    assert isinstance(both, CocoJson)
    assert (both.val_annotations, both.val_images) == ("b.json", "others")
    data = resolve.parse_dataset("coco:a.json:images")
    (row,) = resolve.cells(TABLE, "smoke", rows="FCOS", data=data)
    assert row.cell is not None
    assert row.cell.data == CocoJson(kind="coco-json", annotations="a.json", images="images")
    shapes = resolve.parse_dataset("shapes")
    (same,) = resolve.cells(TABLE, "smoke", rows="FCOS", data=shapes)
    assert same.cell is not None
    assert same.cell.data == load.profile("smoke").data


def test_size_bounds_are_scaled_for_the_profiles_own_data_alone() -> None:
    """Scenes of 128 pixels have smaller objects than photographs."""
    mine = resolve.parse_dataset("coco:train.json:images:val.json:images")
    for data, scale in ((None, 0.375), (resolve.parse_dataset("shapes"), 0.375), (mine, 1.0)):
        made = resolve.cell("fcos-r50", "smoke", data=data).cell
        assert made is not None
        assert made.evaluation.area_scale == scale
        assert resolve.scored("smoke", data=data).evaluation.area_scale == scale
    set_ = resolve.cell("fcos-r50", "smoke", 0, ["evaluation.area_scale=0.5"], mine).cell
    assert set_ is not None
    assert set_.evaluation.area_scale == 0.5


def test_datasets_by_name() -> None:
    assert resolve.parse_dataset("coco") == Coco(kind="coco")
    assert resolve.parse_dataset("shapes") == Shapes(kind="shapes")
    for wrong in ("cocoo", "cocoo:a.json:b", "vok", "a.json"):
        with pytest.raises(RecipeError, match=r"--dataset '.*' *: unknown"):
            resolve.parse_dataset(wrong)
    for wrong in ("coco:a.json", "coco:", "coco::b", "yolo:"):
        with pytest.raises(RecipeError, match=r"--dataset '.*': give it as (coco|yolo):"):
            resolve.parse_dataset(wrong)


def test_profile_asked_for() -> None:
    profile, said = resolve.choose_profile("small", [Coco(kind="coco")], lambda data: True)
    assert (profile.id, said) == ("small", None)


@pytest.mark.parametrize(("there", "taken"), [(True, "paper"), (False, "smoke")])
def test_profile_by_what_data_is_there(there: bool, taken: str) -> None:
    profile, said = resolve.choose_profile(None, resolve.paper_data(TABLE), lambda data: there)
    assert profile.id == taken
    assert said is not None
    assert said.startswith(f"profile: {taken}, as ")
    assert "\n" not in said


def test_embedded_data_never_means_the_paper_profile() -> None:
    profile, _ = resolve.choose_profile(None, [Shapes(kind="shapes")], lambda data: True)
    assert profile.id == "smoke"


def training(**settings: object) -> Training:
    base = {"epochs": 1, "optimizer": {"kind": "sgd", "lr": 0.01}}
    spec, mistakes = parse(Training, {**base, **settings}, "test")
    assert spec is not None, mistakes
    return spec


def test_learning_rate_in_proportion_to_the_batch() -> None:
    half = {"kind": "sgd", "lr": 0.005}
    assert resolve.batch_warning(training(), 0.01, 16) is None
    assert resolve.batch_warning(training(batch=8, optimizer=half), 0.01, 16) is None
    assert resolve.batch_warning(training(batch=8), 0.01, 16) == (
        "learning rate 0.01 with batch 8 is not the recipe's ratio (0.01 for 16): "
        "--set training.optimizer.lr=0.005 keeps it"
    )
    adam = {"kind": "adamw", "lr": 0.01}
    assert resolve.batch_warning(training(batch=8, optimizer=adam), 0.01, 16) is None


def test_a_single_detector() -> None:
    row = resolve.cell("retinanet-r50", "smoke", seed=2)
    assert row.cell is not None
    assert row.cell.seed == 2
    whole = load.profile("smoke")
    found, profile, light = row.cell.training, whole.training, whole.light
    assert profile is not None
    assert light is not None
    assert found.weights.startswith("embedded:")
    slower = {"lr": light.plain_lr * profile.optimizer.lr}  # its towers have no norm
    optimizer = profile.optimizer.model_copy(update=slower)
    assert found == profile.model_copy(update={"weights": found.weights, "optimizer": optimizer})
    assert row.row.published["gflops"] == 239.32
