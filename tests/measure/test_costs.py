"""The catalogue's GFLOPs and parameters against every published figure and MMDetection's own."""

import io
import itertools
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import exit_code

from detbench.assembly import build_detector
from detbench.errors import RecipeError
from detbench.measure import catalogue as catalogue_of
from detbench.measure import flops, meta, parameters
from detbench.measure.catalogue import Cost, costs, subjects
from detbench.recipe import load
from detbench.recipe.detector import Detector

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "flops.json").read_text())
METRICS = {"gflops", "params_m"}


def on_meta(spec: Detector) -> torch.nn.Module:
    with meta.device():
        return build_detector(spec, 80)


@pytest.fixture(scope="module")
def everything() -> tuple[list[Cost], list[dict[str, Any]]]:
    """The whole catalogue, in one call of the command: what it counted, and what it printed."""
    counted: list[Cost] = []
    printed = io.StringIO()

    def remembered(*given: Any) -> list[Cost]:
        counted.extend(costs(*given))
        return counted

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(catalogue_of, "costs", remembered)
        assert exit_code("flops", "--format", "json") == 0
    return counted, json.loads(printed.getvalue())


@pytest.fixture(scope="module")
def catalogue(everything) -> list[Cost]:
    """Everything that figures are published of."""
    return [cost for cost in everything[0] if cost.subject.published.keys() & METRICS]


def test_the_whole_catalogue_in_one_call(everything):
    counted, printed = everything
    assert len(printed) == len(counted) >= 300
    for cost, one in zip(counted, printed, strict=True):
        assert one["gflops"] == (cost.count.gflops if cost.count else None)


@pytest.fixture(scope="module")
def catalogue_1333() -> list[Cost]:
    """The tables whose GFLOPs are of Decoupled R-CNN's input."""
    wider = [
        subject
        for subject in subjects([])
        if subject.published_input == "1333x800" and "gflops" in subject.published
    ]
    return costs(wider, (1333, 800), "mmdet")


@pytest.fixture(scope="module")
def tables(catalogue) -> dict[tuple[str, str], Cost]:
    return {(cost.subject.table, cost.subject.row): cost for cost in catalogue}


def figures(found: list[Cost], metric: str) -> list[tuple[Cost, str, str]]:
    """(subject, ours, printed) wherever there is a comparable printed figure of our detector."""
    pairs = []
    for cost in found:
        if cost.count is not None and metric in cost.published:
            ours = cost.count.gflops if metric == "gflops" else cost.params_m
            pairs.append((cost, f"{ours:.2f}", f"{cost.published[metric]:.2f}"))
    return pairs


@pytest.mark.parametrize("metric", ["gflops", "params_m"])
def test_published_figures_to_the_printed_digit_or_a_reason(catalogue, catalogue_1333, metric):
    checked = [*figures(catalogue, metric), *figures(catalogue_1333, metric)]
    for cost, ours, printed in checked:
        where = f"{cost.subject.table}, {cost.subject.row}: {ours}, printed {printed}"
        assert ours == printed or metric in cost.subject.remarks, where
    assert len(checked) >= 50


def uses_sce(cost: Cost) -> bool:
    """With P_{l+1}: the paper does not say where it comes from at the last level."""
    features = cost.subject.spec.features if cost.subject.spec else None
    options = (features.both, features.cls, features.loc) if features else ()
    return any(option and option.kind == "sce" and option.next_level for option in options)


def test_sce_rows(catalogue):
    rows = [c for c in catalogue if "gflops" in c.published and uses_sce(c)]
    assert len(rows) == 12
    for cost in rows:
        assert abs(cost.count.gflops - cost.published["gflops"]) < 0.07, cost.subject.row


def test_differences_between_sce_rows(catalogue):
    rows = [c for c in catalogue if "gflops" in c.published and uses_sce(c)]
    assert len(rows) == 12
    for one, other in itertools.combinations(rows, 2):
        ours = one.count.gflops - other.count.gflops
        printed = one.published["gflops"] - other.published["gflops"]
        assert abs(ours - printed) < 0.01, (one.subject.row, other.subject.row)


@pytest.mark.parametrize(
    ("row", "gflops"),
    [("FCOS + DPE", 213.19), ("ATSS + DPE", 217.89), ("GFL + DPE", 220.99), ("FCOS", 200.59)],
)
def test_table_1(tables, row, gflops):
    cost = tables["tscode-table1", row]
    assert f"{cost.count.gflops:.2f}" == f"{gflops:.2f}"
    assert cost.published["gflops"] == gflops


DEEP = {"depth": 101}
RESNEXT = {"depth": 101, "groups": 32, "base_width": 4}


@pytest.mark.parametrize(
    ("config", "input", "recipe", "backbone"),
    [
        ("atss/atss_r50_fpn_1x_coco.py", "1280x800", "atss-r50", {}),
        ("gfl/gfl_r50_fpn_1x_coco.py", "1280x800", "gfl-r50", {}),
        (
            "fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py",
            "1280x800",
            "fcos-r50",
            {},
        ),
        ("retinanet/retinanet_r50_fpn_1x_coco.py", "1280x800", "retinanet-r50", {}),
        ("retinanet/retinanet_r50_fpn_1x_coco.py", "1333x800", "retinanet-r50", {}),
        ("retinanet/retinanet_r101_fpn_1x_coco.py", "1333x800", "retinanet-r50", DEEP),
        ("atss/atss_r101_fpn_1x_coco.py", "1333x800", "atss-r50", DEEP),
        ("gfl/gfl_r101_fpn_ms-2x_coco.py", "1280x800", "gfl-r50", DEEP),
        ("gfl/gfl_x101-32x4d_fpn_ms-2x_coco.py", "1280x800", "gfl-r50", RESNEXT),
        ("mask_rcnn/mask-rcnn_x101-32x4d_fpn_1x_coco.py", "1333x800", "mask-rcnn-r50", RESNEXT),
    ],
)
def test_mmdetection_figures(config, input, recipe, backbone):
    expected = next(r for r in REFERENCE if r["config"] == config and r["input"] == input)
    spec = load.detector(recipe).detector
    changed = spec.backbone.model_copy(update=backbone)
    detector = on_meta(spec.model_copy(update={"backbone": changed}))
    width, height = map(int, input.split("x"))
    assert f"{flops.count(detector, (width, height)).gflops:.2f}" == f"{expected['gflops']:.2f}"
    assert f"{parameters.millions(detector):.2f}" == f"{expected['trainable_params_m']:.2f}"
    total = parameters.millions(detector, trainable=False)
    assert f"{total:.2f}" == f"{expected['total_params_m']:.2f}"


@pytest.mark.parametrize("protocol", ["mmdet", "fvcore"])
def test_parts_of_fcos(protocol):
    counted = flops.count(on_meta(load.detector("fcos-r50").detector), (1280, 800), protocol)
    assert {"backbone", "neck", "cls", "loc"} <= set(counted.by_part)
    assert sum(counted.by_part.values()) == pytest.approx(counted.gflops)
    assert counted.by_part["backbone"] > counted.by_part["cls"] > counted.by_part["loc"]


@pytest.mark.parametrize("protocol", ["mmdet", "fvcore"])
def test_odd_sizes_lie_between_even_ones(protocol):
    for name in ("FCOS + SCE + DPE", "ATSS + SCE + DPE", "GFL + SCE + DPE"):
        [subject] = [s for s in subjects(["tscode-table1"]) if s.row == name]
        detector = on_meta(subject.spec)
        below, odd, above = (
            flops.count(detector, size, protocol).gflops
            for size in ((416, 352), (417, 353), (448, 384))
        )
        assert below < odd < above


def test_published_figures_stand_only_beside_comparable_ones():
    [wider] = costs(subjects(["fcos-r50"]), (1333, 800), "mmdet")
    [counted_otherwise] = costs(subjects(["fcos-r50"]), (1280, 800), "fvcore")
    assert wider.published == counted_otherwise.published == {"params_m": 32.02}


def test_fvcore_counts_what_the_papers_left_out():
    [deformable] = costs(subjects(["fcos-r50"]), (1280, 800), "fvcore")
    assert set(deformable.count.uncounted) == {"relu"}
    assert deformable.count.by_operator["upsample_nearest2d"] > 0
    # one multiply-add is one in both: biases, ReLU and norms are all that differs
    assert deformable.count.gflops == pytest.approx(200.59, rel=0.01)


def test_every_unknown_name_is_told():
    with pytest.raises(RecipeError) as error:
        subjects(["fcos-r5", "atss-r50", "tscode-table11"])
    assert len(error.value.mistakes) == 2
    assert "did you mean 'fcos-r50'" in error.value.mistakes[0]


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'id = "mine"\ntitle = "Mine"\npaper = "own"\ncolumns = ["AP"]\ninput = "640x480"\n'
        '[[rows]]\nlabel = "plain"\ndetector = "fcos-r50"\npublished = { gflops = 1.0 }\n'
        '[[rows]]\nlabel = "theirs"\ncited = "no code"\npublished = { gflops = 2.0 }\n'
    )
    plain, theirs = costs(subjects([str(path)]), (640, 480), "mmdet")
    assert plain.published == {"gflops": 1.0}
    assert plain.count.gflops > 50
    assert theirs.count is None
    assert theirs.subject.cited == "no code"


def test_a_table_that_extends_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "tscode-table1"\nid = "mine"\npaper = "own"\n')
    found = subjects([str(path)])
    assert [one.row for one in found] == [row.label for row in load.table("tscode-table1").rows]


def test_an_absurd_input():
    with pytest.raises(RecipeError, match="fcos-r50: input 9999999x2 is too large"):
        costs(subjects(["fcos-r50"]), (9999999, 2), "mmdet")
