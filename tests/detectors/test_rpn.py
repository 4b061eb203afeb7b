"""NMS of proposals, which looks at a few of the best boxes before it looks at all."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms

from detbench.detectors.rpn import ScoredBoxes
from detbench.ops import suppression


def made(count: int, spread: float, seed: int = 0) -> ScoredBoxes:
    """Whole-pixel boxes, so that moving a level aside does not round its overlaps."""
    generator = torch.Generator().manual_seed(seed)
    corner = (torch.rand(count, 2, generator=generator) * spread).round()
    side = (torch.rand(count, 2, generator=generator) * 30).round() + 10
    return ScoredBoxes(
        torch.cat((corner, corner + side), dim=1),
        torch.rand(count, generator=generator),
        torch.randint(0, 3, (count,), generator=generator),
    )


def of_all(boxes: ScoredBoxes, iou: float, count: int) -> torch.Tensor:
    return boxes.boxes[batched_nms(boxes.boxes, boxes.scores, boxes.levels, iou)[:count]]


@pytest.mark.parametrize(
    ("spread", "looks"), [(400.0, 1), (5.0, 2)], ids=["far apart", "on top of each other"]
)
def test_what_survives_among_the_best_few_survives_among_all(monkeypatch, spread, looks):
    boxes, seen = made(900, spread), []

    def counted(*given):
        seen.append(len(given[0]))
        return batched_nms(*given)

    monkeypatch.setattr(suppression, "batched_nms", counted)
    found = boxes.suppressed(0.5, 50)
    assert torch.equal(found, of_all(boxes, 0.5, 50))
    assert seen == [200, 900][:looks]


@pytest.mark.parametrize("count", [1, 10, 100, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_at_any_count(count, seed):
    boxes = made(300, 60.0, seed)
    assert torch.equal(boxes.suppressed(0.6, count), of_all(boxes, 0.6, count))


def test_no_boxes():
    assert made(0, 10.0).suppressed(0.7, 10).shape == (0, 4)
