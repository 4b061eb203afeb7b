"""Shapes of the ResNet family: blocks, widths and groups as their papers and light profiles say."""

from __future__ import annotations

import pytest
import torch
import torchvision

from detbench.assembly.common import make
from detbench.backbones.resnet import BLOCKS
from detbench.recipe import light
from detbench.recipe.model import ResNet
from detbench.stages.heads.res5 import Res5


def resnet(depth: int, **settings) -> ResNet:
    return ResNet(kind="resnet", depth=depth, **settings)


def shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet18", {"depth": 18}),
        ("resnet50", {"depth": 50}),
        ("resnext101_64x4d", {"depth": 101, "groups": 64, "base_width": 4}),
    ],
)
def test_whole_networks_have_torchvisions_layers(name, settings):
    with torch.device("meta"):
        theirs = shapes(getattr(torchvision.models, name)())
        ours = shapes(make(resnet(**settings)))
    assert ours == {key: shape for key, shape in theirs.items() if not key.startswith("fc.")}


def test_blocks_in_place_of_the_depths():
    with torch.device("meta"):
        made = make(resnet(101, blocks=(1, 2, 4, 1), width=0.25))
    assert [len(stage) for stage in made.stages] == [1, 2, 4, 1]
    assert made.channels == [64, 128, 256, 512]
    assert made(torch.empty(1, 3, 64, 64, device="meta"))[3].shape == (1, 512, 2, 2)


@pytest.mark.parametrize(("groups", "width"), [(32, 1.0), (64, 0.5), (32, 0.25), (4, 0.125)])
def test_a_narrower_resnext_has_fewer_groups_of_the_same_width(groups, width):
    with torch.device("meta"):
        made = make(resnet(101, groups=groups, base_width=4, blocks=(1, 1, 2, 1), width=width))
    for stage, layer in enumerate(made.stages):
        conv = layer[0].conv2
        assert conv.groups == max(1, groups * width)
        assert conv.out_channels == conv.groups * 4 * 2**stage


def test_the_res5_head_is_the_backbones_last_stage():
    settings = {"groups": 32, "base_width": 4, "width": 0.25, "blocks": (1, 1, 4, 2)}
    with torch.device("meta"):
        network = make(resnet(101, style="caffe", norm="batch", **settings))
        whole = network.layer4
        head = Res5(network)
    assert shapes(head.layer4) == shapes(whole)
    assert head.layer4[0].conv1.stride == whole[0].conv1.stride == (2, 2)
    assert head.channels == 512


def test_the_recipes_know_the_blocks_without_torch():
    assert {depth: counts for depth, (_, counts) in BLOCKS.items()} == light.BLOCKS
