"""Convolutions of stride 2 under bfloat16 on maps of a cell or two.

Seen: the gradient of their weights was read from memory that was never written where the map was
one cell wide, so that training on narrow images went by garbage, or stopped as not finite. Right:
float32's, up to bfloat16's rounding.
"""

import pytest
import torch
from torch import Tensor

from detbench.ops.halving import HalvingConv2d


def gradients(conv: HalvingConv2d, x: Tensor, precision: torch.dtype) -> tuple[Tensor, ...]:
    """Outputs, and the gradients of weights, bias and inputs, of a loss that is their product."""
    given = x.clone().requires_grad_()
    dirt = [torch.full((64 * 64 * 9,), float("nan")) for _ in range(8)]
    del dirt
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        y = conv(given)
    torch.manual_seed(1)
    loss = (y.float() * torch.randn(y.shape)).sum()
    return y, *torch.autograd.grad(loss, (conv.weight, conv.bias, given))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 2), (2, 2), (5, 1), (3, 3)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_gradients_are_those_of_float32(size: tuple[int, int], kernel: int) -> None:
    for seed in range(10):
        torch.manual_seed(seed)
        conv, x = HalvingConv2d(64, 64, kernel), torch.randn(2, 64, *size)
        pairs = zip(
            *(gradients(conv, x, one) for one in (torch.bfloat16, torch.float32)), strict=True
        )
        for ours, right in pairs:
            assert ours.shape == right.shape
            assert (ours - right).abs().max() <= 0.03 * right.abs().max()


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (7, 8)])
def test_outputs_are_those_of_a_plain_convolution(size: tuple[int, int]) -> None:
    conv, x = HalvingConv2d(3, 4), torch.randn(2, 3, *size)
    plain = torch.nn.functional.conv2d(x, conv.weight, conv.bias, 2, 1)
    assert torch.equal(conv(x), plain)
