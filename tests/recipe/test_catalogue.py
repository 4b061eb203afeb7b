"""One contract over every shipped recipe, found recursively; the counts are asserted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from detbench.data.kinds import Coco, OpenImages, Shapes, Voc, WiderFace
from detbench.recipe import load, resolve
from detbench.recipe.digest import digest
from detbench.recipe.experiment import Cosine, Steps
from detbench.recipe.metrics import PUBLISHED

# The numbers as the papers print them, row by row in the order of the table's columns.
PRINTED = {
    "tscode-table1": """
        38.7 57.4 41.8 22.9 42.5 50.1 36.8 61.7 73.2 200.59
        39.3 58.2 42.8 23.3 43.3 50.8 37.5 62.1 73.2 182.62
        38.9 57.5 41.8 22.9 42.8 50.3 37.0 62.4 73.2 213.19
        40.0 58.7 43.1 23.7 44.0 51.8 38.0 62.7 73.3 195.22
        39.4 57.6 42.8 23.6 42.9 50.3 38.2 63.5 73.6 205.30
        40.2 58.6 43.8 23.9 44.0 52.2 38.9 63.7 74.0 187.35
        39.8 57.8 42.9 23.7 43.1 50.9 38.0 64.0 75.3 217.89
        40.8 59.0 44.4 23.7 44.6 52.7 38.7 64.4 75.4 199.94
        40.2 58.4 43.3 23.3 44.0 52.2 38.0 62.9 74.1 208.39
        41.1 59.3 44.5 24.0 44.6 53.8 37.7 63.4 75.2 190.44
        40.6 58.4 43.8 23.5 44.2 53.2 37.2 63.9 74.6 220.99
        41.6 59.8 44.9 23.8 45.3 54.8 38.4 64.2 75.0 203.04""",
    "tscode-table2": """
        38.7 57.4 41.8 200.59
        38.6 57.3 41.8 165.99
        39.1 57.8 42.7 179.47
        39.1 57.9 42.5 179.47
        39.3 58.2 42.8 182.62
        39.3 58.2 42.8 182.62
        39.2 58.1 42.8 188.23
        39.2 58.2 42.3 196.65""",
    "tscode-table3": """
        39.3 58.2 42.8 23.3 43.3 50.8
        39.4 58.3 42.6 23.3 43.2 51.0
        39.6 58.4 42.8 23.9 43.3 51.4
        39.7 58.1 43.1 23.2 43.7 51.8
        40.0 58.7 43.1 23.7 44.0 51.8
        39.9 58.6 43.2 23.1 43.7 52.1""",
    "tscode-table6": """
        38.7 57.4 41.8 200.59
        38.7 57.4 41.7 206.49
        39.2 58.0 42.4 213.62
        39.4 57.6 42.8 205.30
        39.6 58.3 42.2 211.20
        40.2 58.2 42.3 217.89
        40.2 58.4 43.3 208.39
        40.4 58.6 43.6 214.29
        40.8 58.8 43.9 220.99
        42.4 59.8 46.1 -
        42.6 59.9 46.2 -
        43.0 60.3 46.4 -""",
    "tscode-table4": """
        38.7 57.4 41.8 22.9 42.5 50.1
        40.0 58.7 43.1 23.7 44.0 51.8
        39.4 57.6 42.8 23.6 42.9 50.3
        40.8 59.0 44.4 23.7 44.6 52.7
        40.2 58.4 43.3 23.3 44.0 52.2
        41.6 59.8 44.9 23.8 45.3 54.8
        40.4 59.6 43.7 22.7 44.1 52.9
        41.1 60.2 44.1 23.0 45.0 54.2
        41.6 59.9 45.2 23.9 44.9 54.4
        42.4 60.2 46.3 24.5 45.5 56.0
        41.4 59.5 45.6 26.1 44.9 52.0
        42.3 60.7 46.7 27.0 45.5 53.6
        40.7 58.4 44.3 23.2 45.0 53.7
        41.5 59.2 45.3 23.4 45.2 55.7
        41.5 59.8 44.8 23.4 44.9 54.8
        42.0 60.3 45.1 24.1 45.5 56.0""",
}
DENSE = {
    "retinanet-r50": {"AP": 36.5, "gflops": 239.32, "params_m": 37.74},
    "fcos-r50": {"AP": 38.7, "gflops": 200.59, "params_m": 32.02},
    "atss-r50": {"AP": 39.4, "gflops": 205.30, "params_m": 32.07},
    "gfl-r50": {"AP": 40.2, "gflops": 208.39, "params_m": 32.22},
}
PORTS = {
    "ddod-mmdet-r50": {"AP": 41.7, "gflops": 181.90, "params_m": 32.15},
    "tood-r50": {"AP": 42.4, "gflops": 184.40, "params_m": 31.98},
    "paa-r50": {"AP": 40.4, "gflops": 205.30, "params_m": 32.07},
}
PORTS |= {"autoassign-mmdet-r50": {"AP": 40.4, "gflops": 201.66, "params_m": 36.15}}

RELEASED = {  # by the authors of a dense method
    "atss-iou-r50": {"AP": 39.4},
    "ddod-r50": {"AP": 41.6, "gflops": 181.90, "params_m": 32.15},
    "ddod-fcos-r50": {"AP": 41.6},
    "gflv2-r50": {"AP": 41.0},
    "autoassign-r50": {"AP": 40.5, "gflops": 201.66, "params_m": 36.15},
    "dw-r50": {"AP": 42.1},
    "dw-plain-r50": {"AP": 41.5},
    "ota-r50": {"AP": 40.7},
    "defcn-r50": {"AP": 41.4},
}

DETECTORS = (
    DENSE
    | PORTS
    | RELEASED
    | {
        "faster-rcnn-r50": {"AP": 37.4, "gflops": 207.07, "params_m": 41.53},
        "faster-rcnn-r101": {"AP": 39.4, "params_m": 60.52},
        "faster-rcnn-r152": {},
        "faster-rcnn-x101-32x4d": {"AP": 41.2, "params_m": 60.16},
        "faster-rcnn-x101-64x4d": {"AP": 42.1},
        "faster-rcnn-r50-c4": {"AP": 35.6, "gflops": 837.06, "params_m": 33.57},
        "faster-rcnn-r101-c4": {},
        "faster-rcnn-r50-dcn": {"AP": 41.3},
        "faster-rcnn-r50-dcnv2": {"AP": 41.4, "params_m": 42.40},
        "faster-rcnn-r101-dcn": {"AP": 42.7, "params_m": 61.81},
        "cascade-rcnn-r50": {"AP": 40.3, "gflops": 234.71, "params_m": 69.17},
        "cascade-rcnn-r101": {"AP": 42.0, "params_m": 88.16},
        "double-head-r50": {"AP": 40.0, "gflops": 481.26, "params_m": 47.12},
        "double-head-baseline-r50": {"AP": 36.8},
        "double-head-baseline-r101": {"AP": 39.1},
        "double-head-ext-r50": {"AP": 40.3},
        "double-head-ext-r101": {"AP": 41.9},
        "double-head-c4-r50": {"AP": 34.8},
        "double-head-c4-r101": {"AP": 38.5},
        "decoupled-rcnn-r50": {"AP": 41.5, "params_m": 83.22},
        "decoupled-rcnn-r101": {"AP": 42.8, "params_m": 102.22},
        "decoupled-rcnn-x101-32x4d": {"params_m": 101.85},
        "decoupled-rcnn-x101-64x4d": {"params_m": 140.94},
        "gfl-r101": {"AP": 44.7, "gflops": 284.47, "params_m": 51.21},
        "gfl-r101-dcn": {"AP": 47.1},
        "gfl-x101-32x4d": {"AP": 45.9, "gflops": 288.21, "params_m": 50.85},
        "gfl-x101-32x4d-dcn": {"AP": 48.1},
        "atss-r101": {"params_m": 51.06},
        "ddod-r101": {},
        "ddod-r2-101-dcn": {},
        "atss-r101-dcn": {},
        "atss-x101-32x8d": {},
        "atss-x101-32x8d-dcn": {},
        "ddod-r101-dcn": {},
        "ddod-x101-32x4d-dcn": {},
        "fcos-r101": {},
        "gfl-x101-64x4d": {},
        "paa-r101": {},
        "paa-r101-dcn": {},
        "paa-x101-64x4d": {},
        "paa-x101-64x4d-dcn": {},
        "gflv2-r101": {},
        "gflv2-x101-32x4d": {},
        "gflv2-x101-32x4d-dcn": {},
        "ota-r101": {},
        "ota-x101-64x4d": {},
        "ota-x101-64x4d-dcn": {},
        "retinanet-r101": {},
        "tsd-r101": {},
        "gfl-x101-64x4d-dcn": {},
        "fcos-x101-64x4d": {},
        "tsd-baseline-r50": {"AP": 36.1},
        "tsd-r50": {"AP": 41.0},
        "tsd-cascade-r50": {},
        "tsd-cascade-baseline-r50": {},
        "mask-rcnn-r50": {"AP": 38.2, "maskAP": 34.7, "gflops": 260.14, "params_m": 44.17},
        "mask-rcnn-r101": {"AP": 40.0, "maskAP": 36.1},
        "tsd-mask-rcnn-r50": {"AP": 41.5, "maskAP": 35.8},
        "atss-face-r50": {},
        "ddod-face-r50": {},
    }
)


def test_every_file_is_found_and_counted() -> None:
    found = sorted(load.root().rglob("*.toml"))
    named = [load.find("table", name) for name in load.tables()]
    named += [load.find("detector", name) for name in load.detectors()]
    named += [load.find("schedule", name) for name in load.schedules()]
    named += [load.find("profile", name) for name in load.profiles()]
    named += list((load.root() / load.EXAMPLES).glob("*.toml"))
    named.append(load.root() / "figures.toml")
    assert found == sorted(named)
    counts = (load.tables(), load.detectors(), load.schedules(), load.profiles())
    assert [len(names) for names in counts] == [46, 77, 26, 3]


def _two_stage() -> dict[str, str]:
    text = Path(__file__).with_name("printed.txt").read_text()
    parts = re.split(r"(?m)^\[(.*)\]$", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


PRINTED |= _two_stage()
FIGURES = {"double-head-figure6"}
BEYOND = {"beyond-four-ideas", "beyond-gfl"}  # which no paper prints


def test_every_table_is_compared_with_the_paper() -> None:
    assert set(PRINTED) | FIGURES | BEYOND == set(load.tables())


@pytest.mark.parametrize("name", PRINTED)
def test_table_prints_what_the_paper_prints(name: str) -> None:
    table = load.table(name)
    printed = [line.split() for line in PRINTED[name].strip().splitlines()]
    found = [
        [one.written if (one := row.published.get(key)) else "-" for key in table.columns]
        for row in table.rows
    ]
    assert found == printed  # to the last digit
    assert all(set(row.published) <= set(table.columns) for row in table.rows)


@pytest.mark.parametrize("name", load.tables())
def test_table_is_sound(name: str) -> None:
    table = load.table(name)
    assert table.id == name
    assert table.id.startswith(f"{table.paper}-")
    assert set(table.columns) <= set(PUBLISHED)
    labels = [row.label for row in table.rows]
    assert len(set(labels)) == len(labels)
    assert set(table.breaks) <= set(labels)
    for row in table.rows:
        assert set(row.columns) == set(table.labels), row.label
        if table.paper == "tscode" and not row.cited:
            # A row that changes something is an interpretation, as no ablation was released.
            host = load.detector(row.detector or "").fidelity
            text_only = bool(row.replaced) or host == "text-only"
            assert (row.fidelity == "text-only") == text_only, row.label


@pytest.mark.parametrize("profile", load.profiles())
@pytest.mark.parametrize("name", load.tables())
def test_every_row_resolves_under_every_profile(name: str, profile: str) -> None:
    rows = resolve.cells(load.table(name), load.profile(profile))
    assert len(rows) == len(load.table(name).rows)
    for row in rows:
        if row.row.cited:
            assert row.cell is None
            continue
        assert row.cell is not None
        assert row.paper_detector is not None
        assert row.cell.detector.skeleton == row.paper_detector.skeleton
        kind: Any = (Coco, Voc, WiderFace, OpenImages) if profile == "paper" else Shapes
        assert isinstance(row.cell.data, kind)


@pytest.mark.parametrize("name", load.detectors())
def test_detector_carries_the_published_figures(name: str) -> None:
    recipe = load.detector(name)
    assert recipe.id == name
    assert recipe.published == DETECTORS[name]
    assert load.schedule(recipe.schedule)
    if name in DENSE or name in PORTS:
        assert recipe.fidelity == "official-config"
    if name in RELEASED:
        assert recipe.fidelity == "official-code"


# Data, (epochs, iterations), batch, learning rate, drops (of a cosine period and least), warm-up.
SCHEDULES = {
    "coco-1x": ("coco", (12, None), 16, 0.01, (8, 11), (500, 0.001)),
    "coco-1x-autoassign": ("coco", (12, None), 16, 0.01, (8, 11), (1000, 0.001)),
    "coco-1x-ddod": ("coco", (12, None), 32, 0.02, (8, 11), (500, 0.001)),
    "coco-1x-fcos": ("coco", (12, None), 16, 0.01, (8, 11), (500, 1 / 3)),
    "coco-1x-frcnn": ("coco", (12, None), 16, 0.02, (8, 11), (500, 0.001)),
    "coco-1x-decoupled-rcnn": ("coco", (12, None), 8, 0.01, (8, 11), (500, 0.001)),
    "coco-90k-ota": ("coco", (None, 90_000), 16, 0.01, (60_000, 80_000), (1000, 0.001)),
    "coco-3x-defcn": ("coco", (None, 270_000), 16, 0.01, (210_000, 250_000), (1000, 0.001)),
    "coco-2x-decoupled-rcnn": ("coco", (24, None), 8, 0.01, (16, 22), (500, 0.001)),
    "coco-2x-ms-decoupled-rcnn": ("coco", (24, None), 8, 0.01, (16, 22), (500, 0.001)),
    "coco-18e": ("coco", (18, None), 16, 0.01, (12, 16), (500, 0.001)),
    "coco-18e-frcnn": ("coco", (18, None), 16, 0.02, (12, 16), (500, 0.001)),
    "coco-180k-ota": ("coco", (None, 180_000), 16, 0.01, (120_000, 160_000), (1000, 0.001)),
    "coco-20e-tsd": ("coco", (20, None), 32, 0.04, (16, 19), (3665, 0.00125 / 0.04)),
    "coco-2x-frcnn": ("coco", (24, None), 16, 0.02, (16, 22), (500, 0.001)),
    "coco-2x-ms": ("coco", (24, None), 16, 0.01, (16, 22), (500, 0.001)),
    "coco-2x-ms-640": ("coco", (24, None), 16, 0.01, (16, 22), (500, 0.001)),
    "coco-2x-ms-960": ("coco", (24, None), 16, 0.01, (16, 22), (500, 0.001)),
    "coco-2x-ms-ddod": ("coco", (24, None), 32, 0.02, (16, 22), (500, 0.001)),
    "coco-double-head": ("coco", (None, 180_000), 8, 0.01, (120_000, 160_000), (500, 1 / 3)),
    "coco-tsd": ("coco", (13, None), 32, 0.04, (8, 11), (3665, 0.00125 / 0.04)),
    "coco-3x-tsd": ("coco", (34, None), 32, 0.04, (24, 33), (3665, 0.00125 / 0.04)),
    "voc-decoupled-rcnn": ("voc", (12, None), 8, 0.005, (9,), (0, 0.001)),
    "voc07-double-head": ("voc", (None, 8750), 8, 0.008, (6250,), (500, 1 / 3)),
    "openimages-tsd": ("openimages", (13, None), 32, 0.04, (8, 11), (52344, 0.00125 / 0.04)),
    "widerface-ddod": ("widerface", (600, None), 24, 0.0075, (30, 0.01), (500, 0.001)),
}

SHORT = {"coco-3x-defcn": (640, 672, 704, 736, 768, 800)}


LONG = {"coco-3x-tsd": 1600}
SEVERAL_SCALES = {  # the smallest and the largest of a range of sides, and the test's if another
    "coco-180k-ota": (640, 800),
    "coco-3x-tsd": (400, 1400, 800),
    "coco-2x-ms": (480, 800),
    "coco-2x-ms-640": (640, 800),
    "coco-2x-ms-decoupled-rcnn": (640, 800),
    "coco-2x-ms-960": (480, 960, 800),
    "coco-2x-ms-ddod": (480, 800),
}


@pytest.mark.parametrize("name", load.schedules())
def test_schedule_is_the_papers(name: str) -> None:
    schedule = load.schedule(name)
    training = schedule.training
    steps = training.schedule
    assert isinstance(steps, Steps | Cosine)
    falls = steps.drops if isinstance(steps, Steps) else (steps.period, steps.least)
    assert schedule.id == name
    assert SCHEDULES[name] == (
        schedule.data.kind,
        (training.epochs, training.iterations),
        training.batch,
        training.optimizer.lr,
        falls,
        (steps.warmup_iterations, steps.warmup_ratio),
    )
    assert training.reference_batch == training.batch
    assert training.weights == "default"
    sides = (SHORT | SEVERAL_SCALES).get(name, (800,))
    assert (training.input.short, training.input.long) == (sides, LONG.get(name, 1333))
    assert (training.input.draw == "range") == (name in SEVERAL_SCALES)
    assert (training.input.sampling == "classes") == (name == "openimages-tsd")


def test_schedules_on_voc_name_the_papers_lists() -> None:
    both, seven = (load.schedule(name).data for name in ("voc-decoupled-rcnn", "voc07-double-head"))
    assert both == Voc(kind="voc")
    assert both.train == ("2007_trainval", "2012_trainval")
    assert seven == Voc(kind="voc", train=("2007_trainval",), val="2007_test")


@pytest.mark.parametrize("name", load.profiles())
def test_profile_has_its_files_name(name: str) -> None:
    profile = load.profile(name)
    assert profile.id == name
    assert (profile.light is None) == (name == "paper")


def test_what_distinguishes_the_four_detectors() -> None:
    retinanet, fcos, atss, gfl = (load.detector(name).detector for name in DENSE)
    assert (retinanet.inference.nms, fcos.inference.nms) == (0.5, 0.6)
    assert retinanet.neck.extra == "input"  # type: ignore[union-attr]
    assert (retinanet.candidates.size, retinanet.candidates.scales) == (4, 3)  # type: ignore[union-attr]
    assert retinanet.heads.of("cls").norm == "none"  # type: ignore[union-attr]
    assert (fcos.backbone.style, fcos.backbone.norm) == ("caffe", "frozen")  # type: ignore[union-attr]
    assert fcos.pixels.order == "bgr"
    assert fcos.pixels.mean == (103.53, 116.28, 123.675)
    assert fcos.pixels.std == (1, 1, 1)
    assert fcos.neck.relu_before_extra  # type: ignore[union-attr]
    assert fcos.heads.of("loc").conv_bias  # type: ignore[union-attr]
    assert fcos.supervision.quality is not None
    assert fcos.supervision.quality.task == "loc"
    assert atss.boxes.stds == (0.1, 0.1, 0.2, 0.2)  # type: ignore[union-attr]
    assert (atss.supervision.loc.weight, gfl.supervision.loc.weight) == (2, 2)  # type: ignore[union-attr]
    assert gfl.boxes.bins == 16  # type: ignore[union-attr]
    assert gfl.supervision.quality is None
    assert gfl.supervision.loc.distribution_weight == 0.25  # type: ignore[union-attr]
    assert all(d.inference.score_threshold == 0.05 for d in (retinanet, fcos, atss, gfl))


def test_shared_baselines_have_one_identity() -> None:
    def named(table: str, label: str) -> str:
        (row,) = resolve.cells(table, "paper", rows=label)
        assert row.cell is not None
        return digest(row.cell)

    assert named("tscode-table1", "FCOS") == named("tscode-table2", "FCOS")
    sce = named("tscode-table1", "FCOS + SCE")
    assert sce == named("tscode-table2", "conv 3x3")
    assert sce == named("tscode-table2", "conv 3x3 (among kernels)")
    assert sce == named("tscode-table3", "P_l")
    full = named("tscode-table1", "FCOS + SCE + DPE")
    assert full == named("tscode-table3", "P_{l-1} + P_l + P_{l+1}")
    cells = {
        digest(row.cell)
        for name in load.tables()
        if name.startswith("tscode-") and name != "tscode-table5"  # whose backbones are others
        for row in resolve.cells(name, "paper")
        if row.cell
    }
    assert len(cells) == 21 + 6 + 4 + 9


def test_without_the_next_level_the_tower_is_the_hosts() -> None:
    (row,) = load.table("tscode-table2").rows[1:2]
    assert row.label == "conv 3x3 without P_{l+1}"
    detector = resolve.paper_detector(row)
    assert detector is not None
    tower = detector.heads.of("cls")
    assert (tower.depth, tower.channels) == (4, 256)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["tscode-table1", "tscode-table2"])
def test_counts_that_do_not_match_say_so(name: str) -> None:
    for row in load.table(name).rows:
        detector = resolve.paper_detector(row)
        assert detector is not None
        reads_next = getattr(detector.features.of("cls"), "next_level", False)
        assert ("gflops" in row.unmatched) == reads_next, row.label
