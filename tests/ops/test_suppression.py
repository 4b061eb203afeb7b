import pytest
import torch
from torchvision.ops import nms

from detbench.ops.suppression import best_pairs, nms_by_class, suppress
from detbench.structures import Detections


def test_best_pairs_are_above_the_threshold_and_sorted():
    scores = torch.tensor([[0.9, 0.1], [0.05, 0.6], [0.7, 0.2]])
    values, index, labels = best_pairs(scores, 0.1, 3)
    assert torch.equal(values, torch.tensor([0.9, 0.7, 0.6]))
    assert index.tolist() == [0, 2, 1]
    assert labels.tolist() == [0, 0, 1]
    assert len(best_pairs(scores, 0.95, 3)[0]) == 0
    assert len(best_pairs(scores[:0], 0.1, 3)[0]) == 0


def test_suppression_is_class_wise_and_drops_empty_boxes():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [5, 5, 5, 9]]).float()
    found = Detections(boxes, torch.tensor([0.5, 0.9, 0.4, 1.0]), torch.tensor([0, 0, 1, 0]))
    kept = suppress(found, 0.5, 100)
    assert kept.labels.tolist() == [0, 1]
    assert torch.equal(kept.scores, torch.tensor([0.9, 0.4]))
    assert len(suppress(found, 0.5, 1)) == 1
    assert len(suppress(found, 1.0, 100)) == 3


@pytest.mark.parametrize("side", [64.0, 1333.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_thousand_classes_are_decided_as_each_alone(side: float, dtype: torch.dtype):
    """Seen: classes were moved apart by up to 1.3 million pixels, where float32 has eighths of a
    pixel. Right: what NMS of each class alone keeps, best first.
    """
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(3, 900, 2, generator=generator)
    first, labels = corners[0] * side, torch.arange(900) % 300 * 3 + 100
    first = first[torch.arange(900) % 300] + corners[1]  # three near each other in each class
    boxes = torch.cat((first, first + 2.0 + corners[2]), dim=1).to(dtype).float()
    scores = torch.rand(900, generator=generator)
    alone = torch.zeros(900, dtype=torch.bool)
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        alone[rows[nms(boxes[rows], scores[rows], 0.5)]] = True
    kept = nms_by_class(boxes, scores, labels, 0.5)
    assert set(kept.tolist()) == set(alone.nonzero()[:, 0].tolist())
    assert torch.equal(scores[kept], scores[kept].sort(descending=True).values)
    assert 300 < len(kept) < 900
    assert len(nms_by_class(boxes[:0], scores[:0], labels[:0], 0.5)) == 0
