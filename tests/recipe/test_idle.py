"""What somebody sets and nothing reads is refused; what a recipe states beside the point is not."""

from __future__ import annotations

from typing import Any

import pytest

from detbench.errors import DeviceError, RecipeError
from detbench.recipe import idle, load, resolve
from detbench.recipe.table import Row, Table

PAPER, SMOKE = "paper", "smoke"


def refused(detector: str, profile: str, *overrides: str) -> list[str]:
    """The mistakes of a detector with some ``--set``."""
    try:
        resolve.cell(detector, profile, 0, overrides)
    except RecipeError as error:
        return error.mistakes
    return []


NOTHING = [
    ("fcos-r50", SMOKE, ["training.reference_batch=8"], "set training.optimizer.lr"),
    ("fcos-r50", SMOKE, ["evaluation.limit=2001"], "there are 2000 val images"),
    ("fcos-r50", SMOKE, ["evaluation.max_detections=300"], "the detector gives 100 an image"),
    ("fcos-r50", PAPER, ["backbone.weights=some.pth"], "training.weights=default alone asks"),
    (
        "defcn-r50",
        PAPER,
        ["predictor={kind='max-filter',norm='none',conv_bias=false}"],
        "without a norm a convolution always has a bias",
    ),
    (
        "fcos-r50",
        PAPER,
        ["training.optimizer.weight_decay=0", "training.optimizer.decay_biases=true"],
        "training.optimizer.weight_decay is 0",
    ),
    (
        "faster-rcnn-r50",
        PAPER,
        ["backbone.norm=frozen", "training.optimizer.decay_norms=false"],
        "no norm of this detector trains",
    ),
    ("fcos-r50", PAPER, ["training.schedule.drops=[8, 12]"], "ends at 12, before 12"),
    (
        "fcos-r50",
        PAPER,
        ["training.schedule.drops=[]", "training.schedule.gamma=0.5"],
        "no drop of the learning rate comes before the end",
    ),
    (
        "fcos-r50",
        PAPER,
        ["training.schedule.gamma=1", "training.schedule.drops=[3]"],
        "training.schedule.gamma is 1",
    ),
    (
        "fcos-r50",
        PAPER,
        ["training.schedule.warmup_iterations=0", "training.schedule.warmup_ratio=0.1"],
        "warmup_iterations is 0",
    ),
    ("fcos-r50", SMOKE, ["heads.cls.depth=0", "heads.cls.channels=32"], "a tower of depth 0"),
    ("fcos-r50", SMOKE, ["heads.loc.norm=none", "heads.loc.conv_bias=false"], "always has a bias"),
    (
        "fcos-r50",
        SMOKE,
        ['sampling={cls={kind="deformable", convs=[4]}, loc={kind="regular"}}'],
        "the cls tower has depth 4",
    ),
    (
        "fcos-r50",
        SMOKE,
        ['sampling={cls={kind="deformable", convs=[]}, loc={kind="regular"}}'],
        "it names no convolution",
    ),
    (
        "fcos-r50",
        SMOKE,
        ['features={cls={kind="sce", down="avg", norm="none"}, loc={kind="level"}}'],
        "down = 'avg' has no convolution",
    ),
    (
        "fcos-r50",
        SMOKE,
        ['features={cls={kind="level"}, loc={kind="dpe", levels=[0, 1], conv_bias=true}}'],
        "levels without -1 need no convolution",
    ),
    (
        "retinanet-r50",
        SMOKE,
        ["assignment.both.match_low_quality=false", "assignment.both.min_positive=0.2"],
        "match_low_quality is false",
    ),
    (
        "fcos-r50",
        SMOKE,
        ["supervision.cls.weight=0", "supervision.cls.gamma=1"],
        "supervision.cls.weight is 0",
    ),
    (
        "fcos-r50",
        SMOKE,
        ["supervision.loc.weighting=none", "supervision.loc.least=2"],
        "weighting is 'none'",
    ),
    (
        "autoassign-r50",
        SMOKE,
        ['levels={cls={kind="linear", last=3.0}, loc={kind="linear", last=3.0}}'],
        "'autoassign' counts levels by levels.cls",
    ),
    ("retinanet-r50", SMOKE, ["supervision.cls.on=score"], "has no further output"),
    ("retinanet-r50", SMOKE, ["score={kind='geometric'}"], "has no further output"),
    ("fcos-r50", SMOKE, ["supervision.cls={kind='task-aligned'}"], "'focal' is the same"),
    ("fcos-r50", SMOKE, ["supervision.loc.weighting=target"], "'centerness' is the same"),
    (
        "decoupled-rcnn-r50",
        SMOKE,
        ["assignment.loc.test_count=100"],
        "at test both tasks have the proposals of assignment.cls",
    ),
    ("faster-rcnn-r50", SMOKE, ["readout.average=logits"], "cls_rounds names one round"),
    ("mask-rcnn-r50", SMOKE, ["mask.stages=last"], "the detector has one stage"),
    (
        "faster-rcnn-r50",
        SMOKE,
        ["supervision.loc.weight=0", "supervision.loc.beta=1"],
        "supervision.loc.weight is 0",
    ),
]


@pytest.mark.parametrize(("detector", "profile", "overrides", "why"), NOTHING)
def test_what_would_do_nothing_is_refused(
    detector: str, profile: str, overrides: list[str], why: str
) -> None:
    [mistake] = refused(detector, profile, *overrides)
    assert mistake.startswith(f"--set '{overrides[-1]}' does nothing here: ")
    assert why in mistake


SOMETHING = [
    ("fcos-r50", SMOKE, "evaluation.limit=199"),
    ("fcos-r50", SMOKE, "evaluation.max_detections=10"),
    ("fcos-r50", PAPER, "backbone.groups=32"),
    ("fcos-r50", PAPER, "training.optimizer.decay_norms=false"),
    ("fcos-r50", PAPER, "training.schedule.drops=[6, 11.5]"),
    ("fcos-r50", PAPER, "training.epochs=24"),
    ("fcos-r50", SMOKE, "training.precision=fp16"),  # CPUs compute in it too
    ("fcos-r50", SMOKE, "training.channels_last=false"),
    ("fcos-r50", SMOKE, "supervision.cls.on=score"),  # with centre-ness
    ("fcos-r50", SMOKE, "score={kind='geometric'}"),
    ("retinanet-r50", SMOKE, "predictor={kind='convolutions', objectness='loc'}"),
    ("fcos-r50", SMOKE, "heads.cls.conv_bias=false"),
    (
        "fcos-r50",
        SMOKE,
        'sampling={cls={kind="deformable", convs=[3]}, loc={kind="regular"}}',
    ),
    ("faster-rcnn-r50", PAPER, "training.optimizer.decay_norms=false"),
    ("double-head-r50", PAPER, "training.optimizer.decay_norms=false"),
    ("cascade-rcnn-r50", SMOKE, "readout.average=logits"),
    ("cascade-rcnn-r50", SMOKE, "mask={stages='last'}"),
    ("mask-rcnn-r50", SMOKE, "mask=none"),
    ("decoupled-rcnn-r50", SMOKE, "assignment.cls.test_count=40"),
]


@pytest.mark.parametrize(("detector", "profile", "override"), SOMETHING)
def test_what_does_something_is_not(detector: str, profile: str, override: str) -> None:
    assert refused(detector, profile, override) == []


def test_a_live_norm_anywhere_is_enough() -> None:
    """Frozen norms in the backbone, and batch norms in Double-Head's conv head."""
    words = ("backbone.norm=frozen", "training.optimizer.decay_norms=false")
    assert refused("double-head-r50", PAPER, *words) == []
    assert len(refused("faster-rcnn-r50", PAPER, *words)) == 1
    assert len(refused("faster-rcnn-r50-c4", PAPER, *words)) == 1
    assert refused("fcos-r50", PAPER, *words) == []  # GroupNorm in its towers


def test_all_of_them_are_told_at_once_and_in_one_line_each() -> None:
    found = refused("fcos-r50", SMOKE, "training.reference_batch=2", "evaluation.limit=9000")
    assert len(found) == 2
    assert all("\n" not in one for one in found)


TABLE = Table(
    id="own-table1",
    title="Own",
    paper="own",
    columns=("AP",),
    schedule="coco-1x",
    rows=(
        Row(label="FCOS", detector="fcos-r50"),
        Row(label="Faster", detector="faster-rcnn-r50"),
        Row(label="cited", cited="not public"),
    ),
)


def _rows(*replaced: dict[str, Any], paper: str = "own") -> Table:
    rows = tuple(Row(label=str(n), detector="fcos-r50", **one) for n, one in enumerate(replaced))
    return TABLE.model_copy(update={"rows": rows, "paper": paper})


def test_in_some_rows_it_is_a_warning_with_their_names() -> None:
    words = ("backbone.norm=frozen", "training.optimizer.decay_norms=false")
    first, *rest = resolve.cells(TABLE, PAPER, (0, 1), None, words)
    said = "--set 'training.optimizer.decay_norms=false' does nothing in Faster: no norm of this"
    assert sum(one.startswith(said) for one in first.warnings) == 1
    assert not any("does nothing" in one for row in rest for one in row.warnings)
    # Of those rows alone it is a mistake.
    with pytest.raises(RecipeError, match="does nothing here: no norm of this detector trains"):
        resolve.cells(TABLE, PAPER, (0, 1), "Faster", words)


def test_rows_of_ones_own_table_are_looked_at() -> None:
    heads = {"both": {"kind": "tower", "norm": "none", "depth": 2, "conv_bias": False}}
    useless = {"kind": "dpe", "levels": [0, 1], "norm": "none"}
    features = {"cls": {"kind": "level"}, "loc": useless}
    table = _rows({"heads": heads}, {"features": features})
    with pytest.raises(RecipeError) as caught:
        resolve.cells(table, SMOKE)
    # What is written out at its default claims nothing.
    assert caught.value.mistakes == [
        'row "1": features.loc.norm does nothing here: levels without -1 need no convolution'
    ]
    assert resolve.cells(_rows({"features": features}, paper="tscode"), SMOKE)
    # A backbone comes with its weights, whether a run asks for them or not.
    brought = {"kind": "resnet", "depth": 101, "deformable_stages": [5], "weights": "some.pth"}
    with pytest.raises(RecipeError) as caught:
        resolve.cells(_rows({"backbone": brought}), SMOKE)
    assert caught.value.mistakes == [
        "row \"0\": backbone.deformable_stages does nothing here: backbone.deformable is 'none'"
    ]


def test_every_published_table_may_be_copied() -> None:
    """As a table of one's own, none of its rows sets what does nothing."""
    for name in load.tables():
        for profile in (PAPER, SMOKE):
            for row in resolve.cells(name, profile):
                assert row.cell is None or idle.of_row(row.cell, row.row) == [], row.row.label


def test_numbers_beyond_what_there_is_are_told_and_run() -> None:
    def told(detector: str, *overrides: str) -> list[str]:
        row = resolve.cell(detector, PAPER, 0, overrides)
        return [one for one in row.warnings if "scratch" not in one and "rate" not in one[:9]]

    cosine = "training.schedule={ kind = 'cosine', period = %s }"
    (said,) = told("fcos-r50", cosine % "24")
    assert said.startswith("training.schedule.period is 24 epochs, and the training ends at 12")
    assert told("fcos-r50", cosine % "12") == []
    (said,) = told("defcn-r50", "predictor.neighbours=10")
    assert said.startswith("predictor.neighbours is 10, and a pyramid of 5 levels has 4")
    assert told("defcn-r50", "predictor.neighbours=4") == []


def test_numbers_too_small_for_float32_are_refused() -> None:
    sigma = "assignment.both.sigma=%s"
    (mistake,) = refused("dw-r50", PAPER, sigma % "1e-30")
    assert "assignment.both.sigma" in mistake
    assert refused("dw-r50", PAPER, sigma % "0.001") == []
    (mistake,) = refused("ota-r50", PAPER, "assignment.both.epsilon=1e-30")
    assert "assignment.both.epsilon" in mistake


def test_sides_that_a_range_never_reads() -> None:
    """Between its ends; the last one is that of testing."""
    asked = "training.input={ short = [%s], draw = 'range' }"
    (mistake,) = refused("fcos-r50", PAPER, asked % "480, 640, 800")
    assert "draws between 480 and 800 and never reads 640" in mistake
    assert refused("fcos-r50", PAPER, asked % "480, 800, 640") == []
    assert refused("fcos-r50", PAPER, asked.replace("range", "listed") % "480, 640, 800") == []


def test_options_of_a_run_that_would_do_nothing() -> None:
    from pathlib import Path

    from detbench.runner.options import Options

    with pytest.raises(DeviceError, match=r"--gpus-per-cell 0\.5 does nothing here: there is no"):
        Options(Path("data"), "cpu", gpus_per_cell=0.5).settled(light=True)
    with pytest.raises(DeviceError, match="--ray-address does nothing here: it goes with"):
        Options(Path("data"), "cpu", ray_address="10.0.0.1:6379").settled(light=True)
