"""Pairs of objects and places: in parts as at once, and by class the last object's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detbench.stages import pairs

BATCH, OBJECTS, PLACES, CLASSES = 2, 5, 7, 3


@pytest.mark.parametrize("at_once", [1, BATCH * PLACES * 2, pairs.AT_ONCE])
def test_values_and_gradients_are_the_same_in_parts(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(pairs, "AT_ONCE", at_once)
    torch.manual_seed(0)
    places = torch.randn(BATCH, PLACES, dtype=torch.float64, requires_grad=True)
    objects = torch.randn(BATCH, OBJECTS, 4, dtype=torch.float64, requires_grad=True)

    def function(part: Tensor) -> Tensor:
        return (part.sum(dim=-1, keepdim=True) * places[:, None]).tanh()

    parts = pairs.parts(BATCH, OBJECTS, PLACES)
    assert len(parts) == {1: 5, BATCH * PLACES * 2: 3}.get(at_once, 1)
    found = pairs.in_parts(function, PLACES, objects)
    assert torch.equal(found, function(objects))
    ours = torch.autograd.grad(found.square().sum(), [places, objects])
    theirs = torch.autograd.grad(function(objects).square().sum(), [places, objects])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_without_objects_there_is_one_empty_part() -> None:
    found = pairs.in_parts(lambda part: part[..., :1].expand(-1, -1, 9), 9, torch.zeros(2, 0, 4))
    assert found.shape == (2, 0, 9)


@pytest.mark.parametrize("at_once", [1, BATCH * PLACES * 2, pairs.AT_ONCE])
def test_the_last_object_of_a_class_stands(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Against one pair after another."""
    monkeypatch.setattr(pairs, "AT_ONCE", at_once)
    torch.manual_seed(1)
    weight = torch.rand(BATCH, OBJECTS, PLACES) * (torch.rand(BATCH, OBJECTS, PLACES) < 0.5)
    value = torch.rand(BATCH, OBJECTS, PLACES)
    labels = torch.tensor([[0, 1, 0, 0, 1], [2, 2, 1, 2, 0]])
    expected = torch.ones(BATCH, CLASSES, PLACES)
    for image in range(BATCH):
        for index, label in enumerate(labels[image].tolist()):
            inside = weight[image, index] > 0
            expected[image, label, inside] = value[image, index, inside]
    found = pairs.by_class(lambda part: value[:, part], weight, labels, CLASSES)
    assert torch.equal(found, expected)
    assert (found == 1).any()
    assert (found < 1).any()


def test_what_is_not_a_number_elsewhere_does_not_count() -> None:
    weight = torch.tensor([[[1.0, 0.0]]])
    value = torch.tensor([[[0.25, torch.nan]]])
    found = pairs.by_class(lambda part: value[:, part], weight, torch.tensor([[1]]), 2)
    assert found.tolist() == [[[1.0, 1.0], [0.25, 1.0]]]


def test_scores_of_the_objects_classes() -> None:
    scores, labels = torch.rand(BATCH, PLACES, CLASSES), torch.tensor([[2, 0], [1, 1]])
    found = pairs.of_class(scores, labels)
    for image in range(BATCH):
        for index, label in enumerate(labels[image].tolist()):
            assert torch.equal(found[image, index], scores[image, :, label])


def test_spread() -> None:
    values = torch.tensor([[[3.0, 1.0, 2.0, 9.0]]])
    inside = torch.tensor([[[True, True, True, False]]])
    assert pairs.spread(values, inside)[0, 0, :3].tolist() == pytest.approx([1.0, 0.0, 0.5])
    assert pairs.spread(values, inside, most=2.0)[0, 0, 2] == 1.0
    one = torch.tensor([[[True, False, False, False]]])
    assert pairs.spread(values, one)[0, 0, 0] == 1.0
