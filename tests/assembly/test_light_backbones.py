"""Light counterparts of backbones cost more in the order of the papers' networks."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from torch import nn

from detbench.assembly.common import make
from detbench.measure import flops, meta
from detbench.recipe import load, resolve
from detbench.recipe.light import lighten
from detbench.recipe.model import ResNet, Timm
from detbench.recipe.roi import Res5

IDENTITY = ("name", "depth", "groups", "base_width", "deformable", "deformable_stages", "blocks")
NEAR = {("res2net101d.in1k",), (101, 32, 4)}
"""Networks within 3 % of each other in the papers: how each family is narrowed decides which of
their light counterparts is ahead."""


def catalogue() -> dict[str, ResNet | Timm]:
    """Every network that some detector or row of the catalogue has, each once."""
    found: dict[str, ResNet | Timm] = {}
    rows = [resolve.paper_detector(row) for name in load.tables() for row in load.table(name).rows]
    for detector in [*(load.detector(name).detector for name in load.detectors()), *rows]:
        if detector is not None and isinstance(detector.backbone, ResNet | Timm):
            style = {"style": "pytorch"} if isinstance(detector.backbone, ResNet) else {}
            plain = detector.backbone.model_copy(update=style)
            key = " ".join(str(getattr(plain, name)) for name in IDENTITY if hasattr(plain, name))
            found.setdefault(key, plain)
    shallow = [ResNet(kind="resnet", depth=depth) for depth in (10, 18, 34)]
    return found | {f"{one.depth} basic": one for one in shallow}


def identity(backbone: ResNet | Timm) -> tuple[str | int, ...]:
    """Of the network, whatever its kind of convolution."""
    if isinstance(backbone, Timm):
        return (backbone.name,)
    return backbone.depth, backbone.groups, backbone.base_width


def gflops(backbone: ResNet | Timm) -> float:
    """By every operator: the papers' way of counting gives deformable convolutions away."""
    with meta.device():
        network: Any = make(backbone)
    return flops.count(nn.Sequential(network), (224, 224), "fvcore").gflops


def lightened(backbone: ResNet | Timm, profile: str) -> ResNet | Timm:
    light = load.profile(profile).light
    assert light is not None
    paper = load.detector("faster-rcnn-r50").detector.model_copy(update={"backbone": backbone})
    found = lighten(paper, light).backbone
    assert isinstance(found, ResNet | Timm)
    return found


def test_the_catalogue_has_depths_groups_and_deformable_stages() -> None:
    every = catalogue().values()
    named = {one.name for one in every if isinstance(one, Timm)}
    assert named == {"res2net101d.in1k", "senet154.gluon_in1k"}
    found = {str(one): one for one in every if isinstance(one, ResNet)}
    assert len(found) >= 10
    assert {one.depth for one in found.values()} == {10, 18, 34, 50, 101, 152}
    assert {one.groups for one in found.values()} == {1, 32, 64}
    assert {one.deformable for one in found.values()} == {"none", "v1", "v2"}


@pytest.mark.parametrize("profile", ["smoke", "small"])
def test_each_is_cheaper_than_the_next_as_in_the_papers(profile: str) -> None:
    """Networks with the same kind of convolution; and one network with different kinds."""
    found = catalogue()
    paper = {name: gflops(backbone) for name, backbone in found.items()}
    light = {name: gflops(lightened(backbone, profile)) for name, backbone in found.items()}
    assert all(light[name] < paper[name] / 4 for name in light)
    assert len({round(cost, 6) for cost in light.values()}) == len(light)
    compared = 0
    for one, other in combinations(found, 2):
        network = [identity(found[name]) for name in (one, other)]
        kinds = {found[one].deformable, found[other].deformable}
        if len(kinds) == 1 or network[0] == network[1]:
            if set(network) == NEAR:
                assert abs(paper[one] / paper[other] - 1) < 0.03
                continue
            assert (paper[one] < paper[other]) == (light[one] < light[other]), (one, other)
            compared += 1
    assert compared >= 25


@pytest.mark.parametrize("profile", ["smoke", "small"])
def test_the_c4_heads_last_stage_is_as_deep_as_the_light_backbone_says(profile: str) -> None:
    from detbench.assembly import build_detector

    for name in ("faster-rcnn-r50-c4", "faster-rcnn-r101-c4"):
        cell = resolve.cell(name, profile).cell
        assert cell is not None
        assert isinstance(cell.detector.backbone, ResNet)
        assert isinstance(cell.detector.heads.of("cls"), Res5)
        assert cell.detector.backbone.blocks is not None
        with meta.device():
            made: Any = build_detector(cell.detector, 12)
        head = made.main.heads.tasks.cls
        assert len(head.layer4) == cell.detector.backbone.blocks[3]
        assert head.channels == 2 * made.backbone.channels[-1]
