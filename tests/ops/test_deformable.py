"""Deformable convolution where autocast is on: torchvision's kernel casts nothing on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detbench.backbones.resnet import DeformableConv
from detbench.ops.deformable import DeformConv2d, deform_conv2d
from detbench.stages.convolution import ConvStyle, ConvUnit


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("modulated", [False, True])
def test_under_autocast_it_computes_in_float32(precision: torch.dtype, modulated: bool) -> None:
    x, offset, weight = drawn(0, 2, 4, 6, 7), drawn(1, 2, 18, 6, 7), drawn(2, 5, 4, 3, 3)
    mask = drawn(3, 2, 9, 6, 7).sigmoid() if modulated else None
    rounded = x.to(precision)
    wanted = deform_conv2d(rounded.float(), offset, weight, mask, padding=1)
    with torch.autocast("cpu", precision):
        found = deform_conv2d(rounded, offset.requires_grad_(), weight, mask, padding=1)
    assert found.dtype == precision
    torch.testing.assert_close(found, wanted.to(precision), rtol=0, atol=0)
    found.sum().backward()
    assert offset.grad is not None
    assert offset.grad.dtype == torch.float32


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_every_layer_that_deforms_trains_under_autocast(precision: torch.dtype) -> None:
    layers: list[nn.Module] = [
        ConvUnit(4, 8, ConvStyle("gn", False), deformable=True),
        DeformableConv(nn.Conv2d(4, 8, 3, 2, 1, bias=False), modulated=False),
        DeformableConv(nn.Conv2d(4, 8, 3, 2, 1, bias=False), modulated=True),
    ]
    for layer in layers:
        with torch.autocast("cpu", precision):
            found = layer(drawn(0, 2, 4, 6, 7))
        found.float().square().sum().backward()
        for name, parameter in layer.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_without_autocast_types_stay() -> None:
    layer = DeformConv2d(2, 3, 3, padding=1).double()
    x, offset = drawn(0, 1, 2, 4, 4).double(), drawn(1, 1, 18, 4, 4).double()
    assert layer(x, offset).dtype == torch.float64


def test_a_device_without_autocast_has_shapes_all_the_same() -> None:
    layer = DeformConv2d(2, 3, 3, padding=1).to("meta")
    x, offset = torch.empty(1, 2, 4, 5, device="meta"), torch.empty(1, 18, 4, 5, device="meta")
    assert layer(x, offset).shape == (1, 3, 4, 5)
