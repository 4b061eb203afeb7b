"""A GPU computes what the CPU does: losses, gradients and detections, of every detector and option.

Networks and inputs are those of the CPU's tests; the tolerance is float32's over the same sums in
another order.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from every_option import CASES, settings
from every_option import targets as small_targets
from gpu_checks import share_found
from made_masks import with_masks
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.ops import roi_pooling, suppression
from detbench.ops.soft_suppression import soft_suppress
from detbench.recipe import load
from detbench.recipe.light import lighten
from detbench.structures import Detections, Targets

CUDA = torch.device("cuda")
CLASSES = 3

pytestmark = pytest.mark.usefixtures("exact", "same_draws")


def learnt(spec: Any) -> nn.Module:
    """With scores and boxes that differ, as after some training; norms that know the input."""
    torch.manual_seed(0)
    network = build_detector(spec, CLASSES)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.std() < 0.02:
            nn.init.kaiming_uniform_(module.weight, a=1)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.6)
    if hasattr(network, "rpn"):
        nn.init.normal_(network.rpn.loc.weight, std=0.03)
    return network


def scene(side: int) -> tuple[Tensor, Targets]:
    torch.manual_seed(1)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 30.0], [20.0, 4.0, 60.0, 60.0]]), torch.zeros(0, 4)]
    boxes[0] *= side / 64
    labels = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    sizes = torch.tensor([[side, side]] * 2)
    targets = with_masks(Targets.pad(boxes, labels, sizes), side, side)
    return torch.randn(2, 3, side, side), targets


def step(network: Any, images: Tensor, targets: Targets) -> tuple[dict[str, Tensor], Tensor]:
    """Losses, and the gradient of their sum as one vector, on the CPU."""
    torch.manual_seed(2)
    losses = network.train().losses(images, targets)
    torch.stack(list(losses.values())).sum().backward()
    gradients = [
        (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
        for p in network.parameters()
        if p.requires_grad
    ]
    return {name: x.detach().cpu() for name, x in losses.items()}, torch.cat(gradients).cpu()


def apart(targets: Targets) -> Targets:
    """The same, off the grid: of anchors that are equally far ATSS takes any, on each device."""
    shift = torch.tensor([0.31, 0.17, 0.53, 0.71])
    return replace(targets, boxes=targets.boxes + shift)


def assert_agree(network: Any, images: Tensor, targets: Targets) -> None:
    other = copy.deepcopy(network).to(CUDA)
    ours, gradient = step(network, images, targets)
    theirs, cuda_gradient = step(other, images.to(CUDA), targets.to(CUDA))
    assert ours.keys() == theirs.keys()
    for name, loss in ours.items():
        assert torch.isfinite(loss)
        torch.testing.assert_close(theirs[name], loss, rtol=1e-3, atol=1e-5, msg=name)
    difference = (cuda_gradient - gradient).norm() / gradient.norm()
    assert difference < 5e-3, f"gradients differ by {difference:.1e}"
    sizes = targets.sizes
    assert sizes is not None
    with torch.no_grad():
        found = network.eval().detect(images, sizes)
        cuda = other.eval().detect(images.to(CUDA), sizes.to(CUDA))
    for one, two in zip(found, cuda, strict=True):
        assert abs(len(one) - len(two)) <= 0.02 * len(one) + 1
        assert share_found(one, two) > 0.97


@pytest.mark.parametrize("case", CASES)
def test_every_option(case: str) -> None:
    torch.manual_seed(1)
    assert_agree(learnt(settings(case)), torch.randn(2, 3, 64, 64), apart(small_targets()))


@pytest.mark.parametrize("name", load.detectors())
def test_every_light_detector(name: str) -> None:
    light = load.profile("smoke").light
    assert light is not None
    assert_agree(learnt(lighten(load.detector(name).detector, light)), *scene(128))


@pytest.mark.parametrize(
    "name", ["fcos-r50", "gfl-r50", "faster-rcnn-r50", "faster-rcnn-r50-c4", "tsd-r50"]
)
def test_the_papers_networks(name: str) -> None:
    assert_agree(learnt(load.detector(name).detector), *scene(128))


def test_pooling_and_suppression() -> None:
    torch.manual_seed(3)
    low = torch.rand(500, 2) * 200
    boxes = torch.cat((low, low + 4 + torch.rand(500, 2) * 120), dim=1)
    scores, labels = torch.rand(500), torch.randint(0, 3, (500,))
    levels = [torch.randn(2, 8, 64 >> k, 64 >> k) for k in range(4)]
    rois = torch.cat((torch.randint(0, 2, (500, 1)).float(), boxes), dim=1)
    shares = torch.randn(500, 7, 7, 2) * 0.1
    on_cuda = [x.to(CUDA) for x in levels]
    strides = [4, 8, 16, 32]
    bins = roi_pooling.Bins(7, 1.0)
    pooled = roi_pooling.align(levels, strides, rois, bins)
    other = roi_pooling.align(on_cuda, strides, rois.to(CUDA), bins).cpu()
    torch.testing.assert_close(other, pooled, rtol=1e-4, atol=1e-4)
    shifted = roi_pooling.ShiftedBins(7, 4, "aligned")
    pooled = roi_pooling.deformable(levels, strides, rois, shares, shifted)
    other = roi_pooling.deformable(on_cuda, strides, rois.to(CUDA), shares.to(CUDA), shifted).cpu()
    torch.testing.assert_close(other, pooled, rtol=1e-4, atol=1e-4)
    kept = suppression.survivors(boxes, scores, labels, 0.5, 100)
    there = [x.to(CUDA) for x in (boxes, scores, labels)]
    assert torch.equal(suppression.survivors(*there, 0.5, 100).cpu(), kept)
    soft = soft_suppress(Detections(boxes, scores, labels), 0.5, 0.05, 100)
    cuda = soft_suppress(Detections(*there), 0.5, 0.05, 100)
    torch.testing.assert_close(cuda.boxes.cpu(), soft.boxes)
    torch.testing.assert_close(cuda.scores.cpu(), soft.scores, rtol=1e-5, atol=1e-6)
