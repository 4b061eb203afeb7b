"""Mask R-CNN: a head beside the two tasks, on plain, shifting and cascaded detectors."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from made_masks import with_masks
from torch import Tensor

from detbench.assembly import build_detector
from detbench.detectors.rpn import ScoredBoxes
from detbench.errors import DataError
from detbench.ops.masks import paste
from detbench.recipe import load
from detbench.recipe.detector import Roi
from detbench.recipe.light import lighten
from detbench.recipe.masks import Mask
from detbench.structures import Detections, Targets
from detbench.training.precision import autocast

CLASSES = 5
SIDE = 96
MADE = {
    "plain": ("mask-rcnn-r50", Mask()),
    "shifting": ("tsd-mask-rcnn-r50", Mask()),
    "one for all": ("mask-rcnn-r50", Mask(class_agnostic=True)),
    "cascade": ("cascade-rcnn-r50", Mask()),
    "last of a cascade": ("cascade-rcnn-r50", Mask(stages="last")),
    "two sets": ("decoupled-rcnn-r50", Mask()),
}


@cache
def settings(name: str) -> Roi:
    detector, mask = MADE[name]
    light = load.profile("smoke").light
    assert light is not None
    made = lighten(load.detector(detector).detector.model_copy(update={"mask": mask}), light)
    assert isinstance(made, Roi)
    return made


def built(made_of: Roi) -> Any:
    torch.manual_seed(0)
    return build_detector(made_of, CLASSES)


def objects(count: int, least: float = 6.0) -> Tensor:
    corner = torch.rand(count, 2) * 60
    return torch.cat((corner, corner + least + torch.rand(count, 2) * 30), dim=1)


def targets(*counts: int, least: float = 6.0) -> Targets:
    boxes = [objects(count, least).clamp(max=SIDE) for count in counts]
    labels = [torch.randint(0, CLASSES, (count,)) for count in counts]
    return with_masks(Targets.pad(boxes, labels), SIDE, SIDE)


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE)


def detected(detector: Any, given: Tensor) -> list[Detections]:
    with torch.no_grad():
        found: list[Detections] = detector.eval().detect(
            given, torch.tensor([[SIDE, SIDE]] * len(given))
        )
    return found


@pytest.mark.parametrize("name", MADE)
def test_hard_batches(name: str) -> None:
    """Hundreds of objects, none, less than a pixel: losses and gradients are finite."""
    detector = built(settings(name)).train()
    torch.manual_seed(1)
    tiny = targets(4, 2)
    tiny.boxes[..., 2:] = tiny.boxes[..., :2] + 0.3
    given = images(3)
    for batch in (tiny, targets(0, 0, 0), targets(300, 0, 1)):
        losses = detector.losses(given[: len(batch.boxes)], batch)
        assert {each.rpartition("_")[2] for each in losses} >= {"mask", "cls", "loc"}
        total = torch.stack(list(losses.values())).sum()
        assert total.isfinite()
        detector.zero_grad()
        total.backward()
        assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None)
        for extra in detector.extras.values():
            assert all(p.grad is not None for p in extra.module.parameters())
    assert all(losses[at] > 0 for at in detector.extras if at.endswith("mask"))


@pytest.mark.parametrize("name", MADE)
def test_detections_have_masks_of_their_classes(name: str) -> None:
    detector = built(settings(name))
    torch.manual_seed(1)
    given = images()
    before = detected(detector, given)
    assert min(len(each) for each in before) > 5
    heads = [extra.module for at, extra in detector.extras.items() if at.endswith("mask")]
    with torch.no_grad():
        for head in heads:
            head.logits.bias[-1] = 1e4  # the last class's, or all of them
    for one, other in zip(before, detected(detector, given), strict=True):
        assert one.masks is not None
        assert other.masks is not None
        assert one.masks.shape == (len(one), 12, 12)
        assert ((one.masks > 0) & (one.masks < 1)).all()
        assert torch.equal(one.boxes, other.boxes)
        last = one.labels == CLASSES - 1
        if name == "one for all":
            last |= True
        assert (other.masks[last] > 0.999).all()
        assert torch.equal(one.masks[~last], other.masks[~last])


def test_no_detections_have_no_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScoredBoxes, "suppressed", lambda self, iou, count: self.boxes[:0])
    for name in ("plain", "cascade"):
        for found in detected(built(settings(name)), images()):
            assert found.masks is not None
            assert found.masks.shape == (0, 12, 12)
            assert list(paste(found.masks, found.boxes, (SIDE, SIDE))) == []


def test_data_without_masks_are_one_line() -> None:
    detector, batch = built(settings("plain")).train(), targets(2, 1)
    with pytest.raises(DataError, match=r"detector\.mask: the training data have no masks") as said:
        detector.losses(images(), replace(batch, masks=None))
    assert "\n" not in str(said.value)


def test_the_tasks_are_as_without_masks() -> None:
    """The same proposals are drawn, and their losses are the same bits."""
    torch.manual_seed(1)
    given, batch, losses = images(), targets(3, 2), []
    for mask in (settings("plain").mask, None):
        made = settings("plain").model_copy(update={"mask": mask})
        plain = built(settings("plain")).state_dict()
        detector = built(made)
        detector.load_state_dict({k: x for k, x in plain.items() if k in detector.state_dict()})
        torch.manual_seed(2)
        losses.append(detector.train().losses(given, batch))
    assert set(losses[0]) - set(losses[1]) == {"mask"}
    assert all(torch.equal(losses[0][name], loss) for name, loss in losses[1].items())


def test_a_head_learns_from_where_proposals_were_sampled_not_from_where_tsd_shifts_them() -> None:
    torch.manual_seed(1)
    given, batch, losses = images(), targets(3, 2), []
    detector = built(settings("shifting")).train()
    networks = [one.network for one in detector.main.sampling.children()]
    for gain in (0.0, 40.0):
        for network in networks:
            torch.nn.init.constant_(network[-1].bias, gain)
        torch.manual_seed(2)
        losses.append(detector.losses(given, batch))
    assert torch.equal(losses[0]["mask"], losses[1]["mask"])
    assert not torch.equal(losses[0]["loc"], losses[1]["loc"])
    losses[1]["mask"].backward()
    assert not any(p.grad is not None and p.grad.any() for p in detector.main.parameters())
    assert detector.neck.lateral[0].weight.grad.any()


def test_tsd_on_mask_rcnn_is_files_only() -> None:
    ours, plain, masked = (
        load.detector(name).detector for name in ("tsd-mask-rcnn-r50", "tsd-r50", "mask-rcnn-r50")
    )
    assert isinstance(ours, Roi)
    assert isinstance(masked, Roi)
    assert ours.mask is not None
    assert masked.mask is not None
    assert ours.model_copy(update={"mask": None}) == plain
    assert ours.mask.head == masked.mask.head
    assert ours.mask.sampling.size == masked.mask.sampling.size == 14


def test_a_cascades_masks_are_the_mean_of_its_stages() -> None:
    torch.manual_seed(1)
    given, detector = images(), built(settings("cascade"))
    names = ["mask", "round2_mask", "round3_mask"]
    assert list(detector.extras) == names
    mean = detected(detector, given)
    every, alone = dict(detector.extras), []
    for name in names:
        detector.extras = {name: replace(every[name], share=1.0)}
        alone.append(detected(detector, given))
    for whole, *each in zip(mean, *alone, strict=True):
        expected = torch.stack([one.masks for one in each]).mean(dim=0)
        torch.testing.assert_close(whole.masks, expected)
        assert not torch.allclose(each[0].masks, each[1].masks)
    assert list(built(settings("last of a cascade")).extras) == ["round3_mask"]


def test_a_cascades_stage_weighs_its_masks() -> None:
    detector = built(settings("cascade"))
    weights = {name: dict(detector.uniform())[name] for name in detector.extras}
    assert [weight / weights["mask"] for weight in weights.values()] == [1, 0.5, 0.25]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_follows_float32(precision: str) -> None:
    detector, found = built(settings("plain")).train(), []
    torch.manual_seed(1)
    given, batch = images(), targets(3, 2)
    for kind in ("fp32", precision):
        torch.manual_seed(2)
        with autocast(torch.device("cpu"), kind):
            losses = detector.losses(given, batch)
        found.append(losses["mask"].detach())
        detector.zero_grad()
        losses["mask"].float().backward()
        assert all(p.grad.isfinite().all() for p in detector.mask.parameters())
    assert found[1].dtype == torch.float32
    assert float(found[1]) == pytest.approx(float(found[0]), rel=0.05)


def test_a_head_learns_one_image_by_heart() -> None:
    """Masks that are pasted become the objects', discs and their boxes' corners."""
    detector = built(settings("plain")).train()
    torch.manual_seed(1)
    boxes = torch.tensor([[8.0, 10.0, 60.0, 70.0], [50.0, 40.0, 90.0, 90.0]])
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    disc = ((x - 34) / 26) ** 2 + ((y - 40) / 30) ** 2 < 1
    corner = (x > 50) & (y > 40) & (x + y < 135)
    given = images(1)
    masks = (torch.stack((disc, corner)).byte(),)
    batch = replace(Targets.pad([boxes], [torch.tensor([1, 3])]), masks=masks)
    optimiser = torch.optim.AdamW(detector.parameters(), 2e-3)
    for _ in range(60):
        loss = detector.losses(given, batch)["mask"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    detector.eval()
    maps, levels = detector.pyramid(given)
    exact = Detections(boxes, torch.ones(2), torch.tensor([1, 3]))
    [found] = detector.extras["mask"].predict(detector.task_pyramids(maps, levels), [exact])
    for one in paste(found.masks.detach(), boxes, (SIDE, SIDE)):
        (height, width), pasted = one.mask.shape, torch.zeros(SIDE, SIDE, dtype=torch.bool)
        pasted[one.top : one.top + height, one.left : one.left + width] = one.mask
        wanted = masks[0][one.index].bool()
        assert (pasted & wanted).sum() / (pasted | wanted).sum() > 0.85
