"""NMS of proposals, which looks at a few of the best boxes before it looks at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.ops import batched_nms

from detbench.detectors.rpn import ScoredBoxes, suppressed
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


@pytest.mark.parametrize(("sizes", "together"), [((300, 40, 90), 2), ((50, 0), 2), ((70,) * 4, 4)])
def test_images_that_share_have_the_best_of_all_of_them(sizes, together):
    """One plain sort over the survivors of each group; a group that is not full has its share."""
    images = [made(size, 400.0, seed) for seed, size in enumerate(sizes)]
    found = suppressed(images, 0.5, 30 * together, together)
    for start in range(0, len(images), together):
        group = images[start : start + together]
        kept = [batched_nms(one.boxes, one.scores, one.levels, 0.5) for one in group]
        scored = [
            (one.scores[i].item(), number, one.boxes[i].tolist())
            for number, (one, indices) in enumerate(zip(group, kept, strict=True))
            for i in indices
        ]
        best = sorted(scored, reverse=True)[: 30 * len(group)]
        for number, boxes in enumerate(found[start : start + together]):
            assert boxes.tolist() == [box for _, of, box in best if of == number]


def test_shares_differ_where_scores_do():
    """An image of high scores has more than its equal share, and alone its equal share."""
    images = [made(300, 400.0, seed) for seed in range(2)]
    images[0] = replace(images[0], scores=images[0].scores / 2)
    assert [len(boxes) for boxes in suppressed(images, 0.5, 30, 1)] == [30, 30]
    low, high = (len(boxes) for boxes in suppressed(images, 0.5, 60, 2))
    assert low + high == 60
    assert high > 50


def test_no_boxes():
    assert made(0, 10.0).suppressed(0.7, 10).shape == (0, 4)
