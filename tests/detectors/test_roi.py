"""The RoI skeleton on hard batches, in every composition the papers and the examples ask for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from alike import unlike
from torch import nn

from detbench.assembly import build_detector
from detbench.detectors.roi import RoiDetector
from detbench.detectors.roi_settings import Trunk
from detbench.detectors.stage import Step
from detbench.errors import RecipeError
from detbench.ops.roi_pooling import align
from detbench.recipe import load, resolve
from detbench.recipe.detector import Roi
from detbench.stages.assignment.proposals import with_index
from detbench.structures import Targets

SMOKE = load.profile("smoke")
TABLES = (
    "double-head-table1",
    "double-head-table2",
    "double-head-table4",
    "decoupled-rcnn-table8",
    "decoupled-rcnn-table10",
    "tsd-table1",
    "tsd-table3",
    "tsd-table4",
)


def light_rows() -> dict[str, Roi]:
    """The detectors of these tables and of the examples, in the smoke profile."""
    found: dict[str, Roi] = {}
    for name in TABLES:
        table = load.table(name)
        for each in resolve.cells(table, SMOKE, [0]):
            if each.cell is not None and isinstance(each.cell.detector, Roi):
                found[f"{table.id}: {each.row.label}"] = each.cell.detector
    for path in sorted((load.root() / "examples").glob("*.toml")):
        found[path.stem] = resolve.cell(str(path), SMOKE).cell.detector
    return found


LIGHT = unlike(light_rows())
TSD = "tsd-table3: TSD + M_cls + M_loc"


def objects(count: int) -> torch.Tensor:
    corner = torch.rand(count, 2) * 80
    return torch.cat((corner, corner + 6 + torch.rand(count, 2) * 30), dim=1)


@pytest.mark.parametrize("name", LIGHT)
def test_hard_batches_give_finite_losses_and_gradients(name):
    torch.manual_seed(0)
    detector = build_detector(LIGHT[name], 12).train()
    images = torch.randn(3, 3, 128, 96)
    for counts in ((300, 0, 1), (0, 0, 0)):
        boxes = [objects(count) for count in counts]
        labels = [torch.randint(0, 12, (count,)) for count in counts]
        losses = detector.losses(images, Targets.pad(boxes, labels))
        total = torch.stack(list(losses.values())).sum()
        assert total.isfinite()
        detector.zero_grad()
        total.backward()
        gradients = [p.grad for p in detector.parameters() if p.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)
    detector.eval()
    with torch.no_grad():
        found = detector.detect(images, torch.tensor([[128, 96]] * 3))
    assert len(found) == 3
    for each in found:
        assert (each.boxes >= 0).all()
        assert (each.boxes <= torch.tensor([96.0, 128, 96, 128])).all()


@pytest.mark.parametrize("name", LIGHT)
def test_no_proposals_left(name, monkeypatch):
    torch.manual_seed(0)
    detector = build_detector(LIGHT[name], 12)
    from detbench.detectors.rpn import ScoredBoxes

    monkeypatch.setattr(ScoredBoxes, "suppressed", lambda self, iou, count: self.boxes[:0])
    images = torch.randn(2, 3, 64, 64)
    losses = detector.train().losses(
        images, Targets.pad([torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2)
    )
    assert torch.stack(list(losses.values())).isfinite().all()
    with torch.no_grad():
        found = detector.eval().detect(images, torch.tensor([[64, 64]] * 2))
    assert [len(each) for each in found] == [0, 0]


def test_the_sibling_is_not_run_at_test(monkeypatch):
    detector = build_detector(LIGHT[TSD], 12).eval()

    def refuse(*args):
        raise AssertionError("the sibling ran")

    monkeypatch.setattr(detector.sibling, "forward", refuse)
    with torch.no_grad():
        detector.detect(torch.randn(1, 3, 96, 96), torch.tensor([[96, 96]]))


def test_the_sibling_reads_what_the_shift_networks_pooled(monkeypatch):
    calls = []

    def counted(levels, strides, rois, *settings, **finest):
        calls.append(len(rois))
        return align(levels, strides, rois, *settings, **finest)

    monkeypatch.setattr("detbench.stages.sampling.regions.align", counted)
    detector = build_detector(LIGHT[TSD], 12).train()
    targets = Targets.pad([objects(3)], [torch.randint(0, 12, (3,))])
    detector.losses(torch.randn(1, 3, 96, 96), targets)
    assert len(calls) == 1


def test_the_box_of_the_background_learns_nothing_and_is_not_read():
    torch.manual_seed(0)
    detector = build_detector(LIGHT[TSD], 12).train()
    images = torch.randn(2, 3, 128, 128)
    targets = Targets.pad([objects(9), objects(4)], [torch.arange(9), torch.arange(4)])
    torch.stack(list(detector.losses(images, targets).values())).sum().backward()
    for branch in (detector.main, detector.sibling):
        gradient = branch.loc.weight.grad
        assert len(gradient) == 4 * 13
        assert gradient[:48].abs().sum() > 0
        assert not gradient[48:].any()
    detector.eval()
    sizes = torch.tensor([[128, 128]] * 2)
    with torch.no_grad():
        before = detector.detect(images, sizes)
        detector.main.loc.bias[48:] += 9
        after = detector.detect(images, sizes)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one.boxes, other.boxes)
        assert one.labels.max() < 12


def test_contradictions_are_said_all_at_once():
    settings = LIGHT[TSD]
    readout = settings.readout.model_copy(update={"cls": "max", "cls_rounds": (2,)})
    with pytest.raises(RecipeError) as caught:
        build_detector(settings.model_copy(update={"readout": readout}), 12)
    assert len(caught.value.mistakes) == 2


class Recalls(nn.Module):
    """Beside a stage: learns which of its proposals have an object; adds that to detections."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, 1)

    @property
    def module(self) -> nn.Module:
        return self

    def losses(self, step: Step) -> dict[str, torch.Tensor]:
        pyramid, rois = step.regions.loc
        logits = self.layer(pyramid.align(rois, 1).flatten(1))[:, 0]
        wanted = step.taught.loc.rois.positive.float()
        return {"recall": F.binary_cross_entropy_with_logits(logits, wanted)}

    def uniform(self) -> dict[str, float]:
        return {"recall": math.log(2)}

    def predict(self, pyramids, detections):
        pyramid = pyramids.loc
        logits = self.layer(
            pyramid.align(with_index([each.boxes for each in detections]), 1)[..., 0, 0]
        )
        parts = logits[:, 0].sigmoid().split([len(each) for each in detections])
        pairs = zip(detections, parts, strict=True)
        return [replace(each, scores=each.scores * part) for each, part in pairs]


def with_extras(names: dict[int, str]) -> RoiDetector:
    """A light Cascade R-CNN with something beside its stages, as their names say."""
    torch.manual_seed(0)
    made = build_detector(resolve.cell("cascade-rcnn-r50", SMOKE).cell.detector, 12)
    stages = [
        replace(stage, extras={names[at]: Recalls(made.neck.channels)} if at in names else {})
        for at, stage in enumerate(made.stages)
    ]
    trunk = Trunk(made.backbone, made.neck, made.features, made.strides, made.finest)
    return RoiDetector(trunk, made.rpn, made.proposals, stages, made.readout, made.inference)


def test_what_stands_beside_a_stage_is_trained_kept_and_asked_at_test():
    plain, detector = with_extras({}), with_extras({0: "recall", 2: "recall"})
    images, sizes = torch.randn(2, 3, 96, 96), torch.tensor([[96, 96]] * 2)
    targets = Targets.pad([objects(3), objects(2)], [torch.arange(3), torch.arange(2)])
    torch.manual_seed(1)
    usual = plain.train().losses(images, targets)
    torch.manual_seed(1)
    losses = detector.train().losses(images, targets)
    assert set(losses) - set(usual) == {"recall", "round3_recall"}
    assert all(torch.equal(losses[name], loss) for name, loss in usual.items())
    torch.stack(list(losses.values())).sum().backward()
    names = ("recall", "round3_recall")
    assert all(detector.get_submodule(at).layer.weight.grad.any() for at in names)
    added = set(detector.state_dict()) - set(plain.state_dict())
    assert added == {f"{at}.layer.{kind}" for at in names for kind in ("weight", "bias")}
    assert set(names) <= set(detector.parts())
    assert dict(detector.uniform())["round3_recall"] == detector.stages[2].weight * math.log(2)
    with torch.no_grad():
        before, after = plain.eval().detect(images, sizes), detector.eval().detect(images, sizes)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one.boxes, other.boxes)
        assert (other.scores < one.scores).all()
        assert len(one) > 0
