"""Test-time augmentation: views of an image, and what becomes of their boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torchvision.ops import batched_nms

from detbench import data
from detbench.assembly import build_detector
from detbench.data import Category, Sample
from detbench.data.loading import EvalLoader, Processes
from detbench.evaluation import run, views
from detbench.evaluation.predict import predict
from detbench.evaluation.views import ViewLoader, ViewSet, merge, mirrored
from detbench.ops.soft_suppression import soft_suppress
from detbench.recipe import digest, resolve
from detbench.recipe.experiment import Cell, Input
from detbench.recipe.model import Views
from detbench.structures import Detections
from detbench.training.host import Host

CPU = torch.device("cpu")
HERE = Processes(workers=0)


def cell(detector: str = "gfl-r50", **inference: Any) -> Cell:
    made = resolve.cell(
        detector,
        "smoke",
        overrides=[f"data.{split}=5" for split in ("train", "val")]
        + ["data.size=64", "training.input.short=64", "training.input.long=64"],
    ).cell
    assert made is not None
    changed = made.detector.inference.model_copy(update={"score_threshold": 0.0} | inference)
    return made.model_copy(
        update={"detector": made.detector.model_copy(update={"inference": changed})}
    )


class Squares:
    """Two images of 30 x 40 and 40 x 30 with a bright square near the left."""

    in_memory = True

    def __init__(self) -> None:
        self.categories = [Category(1, "square")]
        self.sizes = [(30, 40), (40, 30)]
        self.trainable = [0, 1]

    def __len__(self) -> int:
        return 2

    def sample(self, index: int) -> Sample:
        image = torch.zeros(3, *self.sizes[index], dtype=torch.uint8)
        image[:, 8:16, 4:12] = 255
        return Sample(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), index)

    def ground_truth(self) -> dict[str, Any]:
        return {}


class Finder(torch.nn.Module):
    """Finds the bright square, and scores it by the height of the image; keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def detect(self, images: Tensor, sizes: Tensor) -> list[Detections]:
        self.seen.append(images.clone())
        found = []
        for image, size in zip(images, sizes, strict=True):
            height, width = size.tolist()
            rows, columns = (image[0, :height, :width] > 0.5).nonzero().T
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            found.append(
                Detections(
                    torch.tensor([[float(x) for x in box]]),
                    torch.tensor([height / 1000]),
                    torch.zeros(1, dtype=torch.int64),
                )
            )
        return found


def test_every_view_finds_the_square_where_it_is() -> None:
    """Scaled up and down, mirrored, padded, in batches: all boxes are one, of the largest view."""
    made = cell()
    made = made.model_copy(
        update={
            "training": made.training.model_copy(
                update={"input": Input(short=(30,), long=40, multiple=32)}
            ),
            "evaluation": made.evaluation.model_copy(update={"batch": 2}),
        }
    )
    finder, settings = Finder(), Views(scales=(0.5, 1.0, 2.0), flip=True)
    loader = ViewLoader(Squares(), made, settings, HERE)
    (batch,) = loader
    apart = [found for view in batch.batches for found in (view, mirrored(view))]
    assert len(apart) == 6
    results = predict(finder, loader, Squares().categories, CPU, lambda _: None)
    assert [item["image_id"] for item in results] == [0, 1]
    for item, height in zip(results, (60, 80), strict=True):
        assert item["bbox"] == pytest.approx([4, 8, 8, 8], abs=0.51)
        assert item["score"] == pytest.approx(height / 1000)
    sizes = [tuple(images.shape[-2:]) for images in finder.seen]
    assert sizes == [(32, 32)] * 2 + [(64, 64)] * 2 + [(96, 96)] * 2
    left, right = finder.seen[2:4]
    assert torch.equal(right[0, :, :30, :40], left[0, :, :30, :40].flip(-1))
    assert torch.equal(right[0, :, :, 40:], left[0, :, :, 40:])


def made_views() -> list[Detections]:
    torch.manual_seed(0)
    found = []
    for count in (6, 0, 9):
        corners = torch.rand(count, 2) * 20
        boxes = torch.cat((corners, corners + 10 + 10 * torch.rand(count, 2)), 1)
        found.append(Detections(boxes, torch.rand(count), torch.randint(0, 2, (count,))))
    return found


def test_boxes_are_merged_by_nms_or_soft_nms() -> None:
    given = made_views()
    boxes, scores, labels = (
        torch.cat([getattr(one, name) for one in given]) for name in ("boxes", "scores", "labels")
    )
    hard = merge(given, Views(nms=0.4), 100)
    kept = batched_nms(boxes, scores, labels, 0.4)
    assert 1 < len(kept) < len(boxes)
    assert torch.equal(hard.boxes, boxes[kept])
    assert torch.equal(hard.scores, scores[kept])
    assert len(merge(given, Views(nms=0.4), 3)) == 3
    soft = merge(given, Views(nms=0.4, soft=0.05), 100)
    expected = soft_suppress(Detections(boxes, scores, labels), 0.4, 0.05, 100)
    assert torch.equal(soft.boxes, expected.boxes)
    assert torch.equal(soft.scores, expected.scores)
    assert len(soft) > len(hard)
    assert len(merge([given[1]], Views(), 100)) == 0


@pytest.mark.parametrize("soft", [None, 0.05])
def test_a_box_keeps_the_mask_of_its_view(soft: float | None) -> None:
    """The best box of an object is of the mirrored view; another's is of the view as it is."""
    batch = next(
        iter(EvalLoader(Squares(), Input(short=(30,), long=40), cell().detector.pixels, 1))
    )
    mask, other = torch.rand(2, 4, 4)
    near, far = torch.tensor([[2.0, 3.0, 12.0, 20.0], [20.0, 4.0, 36.0, 28.0]])
    labels = torch.zeros(2, dtype=torch.int64)

    def detect(view: Any) -> list[Detections]:
        if view is batch:
            found = torch.stack((near, far)), torch.tensor([0.5, 0.9]), labels
            return [Detections(*found, torch.stack((mask * 0, other)))]
        boxes = torch.stack((40 - near[2], near[1], 40 - near[0], near[3]))[None]
        return [Detections(boxes, torch.tensor([0.8]), labels[:1], mask.flip(-1)[None])]

    settings = Views(flip=True, nms=0.5, soft=soft)
    _, [found] = ViewSet([batch], settings, 2).merged(detect)
    assert found.masks is not None
    assert torch.equal(found.boxes, torch.stack((far, near)))
    assert torch.equal(found.masks, torch.stack((other, mask)))


@pytest.mark.parametrize("detector", ["gfl-r50", "faster-rcnn-r50"])
def test_an_evaluation_with_views_is_the_merge_of_evaluations(detector: str) -> None:
    """Of each view by itself: scales as images of other sizes, mirrors as mirrored images."""
    plain, settings = cell(detector), Views(scales=(1.0, 1.5), flip=True, nms=0.5)
    viewed = cell(detector, views=settings)
    host = Host(Path(), CPU, lambda _: None)
    dataset = data.load(plain.data, "val", Path())
    torch.manual_seed(0)
    network: Any = build_detector(plain.detector, data.class_names(dataset)).eval()
    found = run.score(network, viewed, host).detections
    assert len(found) > 100
    expected: dict[int, list[Detections]] = {}
    for scale in settings.scales:
        loader = EvalLoader(
            dataset, views.scaled(plain.training.input, scale), plain.detector.pixels, 1, None, HERE
        )
        for batch in loader:
            (x, _), (_, width) = batch.scales[0], batch.sizes[0].tolist()
            with torch.inference_mode():
                ahead = network.detect(batch.images, batch.sizes)[0]
                images = batch.images.clone()
                images[..., :width] = images[..., :width].flip(-1)
                back = network.detect(images, batch.sizes)[0]
            swapped = back.boxes[:, [2, 1, 0, 3]] * torch.tensor([-1.0, 1, -1, 1])
            turned = swapped + torch.tensor([float(width), 0, float(width), 0])
            for boxes, one in ((ahead.boxes, ahead), (turned, back)):
                expected.setdefault(batch.image_ids[0], []).append(
                    Detections(boxes / x, one.scores, one.labels)
                )
    for image, each in expected.items():
        whole = merge(each, settings, viewed.detector.inference.max_detections)
        own = [item for item in found if item["image_id"] == image]
        assert len(own) == len(whole)
        ours = torch.tensor([item["score"] for item in own])
        assert torch.allclose(ours, whole.scores, atol=1e-5)


def test_views_change_the_evaluation_alone() -> None:
    plain, viewed = cell(), cell(views=Views(scales=(1.0, 1.5)))
    assert digest.training(plain) == digest.training(viewed)
    assert digest.digest(plain) != digest.digest(viewed)


def test_a_single_view_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="a single view"):
        Views(scales=(1.0,), flip=False)
