from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detbench.data.segmentations import bitmaps
from detbench.errors import CellFailed
from detbench.evaluation.coco import evaluate
from detbench.evaluation.predict import original_boxes, predict
from detbench.progress import Progress
from detbench.recipe.experiment import Evaluation
from detbench.structures import Batch, Detections, Targets

CATEGORIES = [SimpleNamespace(id=4), SimpleNamespace(id=90)]


class Fixed(nn.Module):
    """Detects the same boxes in each image of a batch."""

    def __init__(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.found = Detections(boxes, scores, labels)
        self.seen: list[tuple[bool, bool]] = []

    def detect(self, images: Tensor, sizes: Tensor) -> list[Detections]:
        self.seen.append((self.training, torch.is_grad_enabled()))
        return [self.found for _ in images]


def batch(ids: list[int], scale: tuple[float, float] = (2.0, 4.0)) -> Batch:
    count = len(ids)
    return Batch(
        torch.zeros(count, 3, 8, 8),
        torch.full((count, 2), 8),
        Targets.pad([torch.zeros(0, 4)] * count, [torch.zeros(0, dtype=torch.int64)] * count),
        ids,
        [scale] * count,
        [(50, 100)] * count,
    )


def test_boxes_go_back_to_the_original_image() -> None:
    """Divided by the scales (x by 2, y by 4), cut to 100 x 50, as x, y, w, h."""
    boxes = torch.tensor([[20.0, 40.0, 60.0, 120.0], [-4.0, 0.0, 300.0, 300.0]])
    found = original_boxes(boxes, (2.0, 4.0), (50, 100))
    assert found.tolist() == [[10, 10, 20, 20], [0, 0, 100, 50]]
    assert original_boxes(torch.zeros(0, 4), (2.0, 4.0), (50, 100)).shape == (0, 4)


def test_results_carry_the_data_sets_ids_and_exact_scores() -> None:
    scores = torch.tensor([0.1, 1 / 3])
    detector = Fixed(torch.tensor([[0.0, 0, 8, 8], [0, 0, 4, 4]]), scores, torch.tensor([1, 0]))
    reports: list[Progress] = []
    results = predict(detector, [batch([7, 5]), batch([6])], CATEGORIES, "cpu", reports.append)
    assert [item["image_id"] for item in results] == [7, 7, 5, 5, 6, 6]
    assert [item["category_id"] for item in results[:2]] == [90, 4]
    assert np.float32(results[1]["score"]) == scores[1].numpy()
    assert len(repr(results[1]["score"])) <= 11
    assert [(item.phase, item.iteration) for item in reports] == [("eval", 2), ("eval", 3)]


def test_runs_in_eval_mode_without_gradients_and_restores_the_mode() -> None:
    detector = Fixed(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    detector.train()
    assert predict(detector, [batch([1])], CATEGORIES, "cpu", print) == []
    assert detector.seen == [(False, False)]
    assert detector.training


def test_a_detection_that_is_not_finite_fails_the_cell() -> None:
    detector = Fixed(
        torch.tensor([[0.0, 0, float("nan"), 8]]), torch.tensor([0.5]), torch.tensor([0])
    )
    with pytest.raises(CellFailed, match="image 3"):
        predict(detector, [batch([3])], CATEGORIES, "cpu", lambda _: None)


def test_rounding_does_not_move_ap() -> None:
    """What is written to 0.001 pixel scores as the exact boxes do, to 1e-6."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 300, (200, 2))
    truth = np.concatenate([corners, rng.uniform(5, 120, (200, 2))], axis=1)
    noisy = truth + rng.normal(0, 0.06, truth.shape) * truth[:, [2, 3, 2, 3]]
    noisy = np.maximum(noisy, 1)
    xyxy = torch.from_numpy(np.concatenate([noisy[:, :2], noisy[:, :2] + noisy[:, 2:]], axis=1))
    rounded = original_boxes(xyxy, (1.0, 1.0), (1000, 1000))
    annotations = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": 1, "bbox": box.tolist(), "iscrowd": 0}
            for k, box in enumerate(truth)
        ],
    }
    scores = rng.random(200)

    def ap(boxes: np.ndarray) -> float:
        results = [
            {"image_id": 1, "category_id": 1, "bbox": box.tolist(), "score": float(score)}
            for box, score in zip(boxes, scores, strict=True)
        ]
        value = evaluate(annotations, results, Evaluation(max_detections=200))["AP"]
        assert value is not None
        return value

    assert 0.1 < ap(noisy) < 0.9
    assert ap(rounded) == pytest.approx(ap(noisy), abs=1e-6)


def test_masks_are_rles_in_the_original_image() -> None:
    """Each pixel of the original by itself: bilinear between the grid's centres, 0 around it."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor(
        [[20.0, 40.0, 60.0, 120.0], [-4.0, 0.0, 300.0, 300.0], [9.0, 8.0, 9.3, 8.2]]
    )
    detector = Fixed(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 0, 0]))
    masks = torch.rand(3, 4, 4, generator=generator)
    detector.found = replace(detector.found, masks=masks)
    results = predict(detector, [batch([7])], CATEGORIES, "cpu", lambda _: None)
    assert [one["segmentation"]["size"] for one in results] == [[50, 100]] * 3
    json.dumps(results)
    rles = [
        {"size": [50, 100], "counts": one["segmentation"]["counts"].encode()} for one in results
    ]
    found = bitmaps(rles, (50, 100))
    places = (boxes / torch.tensor([2.0, 4, 2, 4])).tolist()
    for mask, box, bits in zip(masks.double(), places, found, strict=True):
        grid = np.pad(mask.numpy(), 1)
        left, top, right, bottom = box
        for y in range(50):
            for x in range(100):
                u = (x + 0.5 - left) / (right - left) * 4 + 0.5
                v = (y + 0.5 - top) / (bottom - top) * 4 + 0.5
                if not (0 <= u < 5 and 0 <= v < 5):
                    assert not bits[y, x]
                    continue
                i, j = int(v), int(u)
                a, b = v - i, u - j
                value = (1 - a) * ((1 - b) * grid[i, j] + b * grid[i, j + 1])
                value += a * ((1 - b) * grid[i + 1, j] + b * grid[i + 1, j + 1])
                if abs(value - 0.5) > 1e-4:
                    assert bits[y, x] == (value > 0.5)
    assert found[2].sum() == 0
    assert 0 < found[0].sum() < 20 * 20


def test_no_detection_has_no_mask() -> None:
    detector = Fixed(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    detector.found = replace(detector.found, masks=torch.zeros(0, 28, 28))
    assert predict(detector, [batch([1])], CATEGORIES, "cpu", lambda _: None) == []
