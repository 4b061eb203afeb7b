"""Assigners by transport and by match where objects are many, tiny, alike, or out of reach."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from detbench.assembly.common import make
from detbench.ops.boxes import centers
from detbench.ops.candidates import AnchorShapes, anchor_grid, point_grid
from detbench.ops.coding import Distance
from detbench.recipe import assignment
from detbench.stages.assignment.center_sampling import around, in_center
from detbench.stages.outputs import Outputs
from detbench.stages.score import Product
from detbench.structures import Targets

CLASSES = 5
SIZES, STRIDES = [(16, 20), (8, 10), (4, 5), (2, 3)], [8, 16, 32, 64]
WIDTH, HEIGHT = 160, 128
MATCH: dict[str, Any] = {
    "transport": assignment.TransportAssignment(kind="transport"),
    "hungarian": assignment.OneToOneAssignment(kind="one-to-one"),
    "argmax": assignment.OneToOneAssignment(kind="one-to-one", match="argmax"),
    "whole object": assignment.OneToOneAssignment(kind="one-to-one", radius=0.0),
    "best": assignment.CostAssignment(kind="cost", among="best"),
}


def outputs(batch: int = 1, seed: int = 0) -> Outputs:
    random = torch.Generator().manual_seed(seed)
    candidates = point_grid(0.5).lay(SIZES, STRIDES, torch.zeros(1))
    count = len(candidates.points)
    return Outputs(
        logits=torch.randn(batch, count, CLASSES, generator=random) - 2,
        code=4 * (0.3 * torch.randn(batch, count, 4, generator=random)).exp(),
        extras={},
        candidates=candidates,
        box_code=Distance("relu"),
        score=Product("score"),
    ).detached


def targets(*boxes: Tensor) -> Targets:
    return Targets.pad(list(boxes), [torch.arange(len(each)) % CLASSES for each in boxes])


def objects(count: int) -> Tensor:
    random = torch.Generator().manual_seed(count)
    sides = torch.tensor([WIDTH, HEIGHT]) * torch.rand(count, 2, generator=random) ** 3
    low = (torch.tensor([WIDTH, HEIGHT]) - sides) * torch.rand(count, 2, generator=random)
    return torch.cat((low, low + sides), dim=1)


SCENES = {
    "many": objects(300),
    "more than places": objects(500),
    "alike": torch.tensor([[40.0, 40.0, 90.0, 100.0]]).repeat(8, 1),
    "tiny": torch.tensor([[50.1, 50.1, 50.3, 50.2], [1.0, 1.0, 1.0, 1.0]]),
    "outside": torch.tensor([[-90.0, -80.0, -40.0, -50.0]]),
    "whole": torch.tensor([[0.0, 0.0, 160.0, 128.0]]),
}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("kind", MATCH)
def test_an_assignment_is_of_objects_that_are_there(kind: str, scene: str) -> None:
    boxes = SCENES[scene]
    given, wanted = outputs(2), targets(boxes, boxes[:1])
    matched = make(MATCH[kind])(given, wanted, 0.0).matched
    assert matched.shape == given.logits.shape[:2]
    assert (matched[0] < len(boxes)).all()
    assert (matched[1] < 1).all()
    if kind == "hungarian":
        counts = matched[0][matched[0] >= 0].bincount(minlength=len(boxes))
        assert (counts <= 1).all()
        if len(boxes) <= 8:
            assert (counts == 1).all()
    if kind == "transport" and len(boxes) <= 2:
        assert set(matched[0].unique().tolist()) >= set(range(len(boxes)))
    if kind == "argmax" and scene in ("tiny", "outside"):
        assert (matched < 0).all()


@pytest.mark.parametrize("kind", MATCH)
def test_without_objects_all_is_background(kind: str) -> None:
    matched = make(MATCH[kind])(outputs(2), targets(torch.zeros(0, 4), torch.zeros(0, 4)), 0.0)
    assert (matched.matched == -1).all()


def test_a_match_is_the_best_of_all_pairs() -> None:
    """Against scipy's on every object and place, with -1 outside the centre."""
    from scipy.optimize import linear_sum_assignment

    given, wanted = outputs(), targets(objects(25))
    assigner = make(MATCH["hungarian"])
    points, strides = given.candidates.points, given.candidates.strides
    every = torch.arange(len(points)).expand(1, 25, -1)
    quality = assigner._quality(given, wanted, every)[0]
    inside = in_center(points, strides, wanted.boxes[0, :, None], assigner.radius)
    quality = torch.where(inside, quality, -1.0)
    rows, columns = linear_sum_assignment(quality.numpy(), maximize=True)
    matched = assigner(given, wanted, 0.0).matched[0]
    places = torch.full((25,), -1).scatter(0, matched[matched >= 0], (matched >= 0).nonzero()[:, 0])
    assert (places >= 0).all()
    mine = quality.gather(1, places[:, None]).sum()
    assert mine.item() == pytest.approx(float(quality[rows, columns].sum()), abs=1e-4)
    assert not inside[rows, columns].all()
    assert places.tolist() == columns.tolist()


def test_a_transport_with_objects_out_of_reach_is_that_of_all_pairs() -> None:
    """Against OTA's cost matrix and its arg-max, with 1e6 where a place is not in the centre."""
    given, wanted = outputs(seed=3), targets(torch.cat((objects(12), SCENES["tiny"])))
    assigner = make(MATCH["transport"])
    problem, anywhere = assigner.problem(given, wanted)
    count, total = len(wanted.boxes[0]), len(given.candidates.points)
    assert 0 < len(anywhere[0]) < count
    cost = torch.full((count, total), 1e6)
    finite = problem.cost[0].isfinite()
    rows = torch.arange(count)[:, None].expand_as(finite)
    cost[rows[finite], problem.places[0][finite]] = problem.cost[0][finite]
    cost[anywhere[0]] = 1e6 + problem.far[0, :-1]
    cost = torch.cat((cost, problem.far[0, -1:])).double()
    supply = problem.supply.scatter_add(1, anywhere, problem.given)[0].double()
    supply = torch.cat((supply, total - supply.sum(dim=0, keepdim=True)))
    row, epsilon = torch.zeros(count + 1, 1, dtype=torch.float64), assigner.solver.epsilon
    for _ in range(assigner.solver.iterations):
        column = -(row - cost / epsilon).logsumexp(dim=0)
        row = (supply + 1e-8).log()[:, None] - (column - cost / epsilon).logsumexp(1, True)
    plan = (row - cost / epsilon + column).exp()
    best = (plan / plan.amax(dim=1, keepdim=True)).argmax(dim=0)
    mine = assigner(given, wanted, 0.0).matched[0]
    assert mine.tolist() == best.masked_fill(best == count, -1).tolist()
    assert set(anywhere[0].tolist()) <= set(mine.tolist())


def test_two_objects_that_want_one_place() -> None:
    """With argmax the better one has it; matched, the other has its second best."""
    boxes = torch.tensor([[40.0, 40.0, 90.0, 100.0], [41.0, 40.0, 90.0, 100.0]])
    given = outputs()
    given.logits[0, :, :] = -5.0
    place = int((given.candidates.points - torch.tensor([68.0, 68.0])).square().sum(1).argmin())
    given.logits[0, place] = 5.0
    matched = make(MATCH["argmax"])(given, targets(boxes), 0.0).matched[0]
    assert int((matched >= 0).sum()) == 1
    assert matched[place] >= 0
    both = make(MATCH["hungarian"])(given, targets(boxes), 0.0).matched[0]
    assert both[place] >= 0
    assert sorted(both[both >= 0].tolist()) == [0, 1]


@pytest.mark.parametrize("radius", [0.0, 1.5, 2.5])
@pytest.mark.parametrize("cells", [1, 3])
def test_no_place_in_a_centre_is_left_out(radius: float, cells: int) -> None:
    grid = point_grid(0.0) if cells == 1 else anchor_grid(AnchorShapes(4.0, 3, (1.0,), 1), 0.5)
    candidates = grid.lay(SIZES, STRIDES, torch.zeros(1))
    boxes = torch.cat((objects(40), SCENES["tiny"], SCENES["outside"]))[None]
    places, inside = around(candidates, boxes, radius)
    every = in_center(candidates.points, candidates.strides, boxes[:, :, None], radius)
    found = torch.zeros_like(every).scatter(2, places, inside)
    assert torch.equal(found, every)
    assert (places.sort(dim=-1).values.diff(dim=-1) > 0).all()
    assert every.any()


def test_the_best_predictions_may_be_far_from_the_object() -> None:
    """Among nearest anchors they are not found."""
    box = torch.tensor([[30.0, 30.0, 130.0, 100.0]])
    given = outputs()
    far = int((given.candidates.points - torch.tensor([36.0, 36.0])).square().sum(1).argmin())
    point, stride = given.candidates.points[far], given.candidates.strides[far]
    given.code[0, far] = torch.cat((point - box[0, :2], box[0, 2:] - point)) / stride
    given.logits[0, far, 0] = 5.0
    assert (point - centers(box)[0]).abs().max() > 40
    best = make(MATCH["best"])(given, targets(box), 0.0).matched[0]
    nearest = make(assignment.CostAssignment(kind="cost"))(given, targets(box), 0.0).matched[0]
    assert best[far] == 0
    assert nearest[far] == -1


def test_the_best_predictions_may_be_right_at_an_objects_edge() -> None:
    """By less than the 0.01 pixels that nearest anchors need; on the edge they are outside."""
    given = outputs()
    place = int((given.candidates.points - torch.tensor([68.0, 68.0])).square().sum(1).argmin())
    x, y = given.candidates.points[place].tolist()
    given.logits[0, place, 0] = 9.0
    for margin, kinds in ((0.005, {"best"}), (0.02, {"best", "nearest"}), (0.0, set())):
        box = torch.tensor([[x - margin, y - 6.0, x + 12.0, y + 6.0]])
        sides = torch.cat((torch.tensor([x, y]) - box[0, :2], box[0, 2:] - torch.tensor([x, y])))
        given.code[0, place] = sides / given.candidates.strides[place]
        for among in ("best", "nearest"):
            option = assignment.CostAssignment(kind="cost", among=among)
            matched = make(option)(given.detached, targets(box), 0.0).matched[0]
            assert (matched[place] == 0) == (among in kinds), (margin, among)


def test_best_predictions_are_the_same_a_few_objects_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from detbench.stages import pairs

    given, wanted = outputs(2), targets(objects(30), objects(7))
    together = make(MATCH["best"])(given, wanted, 0.0).matched
    monkeypatch.setattr(pairs, "AT_ONCE", 2000)
    assert torch.equal(make(MATCH["best"])(given, wanted, 0.0).matched, together)
