"""Joint criteria with any assigner, with factors of levels, and in bounded memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from detbench.assembly.common import make
from detbench.detectors.supervision import Supervision
from detbench.ops.candidates import AnchorShapes, Candidates, anchor_grid, point_grid
from detbench.ops.coding import Distance
from detbench.pertask import PerTask
from detbench.recipe import assignment as option
from detbench.recipe.supervision import AutoAssign, DualWeighting, LinearLevels
from detbench.stages import pairs
from detbench.stages.assignment import IGNORE
from detbench.stages.outputs import Outputs
from detbench.stages.score import Product
from detbench.structures import Targets

CLASSES = 3
JOINT = {"autoassign": AutoAssign(kind="autoassign"), "dw": DualWeighting(kind="dual-weighting")}
ASSIGNERS = {
    "iou": option.IouAssignment(kind="iou"),
    "fcos": option.FcosAssignment(kind="fcos"),
    "atss": option.AtssAssignment(kind="atss"),
    "cost": option.CostAssignment(kind="cost"),
    "center-prior": option.CenterPrior(kind="center-prior"),
}
SIZES, STRIDES = [(12, 16), (6, 8)], [8, 16]
ANCHORS = anchor_grid(AnchorShapes(4.0, 1, (1.0,), 1), 0.5).lay(SIZES, STRIDES, torch.zeros(()))


def supervision(joint: Any, assigner: Any, levels: Any = None) -> Supervision:
    made = make(assigner, wiring={"classes": CLASSES})
    factors = None if levels is None else PerTask.both(make(levels, levels=len(SIZES)))
    return Supervision(PerTask.both(made), {"joint": make(joint)}, factors)


def outputs(candidates: Candidates, images: int, classes: int = CLASSES) -> Outputs:
    torch.manual_seed(0)
    shape = (images, len(candidates.points))
    leaves = [torch.randn(*shape, width, requires_grad=True) for width in (classes, 4, 1)]
    extras = {"objectness": leaves[2][..., 0]}
    code = leaves[1].abs() * 2 + 1
    return Outputs(leaves[0], code, extras, candidates, Distance("relu"), Product("score"))


def targets() -> Targets:
    boxes = torch.tensor([[10.0, 10.0, 70.0, 60.0], [20.0, 12.0, 60.0, 62.0], [1.0, 1.0, 2.0, 2.0]])
    none = torch.zeros(0, 4)
    return Targets.pad([boxes, none], [torch.tensor([1, 1, 0]), torch.zeros(0).long()])


@pytest.mark.parametrize("assigner", ASSIGNERS)
@pytest.mark.parametrize("joint", JOINT)
def test_every_assigner_goes_with_it(joint: str, assigner: str) -> None:
    """One without pairs has one object at each of its places."""
    found = outputs(ANCHORS, 2)
    losses = supervision(JOINT[joint], ASSIGNERS[assigner])(found, targets(), 0.0)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["positive"] > 0
    torch.stack(list(losses.values())).sum().backward()
    assert found.logits.grad is not None
    assert found.logits.grad.isfinite().all()
    assert found.logits.grad[0].abs().sum() > 0


@pytest.mark.parametrize("joint", JOINT)
def test_levels_count_by_their_factors(joint: str) -> None:
    """All levels twice is all twice, but for the prior's own loss; one at nought is silent."""
    assigner = ASSIGNERS["center-prior"]
    found = outputs(ANCHORS, 2)
    plain = supervision(JOINT[joint], assigner)(found, targets(), 0.0)
    twice = LinearLevels(kind="linear", first=2.0, last=2.0)
    double = supervision(JOINT[joint], assigner, twice)(found, targets(), 0.0)
    two, only = targets().valid.sum() - 1, 100 * 0.25 / 3  # an object has no place, and no level
    assert two == 2
    for name, loss in plain.items():
        expected = loss if name == "center" else 2 * loss
        if (joint, name) == ("autoassign", "positive"):
            expected = 2 * (loss - only)
        torch.testing.assert_close(double[name], expected)
    fine = LinearLevels(kind="linear", first=0.0, last=1.0)
    losses = supervision(JOINT[joint], assigner, fine)(outputs(ANCHORS, 2), targets(), 0.0)
    assert 0 < losses["negative"] < plain["negative"]


@pytest.mark.parametrize("joint", JOINT)
def test_ignored_places_are_no_background(joint: str) -> None:
    """Those that IoU thresholds leave between object and background."""
    wide = option.IouAssignment(kind="iou", positive=0.9, negative=0.1, match_low_quality=False)
    found, given = outputs(ANCHORS, 2), targets()
    matched = make(wide)(found.detached, given, 0.0).matched
    supervision(JOINT[joint], wide)(found, given, 0.0)["negative"].backward()
    assert found.logits.grad is not None
    taught = found.logits.grad.abs().sum(dim=-1) > 0
    assert torch.equal(taught, matched != IGNORE)
    assert taught.any()
    assert not taught.all()


class Sizes(TorchDispatchMode):
    """The numbers of elements of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, list | tuple) else [found]:
            if isinstance(one, Tensor) and one.untyped_storage().size():
                self.made.append(one.untyped_storage().size() // one.element_size())
        return found


@pytest.mark.parametrize("joint", JOINT)
def test_no_more_than_one_number_of_a_pair_is_kept(
    joint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 objects: no tensor is larger than all pairs or all scores, and what the backward pass
    keeps is a few of those. Pairs by classes would be 80 times as many."""
    monkeypatch.setattr(pairs, "AT_ONCE", 4000)
    places = point_grid(0.5).lay([(16, 16), (8, 8)], STRIDES, torch.zeros(()))
    count, objects, classes = len(places.points), 300, 80
    low = torch.rand(objects, 2, generator=torch.Generator().manual_seed(0)) * 100
    boxes = torch.cat((low, low + 24), dim=1)
    wanted = Targets.pad([boxes], [torch.arange(objects) % classes])
    made = make(option.CenterPrior(kind="center-prior"), wiring={"classes": classes})
    criterion = Supervision(PerTask.both(made), {"joint": make(JOINT[joint])})
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.size() // tensor.element_size()
        return tensor

    found = outputs(places, 1, classes)
    with Sizes() as sizes, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        losses = criterion(found, wanted, 0.0)
        total = torch.stack(list(losses.values())).sum()
    held = sum(kept.values())
    with sizes:
        total.backward()
    assert total.isfinite()
    assert max(sizes.made) <= max(objects * count, count * classes)
    assert held < 5 * objects * count + 12 * count * classes
