import pytest
import torch
from made_boxes import random_boxes

from detbench.ops.candidates import AnchorShapes, anchor_grid, point_grid
from detbench.ops.coding import Delta, Distance, Distribution


def test_delta_round_trip():
    anchors, boxes = random_boxes(20), random_boxes(20, 1)
    code = Delta((0.1, 0.1, 0.2, 0.2))
    assert torch.allclose(code.decode(code.encode(boxes, anchors), anchors), boxes, atol=1e-3)


def test_delta_growth_is_limited():
    huge = torch.tensor([[0.0, 0.0, 50.0, -50.0]])
    box = Delta((1.0, 1.0, 1.0, 1.0)).decode(huge, torch.tensor([[0.0, 0.0, 16.0, 16.0]]))[0]
    assert (box[2] - box[0]).item() == pytest.approx(1000, rel=1e-4)
    assert (box[3] - box[1]).item() == pytest.approx(0.256, rel=1e-4)


def test_distances_count_in_strides():
    points = point_grid(0.5).lay([(1, 2)], [8], torch.zeros(1))
    code = torch.tensor([[1.0, 2.0, 3.0, 4.0], [-1.0, 0.0, 0.5, 0.5]])
    boxes = Distance("relu").decode(code, points.boxes, points.strides)
    assert boxes.tolist() == [[-4.0, -12.0, 28.0, 36.0], [12.0, 4.0, 16.0, 8.0]]


def test_distribution_is_the_mean_of_its_bins():
    anchors = anchor_grid(AnchorShapes(8, 1, (1.0,), 1), 0.0).lay([(1, 1)], [8], torch.zeros(1))
    logits = torch.full((1, 4, 17), -50.0)
    logits[0, :, 2] = logits[0, :, 3] = 0.0
    box = Distribution(16).decode(logits.flatten(1), anchors.boxes, anchors.strides)
    assert box[0].tolist() == pytest.approx([-20, -20, 20, 20])


def test_distribution_loss_splits_between_the_neighbouring_bins():
    logits = torch.full((1, 4, 17), -50.0)
    logits[..., 2], logits[..., 3] = 0.75, 0.25
    probabilities = logits[0, 0].softmax(0)
    loss = Distribution(16).loss(logits.flatten(1), torch.full((1, 4), 2.25))
    expected = -(0.75 * probabilities[2].log() + 0.25 * probabilities[3].log())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_anchor_shapes_and_order():
    grid = anchor_grid(AnchorShapes(4, 3, (0.5, 1.0, 2.0), 1), 0.0)
    anchors = grid.lay([(2, 2), (1, 1)], [8, 16], torch.zeros(1))
    assert anchors.counts == [36, 9]
    width, height = (anchors.boxes[0, 2:] - anchors.boxes[0, :2]).tolist()
    assert height / width == pytest.approx(0.5)
    assert width * height == pytest.approx(32**2)
    assert anchors.points[9].tolist() == [8.0, 0.0]  # columns run fastest
    assert anchors.points[18].tolist() == [0.0, 8.0]
