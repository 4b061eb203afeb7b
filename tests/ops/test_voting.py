"""Score voting (PAA, eq. 9) against a scalar loop."""

from __future__ import annotations

import math

import torch

from detbench.ops.boxes import pairwise_iou
from detbench.ops.suppression import pairs_of_best, suppress
from detbench.ops.voting import vote
from detbench.structures import Detections


def made(count: int) -> Detections:
    source = torch.Generator().manual_seed(3)
    low = 40 * torch.rand(count, 2, generator=source)
    sides = 10 + 20 * torch.rand(count, 2, generator=source)
    labels = torch.randint(3, (count,), generator=source)
    scores = torch.rand(count, generator=source)
    return Detections(torch.cat((low, low + sides), dim=1), scores, labels)


def test_boxes_are_means_of_those_around_them() -> None:
    every = made(60)
    kept = suppress(every, 0.5, 100)
    assert 5 < len(kept) < 50
    found = vote(kept, every, 0.025)
    assert torch.equal(found.scores, kept.scores)
    assert torch.equal(found.labels, kept.labels)
    iou = pairwise_iou(kept.boxes, every.boxes)
    for index in range(len(kept)):
        total, mean = 0.0, [0.0] * 4
        for other in range(len(every)):
            near = float(iou[index, other])
            if every.labels[other] != kept.labels[index] or near <= 0.01:
                continue
            weight = math.exp(-((1 - near) ** 2) / 0.025) * float(every.scores[other])
            total += weight
            mean = [a + weight * float(b) for a, b in zip(mean, every.boxes[other], strict=True)]
        wanted = torch.tensor([value / total for value in mean])
        torch.testing.assert_close(found.boxes[index], wanted, rtol=1e-5, atol=1e-4)
    assert not torch.allclose(found.boxes, kept.boxes, atol=0.1)


def test_nothing_and_one_box() -> None:
    one, none = made(1), made(0)
    assert torch.equal(vote(one, one, 0.025).boxes, one.boxes)
    assert len(vote(none, none, 0.025)) == 0


def test_all_pairs_of_the_best_candidates() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.04], [0.3, 0.31, 0.32], [0.1, 0.8, 0.6]])
    values, index, labels = pairs_of_best(scores, 0.05, 2)
    assert values.tolist() == torch.tensor([0.9, 0.8, 0.6, 0.2, 0.1]).tolist()
    assert (index.tolist(), labels.tolist()) == ([0, 2, 2, 0, 2], [0, 1, 2, 1, 0])
    assert len(pairs_of_best(scores[:0], 0.05, 2)[0]) == 0
    assert len(pairs_of_best(scores, 0.05, 9)[0]) == 8
