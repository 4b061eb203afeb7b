"""A batch in parts has the losses, gradients, buffers and draws of one whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.recipe import load
from detbench.recipe.experiment import Training
from detbench.recipe.light import lighten
from detbench.recipe.model import Timm
from detbench.structures import Targets
from detbench.training.accumulation import Accumulated
from detbench.training.distributed import ALONE

DETECTORS = [
    "fcos-r50",
    "gfl-r50",
    "ddod-r50",
    "retinanet-r50",
    "faster-rcnn-r50",
    "faster-rcnn-r50-c4",
    "decoupled-rcnn-r50",
]
IMAGES = 5


def detector(name: str, backbone: Any = None) -> Any:
    """A light one in double precision, whose batch norms have fixed statistics, as the papers'."""
    light = load.profile("smoke").light
    assert light is not None
    settings = lighten(load.detector(name).detector, light)
    if backbone is not None:
        settings = settings.model_copy(update={"backbone": backbone})
    torch.manual_seed(3)
    return build_detector(settings, 4).double().train()


def batch() -> tuple[Tensor, Targets]:
    torch.manual_seed(1)
    images = torch.randn(IMAGES, 3, 64, 96, dtype=torch.float64)
    counts = (3, 0, 7, 1, 2)
    corners = [torch.rand(count, 2) * torch.tensor([60.0, 30.0]) for count in counts]
    boxes = [torch.cat((x, x + 6 + 24 * torch.rand(len(x), 2)), 1) for x in corners]
    labels = [torch.randint(0, 4, (count,)) for count in counts]
    return images, Targets.pad(boxes, labels, torch.tensor([[64, 96]] * IMAGES), 32)


def step(network: Any, losses: Any) -> dict[str, Any]:
    """Losses, gradients, buffers, and what is drawn next."""
    images, targets = batch()
    torch.manual_seed(11)
    found = losses(images, targets, 0.5)
    torch.stack([loss.double() for loss in found.values()]).sum().backward()
    if isinstance(losses, Accumulated):
        losses.finish()
    return {
        "losses": {name: float(loss.detach()) for name, loss in found.items()},
        "gradients": {n: x.grad for n, x in network.named_parameters() if x.grad is not None},
        "buffers": {name: x.clone() for name, x in network.named_buffers()},
        "drawn": torch.rand(3),
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["losses"] == pytest.approx(other["losses"], rel=1e-6)
    assert one["gradients"].keys() == other["gradients"].keys()
    scale = max(float(x.abs().max()) for x in one["gradients"].values())
    for name, gradient in one["gradients"].items():
        assert (gradient - other["gradients"][name]).abs().max() < 1e-6 * scale, name
    for name, buffer in one["buffers"].items():
        assert torch.equal(buffer, other["buffers"][name]), name
    assert torch.equal(one["drawn"], other["drawn"])


@pytest.mark.parametrize("name", DETECTORS)
def test_parts_give_what_the_whole_batch_gives(name: str) -> None:
    whole, split = detector(name), detector(name)
    expected = step(whole, whole.losses)
    assert len(expected["gradients"]) > 20
    found = step(split, Accumulated(split, 3, ALONE))
    assert_same(found, expected)


def test_gradients_add_up_over_parts_that_a_small_batch_has_not() -> None:
    """Of more parts than images each has one; the same object does step after step."""
    whole, split = detector("ddod-r50"), detector("ddod-r50")
    parts = Accumulated(split, 64, ALONE)
    for _ in range(2):
        assert_same(step(split, parts), step(whole, whole.losses))
        for network in (whole, split):
            network.zero_grad(set_to_none=True)


def test_blocks_that_are_left_out_are_the_same_both_times() -> None:
    """Each part goes through the network twice, and draws alike: the gradient is its loss's own."""
    backbone = Timm(kind="timm", name="convnext_atto", frozen_stages=0, drop_path=0.5)
    split, other = detector("fcos-r50", backbone), detector("fcos-r50", backbone)
    found = step(split, Accumulated(split, 2, ALONE))
    images, targets = batch()
    torch.manual_seed(11)
    outputs = [other.network(part) for part in images.tensor_split(2)]
    joined = type(outputs[0])(
        *(
            [torch.cat(pair) for pair in zip(*maps, strict=True)]
            for maps in zip(*((x.cls, x.loc) for x in outputs), strict=True)
        ),
        {
            n: [torch.cat(pair) for pair in zip(*(x.extras[n] for x in outputs), strict=True)]
            for n in outputs[0].extras
        },
    )
    losses = other.losses_of(joined, images, targets, 0.5)
    sum(losses.values()).backward()
    for name, parameter in other.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, found["gradients"][name], rtol=1e-6), name


def test_live_norms_see_their_part_alone() -> None:
    """And their running statistics move once for each part, not for the pass without gradients."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3, momentum=0.5)

        def network(self, images: Tensor) -> Tensor:
            return self.norm(images)

        def losses_of(self, outputs: Tensor, *_: Any) -> dict[str, Tensor]:
            return {"cls": outputs.square().sum()}

    network, images = Normed(), batch()[0].float()
    parts = Accumulated(network, 2, ALONE)
    parts(images, None, 0.0)["cls"].backward()
    parts.finish()
    expected = nn.BatchNorm2d(3, momentum=0.5)
    for part in images.tensor_split(2):
        expected(part)
    assert torch.allclose(network.norm.running_mean, expected.running_mean)
    assert int(network.norm.num_batches_tracked) == 2


def test_more_parts_than_images_are_a_mistake() -> None:
    with pytest.raises(ValidationError, match="more parts than 'batch' has images"):
        Training.model_validate(
            {"iterations": 1, "batch": 2, "accumulate": 3, "optimizer": {"kind": "sgd", "lr": 0.1}}
        )
