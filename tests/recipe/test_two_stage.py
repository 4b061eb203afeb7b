"""Tables of Double-Head, Decoupled R-CNN and TSD: identities, readouts, sweeps, compositions."""

from __future__ import annotations

from pathlib import Path

import pytest

from detbench.errors import RecipeError
from detbench.recipe import load, resolve
from detbench.recipe.detector import Roi
from detbench.recipe.digest import digest, training
from detbench.recipe.experiment import Cell
from detbench.recipe.override import apply
from detbench.recipe.proposals import Proposals
from detbench.recipe.roi import Conv, Fc, Pointwise, Translated
from detbench.recipe.table import Row

TABLES = [name for name in load.tables() if not name.startswith(("tscode-", "ddod-", "beyond-"))]
ROWS = {
    "tsd-table1": 6,
    "tsd-table2": 2,
    "tsd-table3": 4,
    "tsd-table4": 6,
    "tsd-table5": 10,
    "tsd-table6": 8,
    "tsd-table7": 4,
    "tsd-table8": 25,
    "tsd-table9": 2,
    "tsd-figure4": 15,
    "tsd-figure6": 2,
    "decoupled-rcnn-table1": 5,
    "decoupled-rcnn-table2": 4,
    "decoupled-rcnn-table3": 6,
    "decoupled-rcnn-table4": 4,
    "decoupled-rcnn-table5": 2,
    "decoupled-rcnn-table6": 4,
    "decoupled-rcnn-table7": 6,
    "decoupled-rcnn-table8": 9,
    "decoupled-rcnn-table9": 37,
    "decoupled-rcnn-table10": 12,
    "decoupled-rcnn-table11": 8,
    "double-head-table1": 10,
    "double-head-table2": 11,
    "double-head-table3": 4,
    "double-head-table4": 8,
    "double-head-table5": 8,
    "double-head-table6": 2,
    "double-head-figure6": 85,
}
EXAMPLES = sorted(
    (load.root() / load.EXAMPLES).glob("d*.toml"), key=lambda path: path.stem
)  # torchvision's have tests of their own, beside torchvision


def cells(table: str, profile: str = "paper") -> dict[str, Cell]:
    return {row.row.label: row.cell for row in resolve.cells(table, profile) if row.cell}


def row(table: str, label: str) -> Row:
    return next(one for one in load.table(table).rows if one.label == label)


def detector(table: str, label: str) -> Roi:
    found = resolve.paper_detector(row(table, label))
    assert isinstance(found, Roi)
    return found


def test_every_row_is_there_in_the_project_s_order() -> None:
    assert {name: len(load.table(name).rows) for name in TABLES} == ROWS
    assert list(ROWS) == TABLES


@pytest.mark.parametrize("name", TABLES)
def test_a_row_without_a_detector_says_why(name: str) -> None:
    for one in load.table(name).rows:
        assert one.detector or one.cited, one.label


# --- one identity for what several tables share ---------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        [("decoupled-rcnn-table2", "FPN, shared"), ("decoupled-rcnn-table7", "R101 FPN")],
        [
            ("decoupled-rcnn-table2", "Decoupled R-CNN, unshared"),
            ("decoupled-rcnn-table3", "NMS_reg 0.7"),
        ],
        [
            ("decoupled-rcnn-table3", "NMS_reg 0.85"),
            ("decoupled-rcnn-table4", "1 stage"),
            ("decoupled-rcnn-table7", "R101 Decoupled R-CNN"),
        ],
        [
            ("decoupled-rcnn-table4", "3 stages"),
            ("decoupled-rcnn-table5", "NMS_reg 0.85"),
            ("decoupled-rcnn-table6", "λ 1"),
        ],
        [
            ("decoupled-rcnn-table6", "λ 0.5"),
            ("decoupled-rcnn-table7", "R101 Decoupled R-CNN cascaded"),
        ],
        [("decoupled-rcnn-table8", "R50 Decoupled R-CNN"), ("decoupled-rcnn-table11", "R50")],
        [
            ("decoupled-rcnn-table8", "R101 Decoupled R-CNN cascaded"),
            ("decoupled-rcnn-table11", "R101 cascaded"),
        ],
        [
            ("double-head-table1", "fc-head"),
            ("double-head-table2", "K = 0"),
            ("double-head-table4", "FPN baseline ResNet-50"),
        ],
        [("double-head-table1", "Double-Head, weighted"), ("double-head-table2", "K = 5")],
        [
            ("double-head-table4", "FPN baseline ResNet-101"),
            ("double-head-table5", "FPN ResNet-101"),
        ],
        [(f"double-head-table{n}", "Double-Head-Ext ResNet-101") for n in (4, 5)],
        [
            ("double-head-table2", "K = 5, non-local"),
            ("double-head-table4", "Double-Head ResNet-50"),
            ("double-head-figure6", "λfc 1.0, λconv 1.0 (c)"),
        ],
        [
            ("double-head-table3", "Complementary"),
            ("double-head-table4", "Double-Head-Ext ResNet-50"),
            ("double-head-figure6", "λfc 0.7, λconv 0.8 (d)"),
        ],
        [("double-head-table3", "No fusion"), ("double-head-figure6", "λfc 0.7, λconv 0.8 (c)")],
        [
            ("tsd-table1", "TSD w/o PC"),
            ("tsd-table2", "TSD w/o PC"),
            ("tsd-table4", "Point.w, Prop.w"),
        ],
        [("tsd-table2", "+ Joint training with sibling head"), ("tsd-table3", "TSD")],
        [("tsd-table3", "TSD + M_loc"), ("tsd-figure4", "M_loc 0.2")],
        [
            ("tsd-table3", "TSD + M_cls + M_loc"),
            ("tsd-table4", "PC Point.w, Prop.w"),
            ("tsd-figure4", "M_cls and M_loc 0.2"),
            ("tsd-table5", "ResNet-50 + TSD"),
            ("tsd-table9", "TSD"),
            ("tsd-figure6", "TSD"),
        ],
        [
            ("tsd-table1", "ResNet-50"),
            ("tsd-table5", "ResNet-50"),
            ("tsd-table9", "Faster R-CNN"),
            ("tsd-figure6", "Faster R-CNN"),
        ],
        [("tsd-table8", "TSD† ResNet-101"), ("tsd-table8", "TSD ResNet-101")],
    ],
)
def test_what_tables_share_has_one_identity(same: list[tuple[str, str]]) -> None:
    assert len({digest(cells(table)[label]) for table, label in same}) == 1


def test_different_rows_are_different_cells() -> None:
    for name in TABLES:
        found = cells(name)
        on_two_sets = name == "tsd-table8"  # one model, on minival and on test-dev
        assert len({digest(cell) for cell in found.values()}) == len(found) - on_two_sets, name


# --- one training, several readouts ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "trainings"),
    [
        ("double-head-table3", 1),
        ("double-head-figure6", 25),
        ("decoupled-rcnn-table10", 2),
        ("double-head-table1", 10),
    ],
)
@pytest.mark.parametrize("profile", ["paper", "smoke"])
def test_readouts_share_their_training(table: str, profile: str, trainings: int) -> None:
    assert len({training(cell) for cell in cells(table, profile).values()}) == trainings


def test_training_depends_on_what_is_trained_alone() -> None:
    cell = cells("double-head-table3")["Max"]
    same = apply(cell, ["readout.cls=average", "inference.nms=0.4", "evaluation.batch=2"])[0]
    assert digest(same) != digest(cell)
    assert training(same) == training(cell)
    for change in ("heads.loc.blocks=4", "training.epochs=1", "supervision.cls.weight=3.0"):
        assert training(apply(cell, [change])[0]) != training(cell), change


# --- what the rows say ----------------------------------------------------------------------------


def test_decoupled_rcnn_is_as_released() -> None:
    found = load.detector("decoupled-rcnn-r50").detector
    assert isinstance(found, Roi)
    cls, loc = (found.assignment.of(task) for task in ("cls", "loc"))
    assert isinstance(cls, Proposals)
    assert isinstance(loc, Proposals)
    assert (cls.nms, cls.sampler.kind, cls.sampler.count) == (0.7, "random", 512)
    assert (loc.nms, loc.sampler.kind, loc.sampler.add_ground_truth) == (0.85, "positive", False)
    assert [one.weight for one in found.rounds] == [0.5, 0.25]
    assert [one.positive for one in found.rounds] == [0.5, 0.5]
    assert [one.loc.stds[0] for one in found.rounds] == [0.05, 0.033]
    assert [one.loc.class_agnostic for one in found.rounds] == [True, True]
    assert not found.supervision.loc.class_agnostic
    assert found.inference.score_threshold == 0.001


def test_stages_of_table_4() -> None:
    table = "decoupled-rcnn-table4"
    labels = [one.label for one in load.table(table).rows]
    assert [len(detector(table, label).rounds) for label in labels] == [0, 1, 2, 3]


def test_readouts_of_table_10() -> None:
    for name in ("Cascade R-CNN", "Decoupled R-CNN"):
        mean = detector("decoupled-rcnn-table10", f"{name} (3, 1-3)")
        assert mean.readout.cls_rounds == (1, 2, 3)
        assert [one.positive for one in mean.rounds] == [0.6, 0.7]
        assert all(one.tasks == "both" for one in mean.rounds)
        early = detector("decoupled-rcnn-table10", f"{name} (2, 1)").readout
        assert (early.loc_round, early.cls_rounds) == (2, (1,))


def test_heads_of_double_head() -> None:
    reverse = detector("double-head-table1", "Double-Head-Reverse, weighted")
    assert isinstance(reverse.heads.of("cls"), Conv)
    assert isinstance(reverse.heads.of("loc"), Fc)
    assert (reverse.supervision.cls.weight, reverse.supervision.loc.weight) == (2.5, 2.0)
    assert detector("double-head-table1", "conv-head").heads.shared
    deep = detector("double-head-table2", "K = 7, non-local").heads.of("loc")
    assert deep == Conv(kind="conv", blocks=4, non_local=True, init="default")


def test_weights_of_figure_6() -> None:
    found = detector("double-head-figure6", "λfc 0.6, λconv 0.9 (a)")
    assert found.supervision.cls.weight == pytest.approx(2.0 * 0.6)
    assert found.supervision.loc.weight == pytest.approx(2.5 * 0.9)
    assert found.supervision.unfocused is not None
    assert found.supervision.unfocused.cls == pytest.approx(2.5 * 0.1)
    assert found.supervision.unfocused.loc == pytest.approx(2.0 * 0.4)
    assert (found.readout.cls, found.readout.loc) == ("loc", "loc")
    labels = {one.label for one in load.table("double-head-figure6").rows}
    assert "λfc 0.6, λconv 1.0 (a)" not in labels
    assert "λfc 1.0, λconv 0.6 (b)" not in labels


def test_tsd_is_built_up() -> None:
    assert detector("tsd-table1", "ResNet-50 + D_head").sibling is None
    assert detector("tsd-table4", "Point.w, -").sampling.of("loc").kind == "roi-align"
    half = detector("tsd-table3", "TSD + M_cls")
    assert half.sibling is not None
    assert half.supervision.constraint is not None
    assert half.supervision.constraint.cls_margin == 0.2
    assert half.supervision.constraint.loc_margin is None


def test_slips_of_the_paper_are_flagged() -> None:
    retinanet = row("decoupled-rcnn-table9", "RetinaNet ResNet-101")
    assert retinanet.published["gflops"] == 250.34
    assert "330.21" in retinanet.misprints["gflops"]
    assert "56.74" in retinanet.misprints["params_m"]
    assert {"gflops", "params_m"} <= set(row("decoupled-rcnn-table9", "DCNv2 ResNet-101").misprints)


# --- light networks -------------------------------------------------------------------------------


def test_a_light_network_keeps_what_a_row_compares() -> None:
    found = cells("decoupled-rcnn-table11", "smoke")["R50 cascaded Double-Head"].detector
    assert isinstance(found, Roi)
    expected = Conv(kind="conv", blocks=5, channels=128, init="fan-out-first")
    assert found.heads.of("loc") == expected
    assert [one.heads.of("loc") for one in found.rounds] == [found.heads.of("loc")] * 2
    assert found.sampling.of("loc").scale == 1.3  # type: ignore[union-attr]
    assert (found.assignment.of("cls").nms, found.assignment.of("loc").nms) == (0.7, 0.85)  # type: ignore[union-attr]
    assert found.assignment.of("loc").sampler.count == 192  # type: ignore[union-attr]
    assert found.finest_scale == 14
    assert (found.neck.first, found.neck.extra) == (2, "pool")  # type: ignore[union-attr]
    assert (found.rpn.channels, found.rpn.anchors.size) == (64, 4.0)


def test_light_networks_keep_deformable_convolutions_and_siblings() -> None:
    plain, deformed = (
        resolve.cell(f"faster-rcnn-r50{suffix}", "smoke").cell for suffix in ("", "-dcn")
    )
    assert plain is not None
    assert deformed is not None
    assert deformed.detector.backbone.deformable == "v1"  # type: ignore[union-attr]
    assert digest(plain) != digest(deformed)
    tsd = cells("tsd-table3", "smoke")["TSD"].detector
    assert isinstance(tsd, Roi)
    assert tsd.sibling is not None
    assert tsd.sibling.heads.of("cls") == Fc(kind="fc", channels=128, init="kaiming-normal")
    shifted = tsd.sampling.of("cls")
    assert isinstance(shifted, Pointwise)
    assert (shifted.size, shifted.hidden, shifted.gamma) == (3, 64, 0.01)
    assert shifted.pooling == "whole-pixels"


# --- own recipes ----------------------------------------------------------------------------------


def test_the_examples_compose_papers() -> None:
    names = [path.stem for path in EXAMPLES]
    assert names == ["decoupled-double-head", "decoupled-double-head-ext", "double-head-tsd"]
    plain, fused, shifted = (load.detector(str(path)).detector for path in EXAMPLES)
    assert isinstance(plain, Roi)
    assert isinstance(fused, Roi)
    assert isinstance(shifted, Roi)
    table = detector("decoupled-rcnn-table11", "R50 cascaded Double-Head")
    assert plain.model_copy(update={"inference": table.inference}) == table
    assert fused.rounds == plain.rounds
    assert fused.readout.cls == "complementary"
    assert fused.supervision.unfocused is not None
    assert isinstance(shifted.sampling.of("cls"), Pointwise)
    assert isinstance(shifted.sampling.of("loc"), Translated)


def test_extends_replaces_rounds_and_leaves_out_a_sibling(tmp_path: Path) -> None:
    head = 'title = "T"\nsource = "me"\nfidelity = "text-only"\n'
    (tmp_path / "a.toml").write_text(
        f'extends = "cascade-rcnn-r50"\nid = "a"\n{head}'
        '[[detector.rounds]]\nheads = { both = { kind = "fc", depth = 1 } }\n'
    )
    (tmp_path / "b.toml").write_text(
        f'extends = "tsd-r50"\nid = "b"\n{head}[detector]\nsibling = "none"\n'
    )
    one, two = (load.detector(str(tmp_path / name)).detector for name in ("a.toml", "b.toml"))
    assert isinstance(one, Roi)
    assert isinstance(two, Roi)
    assert [stage.heads.of("loc").depth for stage in one.rounds] == [1]  # type: ignore[union-attr]
    assert two.sibling is None


def test_a_row_may_leave_out_a_sibling(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(
        'id = "t"\ntitle = "T"\npaper = "own"\ncolumns = ["AP"]\n'
        '[[rows]]\nlabel = "A"\ndetector = "tsd-r50"\nsibling = "none"\n'
    )
    found = resolve.paper_detector(load.table(str(path)).rows[0])
    assert isinstance(found, Roi)
    assert found.sibling is None


# --- changing single settings ---------------------------------------------------------------------

CASCADE = cells("decoupled-rcnn-table10")["Cascade R-CNN (3, 1-3)"]


def test_settings_inside_rounds() -> None:
    found = apply(CASCADE, ["rounds[0].weight=0.25", "detector.rounds.1.heads.both.depth=3"])[0]
    assert isinstance(found.detector, Roi)
    assert found.detector.rounds[0].weight == 0.25
    assert found.detector.rounds[1].heads.of("cls") == Fc(kind="fc", depth=3)
    assert apply(CASCADE, ["rounds=[]"])[0].detector.rounds == ()  # type: ignore[union-attr]
    tsd = cells("tsd-table3")["TSD"]
    assert apply(tsd, ["sibling=none"])[0].detector.sibling is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("rounds[2].weight=1.0", "rounds: no element '2' (there are 2, from 0)"),
        ("rounds.weight=1.0", "rounds: no element 'weight' (there are 2, from 0)"),
        ("rounds[0].wight=1.0", "rounds.0: unknown key 'wight', did you mean 'weight'?"),
        ("candidates.size=4.0", "detector: unknown key 'candidates' (choices: skeleton, backbone,"),
    ],
)
def test_mistakes_inside_rounds(override: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply(CASCADE, [override])
    assert said in str(caught.value)


def test_one_box_for_all_classes_has_none_for_the_background() -> None:
    with pytest.raises(RecipeError) as caught:
        apply(CASCADE, ["rounds[0].loc.background=true"])
    assert "give 'background' or 'class_agnostic', not both" in str(caught.value)


def test_a_row_of_one_skeleton_cannot_replace_the_others_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(
        'id = "t"\ntitle = "T"\npaper = "own"\ncolumns = ["AP"]\n'
        '[[rows]]\nlabel = "A"\ndetector = "tsd-r50"\ncandidates = { kind = "points" }\n'
    )
    with pytest.raises(RecipeError) as caught:
        load.table(str(path))
    (said,) = caught.value.mistakes
    assert "rows[0] \"A\": candidates: unknown key 'candidates'" in said
    assert "rpn, features, sampling" in said
