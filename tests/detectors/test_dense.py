"""Dense detectors on what real data has seldom: nothing, hundreds of objects, odd sizes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from alike import unlike
from torch import Tensor

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector, Predictions
from detbench.recipe import load, resolve
from detbench.recipe.detector import Dense
from detbench.stages.assignment.cost import CostAssigner
from detbench.stages.assignment.mixture import MixtureAssigner
from detbench.stages.assignment.one_to_one import OneToOneAssigner
from detbench.stages.assignment.task_aligned import TaskAlignedAssigner
from detbench.stages.assignment.transport import TransportAssigner
from detbench.structures import Targets

CLASSES = 5
BY_PREDICTIONS = (
    CostAssigner,
    MixtureAssigner,
    OneToOneAssigner,
    TaskAlignedAssigner,
    TransportAssigner,
)
ALIGNED = "detector.assignment.both.warmup=0"  # TOOD after its first epochs
JOINT = ("negative", "positive")  # of a joint criterion: what is background, and its boxes
TABLES = ("tscode-table1", "tscode-table2", "tscode-table3", "tscode-table4")


@cache
def rows() -> dict[str, resolve.ResolvedRow]:
    """One row for every dense detector and every option of TSCODE's, whatever its backbone."""
    found = {
        f"{name}: {one.row.label}": one for name in TABLES for one in resolve.cells(name, "smoke")
    }
    names = [name for name in load.detectors() if isinstance(load.detector(name).detector, Dense)]
    found |= {name: resolve.cell(name, "smoke") for name in sorted(names, key=deep)}
    found["tood-r50: aligned"] = resolve.cell("tood-r50", "smoke", 0, (ALIGNED,))
    detectors = {name: one.cell.detector for name, one in found.items() if one.cell is not None}
    kept = unlike(detectors, but=("backbone",)).keys() | {"tood-r50: aligned"}
    return {name: one for name, one in found.items() if name in kept}


def deep(name: str) -> bool:
    """Its network is no ResNet-50."""
    return not name.endswith("-r50")


def detector(label: str) -> DenseDetector:
    cell = rows()[label].cell
    assert cell is not None
    torch.manual_seed(0)
    made = build_detector(cell.detector, CLASSES)
    assert isinstance(made, DenseDetector)
    return made


def objects(count: int, width: int, height: int) -> Tensor:
    """(count, 4) boxes inside the image, from far under a pixel to nearly all of it."""
    random = torch.Generator().manual_seed(count)
    size = torch.tensor([width, height])
    sides = size * torch.rand(count, 2, generator=random) ** 4
    low = (size - sides) * torch.rand(count, 2, generator=random)
    return torch.cat((low, low + sides), dim=1)


def batch(width: int, height: int, *boxes: Tensor) -> tuple[Tensor, Targets]:
    images = torch.randn(len(boxes), 3, height, width, generator=torch.Generator().manual_seed(1))
    labels = [torch.arange(len(each)) % CLASSES for each in boxes]
    sizes = torch.tensor([[height, width]] * len(boxes))
    return images, Targets.pad(list(boxes), labels, sizes)


NOTHING = torch.zeros(0, 4)
WHOLE = torch.tensor([[0.0, 0.0, 96.0, 64.0]])
TWICE = torch.tensor([[10.0, 10.0, 40.0, 50.0]] * 2)
THIN = torch.tensor([[5.0, 5.0, 90.0, 5.001], [3.0, 1.0, 3.001, 60.0]])

BATCHES = {
    "no object at all": (96, 64, NOTHING, NOTHING),
    "300 objects": (96, 64, objects(300, 96, 64)),
    "300, none, one": (96, 64, objects(300, 96, 64), NOTHING, WHOLE),
    "the same box twice, thin ones": (96, 64, TWICE, THIN),
    "odd size": (101, 67, objects(7, 101, 67), NOTHING),
    "a size of less than a stride": (37, 19, objects(2, 37, 19)),
}


@pytest.mark.parametrize("label", rows())
def test_losses_and_gradients_are_finite(label: str) -> None:
    made = detector(label).train()
    for case in BATCHES:
        made.zero_grad()
        check_losses(made, case)


def check_losses(made: DenseDetector, case: str) -> None:
    """Of one step on the batch of this name; gradients start as none."""
    losses = made.losses(*batch(*BATCHES[case]))
    places, boxes = JOINT if "negative" in losses else ("cls", "loc")
    assert {places, boxes} <= set(losses)
    assert all(loss.dim() == 0 and loss.isfinite() for loss in losses.values())
    assert losses[places] > 0
    sum(losses.values()).backward()
    gradients = [p.grad for p in made.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    if "no object" in case:
        taught = {name for name in losses if name == places or name.endswith("_cls")}
        assert all(float(losses[name].detach()) == 0 for name in losses.keys() - taught)
    else:
        assert float(losses[boxes].detach()) > 0 or "less than a stride" in case


def of_image(predictions: Predictions, index: int) -> Predictions:
    def part(maps: list[Tensor]) -> list[Tensor]:
        return [level[index : index + 1] for level in maps]

    extras = {name: part(maps) for name, maps in predictions.extras.items()}
    return Predictions(part(predictions.cls), part(predictions.loc), extras)


@pytest.mark.parametrize("label", rows())
def test_an_empty_image_does_not_change_what_the_others_teach(label: str) -> None:
    """Padding in targets is no object: each image's assignment is its own."""
    made = detector(label)
    images, targets = batch(96, 64, objects(9, 96, 64), NOTHING, TWICE)
    predictions = made(images)
    assigner = made.supervisions[0].assigners.tasks.loc
    outputs = made.outputs(predictions).detached
    together = assigner(outputs, targets, 0.0)
    if not isinstance(assigner, BY_PREDICTIONS):
        assert not {"boxes", "probabilities", "scores"} & set(vars(outputs)), "it read predictions"
    for index in range(3):
        boxes, labels = targets.boxes[index], targets.labels[index]
        alone = Targets.pad([boxes[targets.valid[index]]], [labels[targets.valid[index]]])
        matched = assigner(made.outputs(of_image(predictions, index)).detached, alone, 0.0).matched[
            0
        ]
        assert torch.equal(together.matched[index], matched)
    assert (together.matched[1] < 0).all()
    assert (together.matched[0] >= 0).any()


@pytest.mark.parametrize("label", rows())
def test_detections_of_any_size(label: str) -> None:
    made = detector(label).eval()
    for width, height in ((96, 64), (101, 67), (37, 19), (1, 1)):
        check_detections(made, width, height)


def check_detections(made: DenseDetector, width: int, height: int) -> None:
    """Of two images of this size."""
    made.inference = replace(made.inference, score_threshold=0.0, nms=0.6, max_detections=50)
    images, targets = batch(width, height, NOTHING, NOTHING)
    assert targets.sizes is not None
    with torch.no_grad():
        found = made.detect(images, targets.sizes)
    assert len(found) == 2
    for one in found:
        # Of a few pixels nothing may be left but boxes without area, which are dropped.
        assert int(width > 90) <= len(one) <= 50
        assert one.boxes.isfinite().all()
        assert one.scores.isfinite().all()
        if made.inference.clip:
            assert (one.boxes >= 0).all()
            assert (one.boxes <= torch.tensor([width, height] * 2)).all()
        assert (one.scores.diff() <= 0).all()
        assert ((one.labels >= 0) & (one.labels < CLASSES)).all()


def test_a_threshold_that_nothing_passes_gives_no_detections() -> None:
    made = detector("retinanet-r50").eval()
    made.inference = replace(made.inference, score_threshold=1.0)
    images, targets = batch(96, 64, NOTHING)
    assert targets.sizes is not None
    with torch.no_grad():
        [found] = made.detect(images, targets.sizes)
    assert (len(found), found.boxes.shape) == (0, (0, 4))
