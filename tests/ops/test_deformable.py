"""Deformable convolution where autocast is on: torchvision's kernel casts nothing on the CPU."""

from __future__ import annotations

import pytest
import torch
import torchvision.ops
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


SETTINGS = {
    "as it comes": (1, 1, {}),
    "padded": (1, 1, {"padding": 1}),
    "strided": (1, 1, {"padding": 1, "stride": 2}),
    "dilated": (1, 1, {"padding": (4, 2), "dilation": (2, 1), "stride": (1, 2)}),
    "in groups": (2, 1, {"padding": 1}),
    "in parts": (1, 2, {"padding": 1}),
    "in groups and parts": (2, 4, {"padding": 1}),
    "each channel apart": (4, 4, {"padding": 1}),
}


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_on_the_cpu_it_is_torchvisions(name: str, modulated: bool) -> None:
    """Values and all gradients, of offsets of none, of a cell's part, and far outside."""
    groups, parts, settings = SETTINGS[name]
    x, weight, bias = drawn(0, 2, 4, 7, 9), drawn(1, 8, 4 // groups, 3, 3), drawn(2, 8)
    places = torch.nn.functional.conv2d(x, drawn(3, 1, 4, 3, 3), **settings).shape[-2:]
    offset = drawn(4, 2, 18 * parts, *places) * torch.tensor([[0.0], [2.0]]).reshape(2, 1, 1, 1)
    offset[1, ::5] += 20.0
    mask = drawn(5, 2, 9 * parts, *places).sigmoid() if modulated else None
    found = []
    for convolve in (deform_conv2d, torchvision.ops.deform_conv2d):
        given = [x, offset, weight, bias, *([] if mask is None else [mask])]
        given = [one.double().requires_grad_() for one in given]
        modulation = given[4] if modulated else None
        y = convolve(*given[:3], bias=given[3], mask=modulation, **settings)
        y.square().sum().backward()
        found.append([y.detach(), *(one.grad for one in given)])
    torch.testing.assert_close(found[0], found[1])


def test_no_images_and_one_cell() -> None:
    weight = drawn(0, 3, 2, 3, 3)
    x, offset = drawn(1, 0, 2, 5, 4), drawn(2, 0, 18, 5, 4)
    assert deform_conv2d(x, offset, weight, padding=1).shape == (0, 3, 5, 4)
    one, shift = drawn(3, 1, 2, 1, 1), drawn(4, 1, 18, 1, 1)
    wanted = torchvision.ops.deform_conv2d(one, shift, weight, padding=1)
    torch.testing.assert_close(deform_conv2d(one, shift, weight, padding=1), wanted)


@pytest.mark.parametrize("wrong", ["no padding", "few offsets", "masks of another size"])
def test_other_shapes_are_refused_as_torchvision_does(wrong: str) -> None:
    x, weight = drawn(0, 2, 4, 6, 7), drawn(1, 5, 4, 3, 3)
    offset, mask = drawn(2, 2, 18, 6, 7), drawn(3, 2, 9, 6, 7)
    padding = 0 if wrong == "no padding" else 1
    offset = offset[:, :8] if wrong == "few offsets" else offset
    mask = mask[:, :, :5] if wrong == "masks of another size" else mask
    with pytest.raises(ValueError, match=r"of shape \(2, .*\) where \(2, .*\) belongs"):
        deform_conv2d(x, offset, weight, mask, padding=padding)
    with pytest.raises((RuntimeError, ValueError)):
        torchvision.ops.deform_conv2d(x, offset, weight, padding=padding, mask=mask)


@pytest.mark.parametrize("far", [float("inf"), float("-inf"), 1e38])
def test_what_is_infinitely_far_reads_zero(far: float) -> None:
    x, offset, weight = drawn(0, 1, 2, 5, 6), drawn(1, 1, 18, 5, 6), drawn(2, 3, 2, 3, 3)
    offset[0, 4, 2, 3] = far
    given = [one.requires_grad_() for one in (x, offset, weight)]
    y = deform_conv2d(*given, padding=1)
    wanted = torchvision.ops.deform_conv2d(*given, padding=1)
    torch.testing.assert_close(y, wanted)
    for gradient in torch.autograd.grad(y.square().sum(), given):
        assert gradient.isfinite().all()
