"""GIoU, DIoU and CIoU losses against their equations, written out box by box in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from detbench.ops.boxes import ciou_loss, diou_loss, giou_loss

Measure = Callable[[Tensor, Tensor], Tensor]
LOSSES = {"giou": giou_loss, "diou": diou_loss, "ciou": ciou_loss}


def pairs(count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Boxes and objects in float64: apart, meeting, inside each other; the last pair is equal."""
    torch.manual_seed(seed)
    low, other = (60 * torch.rand(count, 2, dtype=torch.float64) for _ in range(2))
    sides, own = (1 + 40 * torch.rand(count, 2, dtype=torch.float64) for _ in range(2))
    boxes, objects = torch.cat((low, low + sides), 1), torch.cat((other, other + own), 1)
    inside = count // 5
    objects[:inside] = boxes[:inside] + boxes.new_tensor([0.2, 0.3, -0.4, -0.1])
    objects[-1] = boxes[-1]
    return boxes, objects


def written_out(name: str, box: list[float], other: list[float]) -> float:
    """The loss of one pair."""
    x1, y1, x2, y2 = box
    a1, b1, a2, b2 = other
    inner = max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1))
    union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inner
    iou = inner / union
    wide, high = max(x2, a2) - min(x1, a1), max(y2, b2) - min(y1, b1)
    if name == "giou":
        return 1 - iou + (wide * high - union) / (wide * high)
    centre, its = ((x1 + x2) / 2, (y1 + y2) / 2), ((a1 + a2) / 2, (b1 + b2) / 2)
    rho = math.dist(centre, its)
    loss = 1 - iou + rho**2 / (wide**2 + high**2)
    if name == "diou":
        return loss
    v = 4 / math.pi**2 * (math.atan((a2 - a1) / (b2 - b1)) - math.atan((x2 - x1) / (y2 - y1))) ** 2
    alpha = v / ((1 - iou) + v) if v else 0.0
    return loss + alpha * v


@pytest.mark.parametrize("name", LOSSES)
def test_values_are_the_equations(name: str) -> None:
    boxes, objects = pairs()
    expected = [
        written_out(name, *pair) for pair in zip(boxes.tolist(), objects.tolist(), strict=True)
    ]
    found = LOSSES[name](boxes, objects)
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-8
    )
    single = LOSSES[name](boxes.float(), objects.float())
    torch.testing.assert_close(single.double(), found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["giou", "diou"])
def test_gradients_are_the_slopes(name: str) -> None:
    boxes, objects = (some[:-1] for some in pairs(31, seed=3))  # equal boxes have a kink
    assert torch.autograd.gradcheck(LOSSES[name], (boxes.requires_grad_(), objects))


def test_ciou_passes_no_gradient_through_alpha() -> None:
    """Its gradient is the slope of DIoU's loss + alpha v with alpha held where it is."""
    boxes, objects = (some[:-1] for some in pairs(31, seed=4))

    def aspect(box: Tensor) -> Tensor:
        (w, h), (own_w, own_h) = ((b[:, 2:] - b[:, :2]).unbind(1) for b in (box, objects))
        return 4 / math.pi**2 * (torch.atan(own_w / own_h) - torch.atan(w / h)) ** 2

    alpha = (ciou_loss(boxes, objects) - diou_loss(boxes, objects)) / aspect(boxes)
    held = boxes.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda box: diou_loss(box, objects) + alpha * aspect(box), (held,)
    )
    (diou_loss(held, objects) + alpha * aspect(held)).sum().backward()
    free = boxes.clone().requires_grad_()
    ciou_loss(free, objects).sum().backward()
    assert free.grad is not None
    torch.testing.assert_close(free.grad, held.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_boxes_without_area_have_finite_losses_and_gradients(name: str) -> None:
    boxes = torch.tensor(
        [[5.0, 5, 5, 5], [5, 5, 9, 5], [5, 5, 5, 9], [1, 1, 4, 4], [5, 5, 5, 5], [0, 0, 1e4, 1e-3]]
    )
    objects = torch.tensor(
        [[5.0, 5, 5, 5], [5, 5, 9, 5], [7, 7, 9, 9], [2, 2, 2, 2], [1, 2, 3, 4], [0, 0, 1e-3, 1e4]]
    )
    boxes.requires_grad_()
    loss = LOSSES[name](boxes, objects)
    loss.sum().backward()
    assert boxes.grad is not None
    assert torch.isfinite(loss).all()
    assert torch.isfinite(boxes.grad).all()
    assert (loss >= 0).all()
    assert (loss <= 3).all()


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_has_no_loss(name: str) -> None:
    assert LOSSES[name](torch.zeros(2, 0, 4), torch.zeros(2, 0, 4)).shape == (2, 0)


def test_a_box_that_fits_has_none_and_centres_count_inside() -> None:
    """Where GIoU cannot tell boxes inside an object apart, DIoU can; CIoU tells aspects too."""
    outer = torch.tensor([0.0, 0, 8, 8])
    middle, corner = torch.tensor([2.0, 2, 6, 6]), torch.tensor([0.0, 0, 4, 4])
    for loss in LOSSES.values():
        assert loss(outer, outer).item() == pytest.approx(0, abs=1e-6)
    assert giou_loss(middle, outer) == giou_loss(corner, outer)
    assert diou_loss(corner, outer) - diou_loss(middle, outer) == pytest.approx(8 / 128)
    flat = torch.tensor([0.0, 3, 8, 5])
    assert ciou_loss(flat, outer) > diou_loss(flat, outer)
    assert ciou_loss(middle, outer) == diou_loss(middle, outer)
