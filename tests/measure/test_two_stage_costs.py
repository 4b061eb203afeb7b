"""Every cost that the two-stage papers print, to the printed digit unless it is flagged."""

from __future__ import annotations

import pytest

from detbench.assembly import build_detector
from detbench.measure import flops, meta, parameters
from detbench.recipe import load, resolve
from detbench.recipe.metrics import COSTS
from detbench.report.table import fixed

TABLES = [
    "decoupled-rcnn-table8",
    "decoupled-rcnn-table9",
    "decoupled-rcnn-table10",
    "decoupled-rcnn-table11",
    "double-head-table2",
    "tsd-table1",
    "tsd-table5",
]
ROWS = [
    pytest.param(table, row, id=f"{table} {row.label}")
    for table in TABLES
    for row in load.table(table).rows
    if row.detector and set(row.published) & set(COSTS)
]


def measured(table: str, row) -> dict[str, float]:
    with meta.device():
        detector = build_detector(resolve.paper_detector(row), 80)
    found = {
        "params_m": parameters.millions(detector),
        "total_params_m": parameters.millions(detector, trainable=False),
        "loc_convs_mi": parameters.loc_convolutions(detector),
    }
    if "gflops" in row.published:
        width, height = map(int, load.table(table).input.split("x"))
        found["gflops"] = flops.count(detector, (width, height), "mmdet").gflops
    return found


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_cost_is_as_printed_unless_flagged(table, row):
    found = measured(table, row)
    for metric in set(row.published) & set(COSTS):
        printed = row.published[metric].written
        ours = fixed(found[metric], len(printed.partition(".")[2]))
        # What is counted for the rows of DCNv2 is the printed v1.
        flagged = metric in {**row.misprints, **row.unmatched} and "v1's" not in str(row.misprints)
        assert (ours != printed) == flagged, f"{metric}: {ours}, printed {printed}"


def test_the_right_figures_of_slips():
    retinanet = next(r for r in load.table(TABLES[1]).rows if r.label == "RetinaNet ResNet-101")
    found = measured(TABLES[1], retinanet)
    assert f"{found['gflops']:.2f}" in retinanet.misprints["gflops"]
    assert f"{found['params_m']:.2f}" in retinanet.misprints["params_m"]


@pytest.mark.parametrize("label", ["DCNv2 ResNet-101", "DCNv2 ResNeXt-101(32x4d)"])
def test_the_right_figures_of_modulated_convolutions(label):
    row = next(r for r in load.table(TABLES[1]).rows if r.label == label)
    found = resolve.paper_detector(row)
    modulated = found.backbone.model_copy(update={"deformable": "v2"})
    with meta.device():
        detector = build_detector(found.model_copy(update={"backbone": modulated}), 80)
    count = flops.count(detector, (1333, 800), "mmdet").gflops
    assert row.misprints["gflops"].endswith(f"v2 has {count:.2f}")
    assert row.misprints["params_m"].endswith(f"v2 has {parameters.millions(detector):.2f}")


def test_table_11s_further_stages_are_the_released_codes():
    """Layer by layer: shouwangzhe134/Decoupled-R-CNN, double_refine_bbox_head.py."""
    cells, proposals = 49, 1000

    def conv(inputs: int, outputs: int, side: int) -> int:
        return cells * inputs * outputs * side**2

    def norm(channels: int) -> int:
        return cells * 2 * channels

    def relu(channels: int) -> int:
        return cells * channels

    widening = conv(256, 256, 3) + norm(256) + relu(256) + relu(1024)
    widening += 2 * (conv(256, 1024, 1) + norm(1024))
    block = conv(1024, 256, 1) + conv(256, 256, 3) + conv(256, 1024, 1)
    block += 2 * (norm(256) + relu(256)) + norm(1024) + relu(1024)
    average = cells * 1024
    stage = proposals * (widening + 4 * block + average + 1024 * 4)
    rows = {row.label: row for row in load.table("decoupled-rcnn-table11").rows}
    cascaded = rows["R50 cascaded Double-Head"]
    found, single = (
        measured("decoupled-rcnn-table11", row)["gflops"]
        for row in (cascaded, rows["R50 Double-Head"])
    )
    assert found - single == pytest.approx(2 * stage / 1e9, abs=1e-6)
    # What would give the printed figure, which those layers do not.
    more = 2 * 4 * proposals * relu(1024) / 1e9
    assert fixed(found + more, 2) == fixed(cascaded.published["gflops"], 2)
    assert fixed(found, 2) in cascaded.misprints["gflops"]
    last = rows["R101 cascaded Double-Head"]
    assert fixed(measured("decoupled-rcnn-table11", last)["gflops"], 2) in last.misprints["gflops"]
