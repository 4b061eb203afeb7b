import torch
from made_boxes import random_boxes

from detbench.ops.boxes import pairwise_iou
from detbench.ops.soft_suppression import soft_suppress
from detbench.structures import Detections


def literal(found: Detections, iou: float, lowest: float) -> list[tuple[float, int]]:
    """Soft-NMS as its authors write it, one class and one box at a time."""
    kept = []
    for label in found.labels.unique().tolist():
        mine = (found.labels == label).nonzero()[:, 0].tolist()
        scores = {i: found.scores[i].item() for i in mine}
        while scores:
            best = max(scores, key=scores.__getitem__)
            if scores[best] <= lowest:
                break
            kept.append((scores.pop(best), best))
            for other in scores:
                overlap = pairwise_iou(found.boxes[[best]], found.boxes[[other]]).item()
                if overlap > iou:
                    scores[other] *= 1 - overlap
    return sorted(kept, reverse=True)


def test_against_the_literal_algorithm():
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        boxes = random_boxes(60, seed) * 0.5
        scores = torch.rand(60, generator=generator)
        labels = torch.randint(0, 3, (60,), generator=generator)
        found = Detections(boxes, scores, labels)
        expected = literal(found, 0.3, 0.05)
        ours = soft_suppress(found, 0.3, 0.05, 100)
        assert len(ours) == len(expected)
        for index, (score, original) in enumerate(expected):
            assert abs(ours.scores[index].item() - score) < 1e-5
            assert torch.equal(ours.boxes[index], boxes[original])


def test_empty_and_limit():
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert len(soft_suppress(nothing, 0.5, 0.01, 10)) == 0
    found = Detections(random_boxes(9), torch.linspace(0.1, 0.9, 9), torch.arange(9))
    assert len(soft_suppress(found, 0.5, 0.01, 4)) == 4
