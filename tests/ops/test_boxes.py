import pytest
import torch
from made_boxes import random_boxes
from torchvision.ops import box_iou

from detbench.ops import boxes as ops


def test_pairwise_iou_is_torchvisions():
    first, second = random_boxes(7), random_boxes(9, 1)
    assert torch.allclose(ops.pairwise_iou(first, second), box_iou(first, second), atol=1e-6)


def test_pairwise_iou_batches_and_takes_empty():
    first, second = random_boxes(6).reshape(2, 3, 4), random_boxes(4, 1)
    batched = ops.pairwise_iou(first, second)
    assert batched.shape == (2, 3, 4)
    assert torch.allclose(batched[1], box_iou(first[1], second), atol=1e-6)
    assert ops.pairwise_iou(first[:, :0], second).shape == (2, 0, 4)


def test_aligned_iou_is_the_diagonal():
    first, second = random_boxes(8), random_boxes(8, 1)
    assert torch.allclose(
        ops.aligned_iou(first, second), box_iou(first, second).diagonal(), atol=1e-6
    )


def test_empty_boxes_overlap_by_nothing():
    nothing = torch.zeros(1, 4)
    assert ops.pairwise_iou(nothing, nothing).item() == 0
    assert ops.areas(torch.tensor([5.0, 5.0, 1.0, 9.0])).item() == 0


def test_clip_cuts_to_height_and_width():
    boxes = torch.tensor([[-5.0, 3.0, 30.0, 90.0]])
    assert ops.clip(boxes, torch.tensor([50, 20])).tolist() == [[0.0, 3.0, 20.0, 50.0]]


@pytest.mark.parametrize(
    ("distances", "expected"),
    [([4, 4, 4, 4], 1.0), ([1, 2, 4, 2], 0.5), ([1, 1, 4, 4], 0.25), ([-1, 2, 3, 4], 0.0)],
)
def test_centerness(distances, expected):
    value = ops.centerness(torch.tensor(distances, dtype=torch.float32)).item()
    assert value == pytest.approx(expected)
