import torch

from detbench.ops.suppression import best_pairs, suppress
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
