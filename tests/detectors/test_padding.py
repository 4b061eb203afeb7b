"""Images of different sizes in one batch: each is taught what it is taught alone.

What convolutions make of the padding is another matter; predictions are given here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_outputs import outputs
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.data.loading import TrainLoader
from detbench.detectors.roi import RoiDetector
from detbench.ops.candidates import AnchorShapes, Candidates, anchor_grid
from detbench.recipe import resolve
from detbench.recipe.assignment import AtssAssignment, IouAssignment
from detbench.recipe.experiment import Input
from detbench.recipe.model import Pixels
from detbench.stages.assignment import IGNORE, Assigned
from detbench.stages.predictor import Predictions
from detbench.structures import Targets

SIZES = [(60, 150), (150, 70), (33, 33)]
EXTENTS = [(64, 160), (160, 96), (64, 64)]
WHOLE = (160, 160)
STRIDES = [8, 16, 32, 64, 128]
GRID = anchor_grid(AnchorShapes(4.0, 3, (0.5, 1.0, 2.0), 1), 0.0)
OBJECTS = [
    torch.tensor([[2.1, 2.7, 50.6, 58.9], [99.3, 10.2, 148.8, 59.9], [60.1, 20.3, 70.4, 31.7]]),
    torch.tensor([[0.0, 0.3, 69.2, 149.1]]),
    torch.zeros(0, 4),
]
"""None as far from two anchors: which of two is nearer is then anybody's choice."""


def cells(size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(-(-size[0] // stride), -(-size[1] // stride)) for stride in STRIDES]


def targets(*images: int, multiple: int | None = 32) -> Targets:
    boxes = [OBJECTS[index] for index in images]
    labels = [torch.arange(len(each)) for each in boxes]
    return Targets.pad(boxes, labels, torch.tensor([SIZES[index] for index in images]), multiple)


def own(index: int, per_cell: int = GRID.per_cell) -> Tensor:
    """Places among the batch's candidates of those that image ``index`` has alone, in order."""
    found, start = [], 0
    for (height, width), (tall, wide) in zip(cells(WHOLE), cells(EXTENTS[index]), strict=True):
        level = torch.arange(start, start + height * width * per_cell)
        found.append(level.view(height, width, per_cell)[:tall, :wide].flatten())
        start += height * width * per_cell
    return torch.cat(found)


def test_the_extents_are_of_each_image_alone() -> None:
    assert targets(0, 1, 2).extents.tolist() == [list(each) for each in EXTENTS]
    assert targets(0, multiple=None).extents is None
    assert targets(0).padded(9).extents.tolist() == [list(EXTENTS[0])]
    assert targets(0).to("cpu").extents.tolist() == [list(EXTENTS[0])]


def test_cells_count_as_mmdetection_counts_them() -> None:
    """Its valid_flags: in each direction the first ceil(extent / stride) cells."""
    candidates = GRID.lay(cells(WHOLE), STRIDES, torch.zeros(()))
    within = candidates.within(torch.tensor(EXTENTS))
    for index in range(len(EXTENTS)):
        assert torch.equal(within[index].nonzero()[:, 0], own(index))
    assert candidates.within(None) is None


ASSIGNERS = {
    "iou": make(IouAssignment(kind="iou")),
    "iou, no low quality": make(IouAssignment(kind="iou", match_low_quality=False)),
    "atss": make(AtssAssignment(kind="atss")),
}


def assigned(assigner: nn.Module, candidates: Candidates, *images: int) -> Assigned:
    found, wanted = outputs(candidates, len(images)), targets(*images)
    return Assigned(assigner(found, wanted, 0.0), wanted, found, 0.0)


@pytest.mark.parametrize("name", ASSIGNERS)
def test_each_image_is_assigned_what_it_is_alone(name: str) -> None:
    assigner = ASSIGNERS[name]
    laid = GRID.lay(cells(WHOLE), STRIDES, torch.zeros(()))
    together = assigned(assigner, laid, 0, 1, 2)
    total = 0.0
    for index in range(3):
        alone = assigned(assigner, GRID.lay(cells(EXTENTS[index]), STRIDES, torch.zeros(())), index)
        places = own(index)
        assert torch.equal(together.assignment.matched[index, places], alone.assignment.matched[0])
        matched = together.assignment.matched[index]
        outside = torch.ones_like(matched, dtype=torch.bool)
        outside[places] = False
        assert (matched[outside] == IGNORE).all()
        assert outside.any()
        total += float(alone.normaliser(assigner.normaliser))
    assert float(together.normaliser(assigner.normaliser)) == total
    assert together.positive[:2].any(dim=1).all()


def maps(widths: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(3, widths, height, width, generator=generator) for height, width in cells(WHOLE)
    ]


def cut(levels: list[Tensor], index: int) -> list[Tensor]:
    """Image ``index``'s own part of maps, which have anything beyond it."""
    sizes = cells(EXTENTS[index])
    return [
        level[index : index + 1, :, :height, :width]
        for level, (height, width) in zip(levels, sizes, strict=True)
    ]


@pytest.mark.parametrize("name", ["retinanet-r50", "atss-r50", "gfl-r50"])
def test_dense_losses_are_those_of_the_images_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = resolve.cell(name, "smoke").cell
    assert made is not None
    detector = build_detector(made.detector, 4)
    per_cell, dims = detector.grid.per_cell, detector.code.dims
    cls, loc = maps(4 * per_cell, 0), maps(dims * per_cell, 1)
    quality = maps(per_cell, 2) if "quality" in detector.predictor.extras else None

    def extras(maps: list[Tensor] | None) -> dict[str, list[Tensor]]:
        return {"quality": maps} if maps else {}

    def losses(predictions: Predictions, wanted: Targets) -> dict[str, float]:
        monkeypatch.setattr(type(detector), "forward", lambda self, images: predictions)
        found = detector.losses(torch.zeros(()), wanted)
        return {key: float(value) for key, value in found.items()}

    weights = []
    for index in range(3):
        candidates = detector.grid.lay(cells(EXTENTS[index]), STRIDES, torch.zeros(()))
        main = detector.supervisions[0]
        found = assigned(main.assigners.tasks.cls, candidates, index)
        weights.append(float(found.normaliser(main.losses["cls"].normaliser)))
    alone = [
        losses(
            Predictions(cut(cls, index), cut(loc, index), extras(quality and cut(quality, index))),
            targets(index),
        )
        for index in range(3)
    ]
    together = losses(Predictions(cls, loc, extras(quality)), targets(0, 1, 2))
    # GFL weighs boxes by scores and divides by the weights' sum: its boxes are no mean of images.
    for key in ("cls",) if name == "gfl-r50" else set(together) - ({"loc"} if quality else set()):
        mean = sum(w * one[key] for w, one in zip(weights, alone, strict=True)) / sum(weights)
        assert together[key] == pytest.approx(mean, rel=1e-5), key
    # What lies beyond an image teaches nothing at all.
    for index in range(3):
        for levels in (cls, loc, *([quality] if quality else [])):
            for level, (height, width) in zip(levels, cells(EXTENTS[index]), strict=True):
                level[index, :, height:] = 50.0
                level[index, :, :, width:] = -50.0
    assert losses(Predictions(cls, loc, extras(quality)), targets(0, 1, 2)) == pytest.approx(
        together
    )


def rpn(border: float | None) -> RoiDetector:
    changes = () if border is None else (f"rpn.border={border}",)
    made = resolve.cell("faster-rcnn-r50", "smoke", 0, changes).cell
    assert made is not None
    detector = build_detector(made.detector, 4)
    settings = replace(detector.rpn.settings, samples=10**9, fraction=1.0)
    detector.rpn.settings = settings
    detector.rpn.strides = STRIDES
    return detector


@pytest.mark.parametrize("border", [None, 0.0, 5.0, 40.0])
def test_rpn_losses_are_those_of_the_images_alone(border: float | None) -> None:
    """All anchors teach, so that nothing is drawn; each image counts by how many it has."""
    network = rpn(border).rpn
    per_cell = network.grid.per_cell
    cls, loc = maps(per_cell, 0), maps(4 * per_cell, 1)
    together = network.losses(cls, loc, targets(0, 1, 2), torch.tensor(SIZES))
    sums = {"rpn_cls": 0.0, "rpn_loc": 0.0}
    count = 0
    for index in range(3):
        given = cut(cls, index)
        alone = network.losses(given, cut(loc, index), targets(index), torch.tensor([SIZES[index]]))
        candidates = network.candidates(given)
        boxes = candidates.boxes.expand(1, -1, -1)
        usable = network._usable(candidates, targets(index), torch.tensor([SIZES[index]]))
        matched = network.settings.assigner.match(boxes, targets(index), usable)
        number = int((matched != IGNORE).sum())
        count += number
        for key in sums:
            sums[key] += number * float(alone[key])
    for key, value in sums.items():
        assert float(together[key]) == pytest.approx(value / count, rel=1e-5)


@pytest.mark.parametrize("border", [0.0, 5.0])
def test_the_border_is_that_of_the_image_without_its_padding(border: float) -> None:
    network = rpn(border).rpn
    candidates = network.candidates(maps(network.grid.per_cell, 0))
    usable = network._usable(candidates, targets(0, 1, 2), torch.tensor(SIZES))
    for index, (height, width) in enumerate(SIZES):
        left, top, right, bottom = candidates.boxes.unbind(dim=1)
        inside = (left >= -border) & (top >= -border)
        inside &= (right < width + border) & (bottom < height + border)
        within = torch.zeros_like(inside)
        within[own(index, network.grid.per_cell)] = True
        assert torch.equal(usable[index], inside & within)
        assert usable[index].any()
    assert len({int(count) for count in usable.sum(dim=1)}) == 3


def test_loaders_say_how_far_each_image_goes(tmp_path) -> None:
    from made_coco import make_coco

    from detbench import data
    from detbench.data.kinds import Coco

    dataset = data.load(Coco(kind="coco"), "train", make_coco(tmp_path))
    loader = TrainLoader(dataset, Input(short=(96,), long=160, multiple=32), Pixels(), 4, 0)
    batch = next(iter(loader.batches(0)))
    extents = batch.targets.extents
    assert torch.equal(extents, (batch.sizes + 31) // 32 * 32)
    assert extents.amax(dim=0).tolist() == list(batch.images.shape[-2:])
