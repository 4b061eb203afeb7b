"""How RoI heads start, per option and in the recipes that follow a released code."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from detbench.assembly import build_detector
from detbench.detectors.roi import RoiDetector
from detbench.recipe import load, resolve
from detbench.recipe.model import ResNet
from detbench.stages import initial
from detbench.stages.heads.conv import Bottleneck, Conv, NonLocal, Widening

INPUTS, OUTPUTS = 512, 128
NEAR = 0.05


def is_normal(weight: torch.Tensor, std: float) -> bool:
    """Of this deviation, and with the tails that a uniform one lacks."""
    return weight.std().item() == pytest.approx(std, rel=NEAR) and weight.abs().max() > 2.5 * std


def is_uniform(weight: torch.Tensor, bound: float) -> bool:
    almost = weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=NEAR)
    return almost and weight.abs().max() <= bound * (1 + 1e-6)


def starts_as(layer: nn.Linear, init: str) -> bool:
    inputs, outputs = layer.in_features, layer.out_features
    weight, zero = layer.weight.detach(), not layer.bias.any()
    match init:
        case "xavier-uniform":
            return zero and is_uniform(weight, math.sqrt(6 / (inputs + outputs)))
        case "kaiming-normal":
            return zero and is_normal(weight, 1 / math.sqrt(inputs))
        case "kaiming-uniform":
            return zero and is_uniform(weight, math.sqrt(3 / inputs))
        case "default":
            return not zero and is_uniform(weight, 1 / math.sqrt(inputs))
    raise ValueError(init)


LINEAR = ["xavier-uniform", "kaiming-normal", "kaiming-uniform", "default"]


@pytest.mark.parametrize("init", LINEAR)
def test_linear_layers_start_as_named_and_as_nothing_else(init):
    torch.manual_seed(0)
    layer = initial.linear(INPUTS, OUTPUTS, init)
    assert [other for other in LINEAR if starts_as(layer, other)] == [init]


@pytest.mark.parametrize("init", [0.01, 0.001])
def test_outputs_start_normal_with_their_deviation(init):
    torch.manual_seed(0)
    layer = initial.output(INPUTS, OUTPUTS, init)
    assert is_normal(layer.weight.detach(), init)
    assert not layer.bias.any()
    assert starts_as(initial.output(INPUTS, OUTPUTS, "default"), "default")


def fan_out(convolution: nn.Conv2d) -> bool:
    weight = convolution.weight.detach()
    out = convolution.out_channels * convolution.kernel_size[0] ** 2
    return is_normal(weight, math.sqrt(2 / out))


def fan_in(convolution: nn.Conv2d) -> bool:
    weight = convolution.weight.detach()
    return is_uniform(weight, 1 / math.sqrt(weight[0].numel()))


@pytest.mark.parametrize(
    ("init", "first", "others"),
    [
        ("fan-out", fan_out, fan_out),
        ("fan-out-first", fan_out, fan_in),
        ("default", fan_in, fan_in),
    ],
)
def test_convolutions_start_as_named(init, first, others):
    torch.manual_seed(0)
    head = Conv(64, 3, non_local=True, channels=256, init=init)
    kinds = {Widening: first, Bottleneck: others, NonLocal: fan_in}
    for block in head.layers:
        convolutions = [each for each in block.modules() if isinstance(each, nn.Conv2d)]
        if isinstance(block, NonLocal):
            assert not block.out.weight.any()
            assert not block.out.bias.any()
            convolutions.remove(block.out)
            assert all(each.bias.any() for each in convolutions)
        assert all(kinds[type(block)](each) for each in convolutions)


def built(settings) -> RoiDetector:
    """The detector on a small backbone and 64 channels."""
    torch.manual_seed(0)
    neck = settings.neck.model_copy(update={"channels": 64})
    backbone = ResNet(kind="resnet", depth=10, width=0.125)
    return build_detector(settings.model_copy(update={"backbone": backbone, "neck": neck}), 80)


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def all_start_as(module: nn.Module, init: str) -> bool:
    layers = linear_layers(module)
    return bool(layers) and all(starts_as(layer, init) for layer in layers)


def test_faster_rcnn_starts_as_mmdetections():
    detector = built(load.detector("faster-rcnn-r50").detector)
    assert all_start_as(detector.main.heads, "xavier-uniform")
    assert is_normal(detector.main.cls.weight.detach(), 0.01)
    assert is_normal(detector.main.loc.weight.detach(), 0.001)


def test_tsd_starts_as_released():
    """Its layers that predict for the disentangled tasks are never initialised."""
    detector = built(load.detector("tsd-r50").detector)
    main, sibling = detector.main, detector.sibling
    for module in (main.heads, main.sampling, main.embedding, sibling.heads):
        assert all_start_as(module, "kaiming-normal")
    assert all_start_as(main.cls, "default")
    assert all_start_as(main.loc, "default")
    assert is_normal(sibling.cls.weight.detach(), 0.01)
    assert is_normal(sibling.loc.weight.detach(), 0.001)


def test_every_row_of_tsd_with_shifts_starts_alike():
    for name in ("tsd-table1", "tsd-table2", "tsd-table3", "tsd-table4", "tsd-figure4"):
        for each in resolve.cells(load.table(name), load.profile("smoke"), [0]):
            found = each.cell.detector
            kinds = {found.sampling.of("cls").kind, found.sampling.of("loc").kind}
            if kinds & {"pointwise", "translated"}:
                assert found.supervision.cls.init == found.supervision.loc.init == "default"
                assert {found.heads.of(t).init for t in ("cls", "loc")} == {"kaiming-normal"}


def test_decoupled_rcnn_starts_as_released():
    """The refinement stages' layers keep PyTorch's start, but for those that predict."""
    detector = built(load.detector("decoupled-rcnn-r50").detector)
    assert all_start_as(detector.main.heads, "xavier-uniform")
    for branch in detector.rounds:
        assert all_start_as(branch.heads, "default")
    for branch in (detector.main, *detector.rounds):
        assert is_normal(branch.loc.weight.detach(), 0.001)


def test_double_heads_start_as_in_either_code():
    for name, fc, widening, bottleneck in (
        ("double-head-r50", "xavier-uniform", fan_out, fan_in),
        ("double-head-ext-r50", "kaiming-uniform", fan_in, fan_in),
    ):
        main = built(load.detector(name).detector).main
        assert all_start_as(main.heads.tasks.cls, fc)
        for block in main.heads.tasks.loc.layers:
            check = {Widening: widening, Bottleneck: bottleneck}.get(type(block))
            convolutions = [each for each in block.modules() if isinstance(each, nn.Conv2d)]
            assert check is None or all(check(each) for each in convolutions)
