"""DDOD's assignment against its released code (reference/README.md)."""

from __future__ import annotations

import authors_reference as reference
import pytest
import torch
from torch import Tensor

from detbench.assembly.common import make
from detbench.ops.candidates import AnchorShapes, anchor_grid
from detbench.ops.coding import Delta
from detbench.recipe.assignment import CostAssignment
from detbench.stages.outputs import Outputs
from detbench.stages.score import Product
from detbench.structures import Targets

CASE = reference.case("ddod")
SIZES, STRIDES = [tuple(size) for size in CASE["feature_sizes"]], CASE["strides"]
ANCHORS = anchor_grid(AnchorShapes(8.0, 1, (1.0,), 1), 0.0).lay(SIZES, STRIDES, torch.zeros(()))
SCENE = CASE["scene"]["images"]
TARGETS = Targets.pad(
    [torch.tensor(image["boxes"]).reshape(-1, 4) for image in SCENE],
    [torch.tensor(image["labels"], dtype=torch.int64) for image in SCENE],
)


def flat(name: str) -> Tensor:
    """(B, N, width) of the case's maps."""
    maps = [reference.made(CASE, f"A/ddod/assign/{name}/{level}") for level in range(len(STRIDES))]
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)


def predicted() -> Outputs:
    code = Delta((0.1, 0.1, 0.2, 0.2))
    return Outputs(flat("cls"), flat("delta"), {}, ANCHORS, code, Product("class"))


def test_anchors_are_theirs() -> None:
    assert ANCHORS.counts == CASE["anchors"]["per_level"]
    for name, index in (("first", 0), ("second", 1), ("last", -1)):
        assert ANCHORS.boxes[index].tolist() == CASE["anchors"][name]


@pytest.mark.parametrize("name", CASE["assigner"])
def test_positives_and_their_objects_are_theirs(name: str) -> None:
    _, alpha, _, top_k = name.split()
    assigner = make(CostAssignment(kind="cost", alpha=float(alpha), top_k=int(top_k)))
    found = assigner(predicted(), TARGETS, 0.0)
    labels = found.labels(TARGETS)
    for index, image in enumerate(CASE["assigner"][name]):
        positive = found.positive[index].nonzero()[:, 0]
        assert positive.tolist() == image["anchor"]
        assert found.matched[index, positive].tolist() == image["gt"]
        assert labels[index, positive].tolist() == image["label"]
    assert found.weight is found.target is None


def test_it_follows_what_is_predicted() -> None:
    """A place that is sure of the object's class wins it where alpha looks at the class alone."""
    given = predicted()
    sure = given.logits.clone()
    sure[:, 267, 2] = 12.0
    changed = Outputs(sure, given.code, {}, ANCHORS, given.box_code, given.score)
    by_box, by_class = (make(CostAssignment(kind="cost", alpha=x)) for x in (1.0, 0.0))
    before, after = by_box(given, TARGETS, 0.0), by_box(changed, TARGETS, 0.0)
    assert torch.equal(before.matched, after.matched)
    assert by_class(given, TARGETS, 0.0).matched[0, 267] < 0
    assert by_class(changed, TARGETS, 0.0).matched[0, 267] == 3


def test_no_object_is_needed() -> None:
    nothing = Targets.pad([torch.zeros(0, 4)] * 3, [torch.zeros(0, dtype=torch.int64)] * 3)
    found = make(CostAssignment(kind="cost"))(predicted(), nothing, 0.0)
    assert not found.positive.any()
