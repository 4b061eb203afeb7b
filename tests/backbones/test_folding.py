"""Folded norms give what the layers give one by one."""

import pytest
import torch
from torch import nn

from detbench.assembly.common import make
from detbench.backbones import folding
from detbench.backbones.resnet import ResNet
from detbench.recipe import model as spec


def network(**settings) -> ResNet:
    torch.manual_seed(0)
    made = make(spec.ResNet(kind="resnet", **settings)).double()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return made.train()


def layer_by_layer(network: ResNet, images: torch.Tensor) -> list[torch.Tensor]:
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    maps = []
    for stage in network.stages:
        x = stage(x)
        maps.append(x)
    return maps


@pytest.mark.parametrize(
    "settings",
    [
        {"depth": 50, "style": "caffe", "norm": "frozen"},
        {"depth": 50, "norm": "eval", "groups": 2, "base_width": 4},
        {"depth": 18, "norm": "eval", "frozen_stages": 0},
        {"depth": 18, "norm": "frozen", "deformable": "v2"},
    ],
    ids=str,
)
def test_values_and_gradients(settings, monkeypatch):
    folded = []
    plain = folding.F.conv2d

    def conv2d(*args):
        folded.append(args[2] is not None)  # of the layers, only folded ones have a bias
        return plain(*args)

    monkeypatch.setattr(folding.F, "conv2d", conv2d)
    made = network(width=0.25, **settings)
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    expected = layer_by_layer(made, images)
    wanted = torch.autograd.grad(sum(x.square().mean() for x in expected), trained(made))
    folded.clear()
    found = made(images)
    got = torch.autograd.grad(sum(x.square().mean() for x in found), trained(made))
    # both ways are taken: large maps folded, small ones not
    assert 0 < sum(folded) < sum(isinstance(m, nn.BatchNorm2d) for m in made.modules())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-12)


def trained(made: ResNet) -> list[nn.Parameter]:
    return [parameter for parameter in made.parameters() if parameter.requires_grad]


def test_live_norms_are_left_alone():
    made = network(depth=18, width=0.25, norm="batch", frozen_stages=-1)
    before = made.bn1.running_mean.clone()
    made(torch.randn(2, 3, 64, 64, dtype=torch.float64))
    assert not torch.equal(made.bn1.running_mean, before)
    made.eval()
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(made(images), layer_by_layer(made, images), rtol=0, atol=0)


def test_meta_tensors_go_layer_by_layer():
    """Counters look at layers."""
    with torch.device("meta"):
        made = make(spec.ResNet(kind="resnet", depth=18, width=0.25))
    called = []
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda *_: called.append(1))
    made(torch.empty(1, 3, 64, 64, device="meta"))
    assert len(called) == 1 + 16 + 3
