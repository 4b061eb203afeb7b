"""``train`` on real detectors and the embedded data, in a few iterations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from standin import CPU

from detbench.evaluation.run import score
from detbench.progress import Progress
from detbench.recipe import resolve
from detbench.recipe.experiment import Cell
from detbench.training import checkpoint, curve, loop
from detbench.training.host import Host

SMALL = (
    "data.train=8",
    "data.val=4",
    "data.size=64",
    "training.iterations=4",
    "training.batch=2",
    "training.input.short=64",
    "training.input.long=64",
)


AUGMENT = (
    'training.input.augment=[{ name = "RandomIoUCrop" }, { name = "ColorJitter", arguments = '
    '{ brightness = 0.4 }, probability = 0.5 }, { name = "RandomAffine", arguments = '
    '{ degrees = 20 }, at = "scaled" }]'
)
NO_OBJECT = (
    'training.input.augment=[{ name = "RandomAffine", arguments = { degrees = 0, translate = '
    "[1.0, 1.0] }, probability = 0.8 }]"
)
"""Many an image loses all of its objects."""


class Stop(BaseException):
    pass


def cell(detector: str, *changes: str, seed: int = 0) -> Cell:
    made = resolve.cell(detector, "smoke", seed, (*SMALL, *changes)).cell
    assert made is not None
    return made


def train(made: Cell, work: Path, report: Any = lambda _: None) -> torch.nn.Module:
    return loop.train(made, work, Host(work, CPU, report))


def state(work: Path) -> dict[str, Any]:
    return checkpoint.load(work / loop.CHECKPOINT)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    pairs = zip(first["detector"].values(), second["detector"].values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("detector", "changes"),
    [
        *(
            (f"{name}-r50", ())
            for name in ("retinanet", "fcos", "atss", "gfl", "ddod", "autoassign", "dw", "defcn")
        ),
        ("tood-r50", ("detector.assignment.both.warmup=0.5",)),  # which ends where it is cut
        ("tood-r50", ("detector.assignment.both.warmup=0.25",)),  # before
        ("paa-r50", ()),
        ("gflv2-r50", ()),
        ("ota-r50", ()),
        ("fcos-r50", (AUGMENT,)),
        ("faster-rcnn-r50", (NO_OBJECT,)),
    ],
)
def test_resume_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: str, changes: tuple[str, ...]
) -> None:
    monkeypatch.setattr(loop, "READ_EVERY_S", 0.0)

    def stop(at: Progress) -> None:
        if at.iteration == 2:
            raise Stop

    train(cell(detector, *changes), tmp_path / "whole")
    with pytest.raises(Stop):
        train(cell(detector, *changes), tmp_path / "cut", stop)
    assert state(tmp_path / "cut")["iteration"] == 2
    train(cell(detector, *changes), tmp_path / "cut")
    assert same(state(tmp_path / "whole"), state(tmp_path / "cut"))
    lines = [list(curve.read(tmp_path / run / loop.CURVE)) for run in ("whole", "cut")]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 4


def test_resume_is_exact_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions are drawn at random, and blocks left out."""
    monkeypatch.setattr(loop, "READ_EVERY_S", 0.0)
    backbone = 'detector.backbone={kind="timm",name="convnext_atto",drop_path=0.3,frozen_stages=0}'
    made = cell("faster-rcnn-r50", "training.accumulate=2", backbone, "training.weights=none")

    def stop(at: Progress) -> None:
        if at.iteration == 2:
            raise Stop

    train(made, tmp_path / "whole")
    with pytest.raises(Stop):
        train(made, tmp_path / "cut", stop)
    train(made, tmp_path / "cut")
    assert same(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(name) + seed)  # what ran before must not matter
        train(cell("fcos-r50", seed=seed), tmp_path / name)
    assert same(state(tmp_path / "a"), state(tmp_path / "b"))
    assert not same(state(tmp_path / "a"), state(tmp_path / "c"))


def test_training_scenes_by_seed_follow_the_cells_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    class Watched(loop.TrainLoader):
        def __init__(self, dataset: Any, *arguments: Any) -> None:
            super().__init__(dataset, *arguments)
            seen.append(dataset.sample(0).image.numpy().tobytes())

    monkeypatch.setattr(loop, "TrainLoader", Watched)
    short = "training.iterations=1"
    for changes in ((short, "data.scenes=none"), (short,)):
        for seed in (0, 1):
            made = cell("fcos-r50", *changes, seed=seed)
            train(made, tmp_path / f"{len(changes)}-{seed}")
    assert seen[0] == seen[1]
    assert len(set(seen[1:])) == 3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains(tmp_path: Path, precision: str) -> None:
    """Of 64 pixels, where P6 and P7 are a single cell."""
    short = ("training.iterations=2", f"training.precision={precision}")
    train(cell("gfl-r50", *short), tmp_path)
    losses = [line["total"] for line in curve.read(tmp_path / loop.CURVE)]
    assert len(losses) == 2
    assert all(loss > 0 for loss in losses)


def test_scores_are_those_of_the_detections(tmp_path: Path) -> None:
    from detbench import data
    from detbench.evaluation.coco import evaluate

    made = cell("fcos-r50", "evaluation.limit=3", "inference.score_threshold=0.0")
    detector = train(made, tmp_path)
    found = score(detector, made, Host(tmp_path, CPU, lambda _: None))
    assert found.images == 3
    truth = data.load(made.data, "val", tmp_path).ground_truth()
    assert found.metrics == evaluate(truth, found.detections, made.evaluation)
    assert {item["image_id"] for item in found.detections} == {1, 2, 3}


def test_a_run_is_not_resumed_on_classes_in_another_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detbench.data import scenes as shapes
    from detbench.errors import WeightsError

    train(cell("fcos-r50"), tmp_path)
    names = list(shapes.CATEGORIES)
    assert state(tmp_path)["classes"] == names
    for changed, said in (
        ([names[1], names[0], *names[2:]], r"other classes \(their order\)"),
        (["door", *names[1:]], rf"only the file has {names[0]} and only the data has door"),
    ):
        monkeypatch.setattr(shapes, "CATEGORIES", tuple(changed))
        with pytest.raises(WeightsError, match=said) as caught:
            train(cell("fcos-r50"), tmp_path)
        assert "\n" not in str(caught.value)
