"""The prior of places about an object's centre."""

from __future__ import annotations

import math
from typing import Any

import made_outputs
import pytest
import torch

from detbench.assembly import build_detector
from detbench.assembly.common import make
from detbench.ops.candidates import point_grid
from detbench.recipe import load
from detbench.recipe.assignment import CenterPrior
from detbench.recipe.light import lighten
from detbench.stages.assignment import BACKGROUND, Assignment
from detbench.stages.pairs import LITTLE
from detbench.structures import Targets
from detbench.training import weights

PLACES = point_grid(0.5).lay([(4, 4), (2, 2)], [8, 16], torch.zeros(()))
BOXES = torch.tensor([[0.0, 0.0, 16.0, 24.0], [6.0, 6.0, 30.0, 30.0], [9.0, 9.0, 10.0, 10.0]])
TARGETS = Targets.pad([BOXES, torch.zeros(0, 4)], [torch.tensor([1, 0, 1]), torch.zeros(0).long()])


def assigned(option: CenterPrior, targets: Targets = TARGETS, **learnt: Any) -> Assignment:
    assigner = make(option, wiring={"classes": 3})
    with torch.no_grad():
        for name, value in learnt.items():
            getattr(assigner, name).copy_(torch.tensor(value))
    found: Assignment = assigner(made_outputs.outputs(PLACES, len(targets.boxes)), targets, 0.0)
    return found


def test_the_prior_place_by_place() -> None:
    mean = [[0.5, -0.25], [0.0, 0.1], [9.0, 9.0]]
    sigma = [[1.0, 2.0], [0.7, -0.7], [9.0, 9.0]]
    found = assigned(CenterPrior(kind="center-prior"), mean=mean, sigma=sigma)
    assert found.pairs is not None
    labels = [1, 0, 1]
    for index, (left, top, right, bottom) in enumerate(BOXES.tolist()):
        for place, (x, y) in enumerate(PLACES.points.tolist()):
            stride, kind, expected = PLACES.strides[place].item(), labels[index], 1.0
            for axis, at, low, high in ((0, x, left, right), (1, y, top, bottom)):
                inside = low < at < high
                offset = (at - (low + high) / 2) / stride - mean[kind][axis]
                gauss = math.exp(-(offset**2) / (2 * sigma[kind][axis] ** 2))
                expected *= gauss * inside
            assert found.pairs[0, index, place].item() == pytest.approx(expected, rel=1e-5)
    assert not found.pairs[1].any()
    assert not found.pairs[0, 2].any(), "no point is in the smallest"


def test_a_places_one_object_is_that_of_the_largest_prior() -> None:
    found = assigned(CenterPrior(kind="center-prior", learnt=False))
    assert found.pairs is not None
    assert found.weight is not None
    both = (found.pairs[0] > 0).sum(dim=0) == 2
    assert both.any()
    assert torch.equal(found.matched[0][both], found.pairs[0].argmax(dim=0)[both])
    outside = ~(found.pairs > 0).any(dim=1)
    assert (found.matched[outside] == BACKGROUND).all()
    assert (found.weight[outside] == 1).all()
    assert torch.equal(found.weight[~outside], found.pairs.amax(dim=1)[~outside])


def test_a_threshold_leaves_an_objects_places_its_own() -> None:
    soft = assigned(CenterPrior(kind="center-prior", learnt=False)).pairs
    hard = assigned(CenterPrior(kind="center-prior", learnt=False, threshold=0.3)).pairs
    assert soft is not None
    assert hard is not None
    assert torch.equal(hard > 0, soft > 0)
    assert set(hard.unique().tolist()) == {0.0, LITTLE, 1.0}
    assert torch.equal(hard == 1, soft > 0.3)


def test_a_deviation_of_nothing_has_finite_gradients() -> None:
    assigner = make(CenterPrior(kind="center-prior"), wiring={"classes": 3})
    with torch.no_grad():
        assigner.sigma.zero_()
    found = assigner(made_outputs.outputs(PLACES, 2), TARGETS, 0.0).pairs
    found.sum().backward()
    assert found.isfinite().all()
    assert assigner.sigma.grad.isfinite().all()
    assert assigner.mean.grad.isfinite().all()


def test_only_a_joint_criterion_teaches_a_prior() -> None:
    spec = load.detector("fcos-r50").detector
    given = spec.model_dump() | {"assignment": {"both": {"kind": "center-prior"}}}
    with pytest.raises(ValueError, match="set learnt = false"):
        type(spec).model_validate(given)
    given["assignment"]["both"]["learnt"] = False
    assert type(spec).model_validate(given)


def test_it_goes_with_its_classes(tmp_path: Any) -> None:
    """Joined by name, as every layer that tells classes apart."""
    light = load.profile("smoke").light
    assert light is not None
    spec = lighten(load.detector("autoassign-r50").detector, light)
    first, other = build_detector(spec, ["a", "b", "c"]), build_detector(spec, ["c", "a", "b"])
    state = first.state_dict()
    names = [f"supervisions.0.assigners.both.{name}" for name in ("mean", "sigma")]
    for number, name in enumerate(names):
        state[name].copy_(torch.arange(6.0).view(3, 2) + 10 * number)
    weights.save(tmp_path / "a.pt", first)
    weights.load_file(other, tmp_path / "a.pt", whole=True)
    for name in names:
        assert torch.equal(other.state_dict()[name], state[name][[2, 0, 1]])
