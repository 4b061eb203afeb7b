"""TOOD: its assignment against a loop, what a loss makes of it, and its predictor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from made_outputs import outputs
from torch import Tensor

from detbench.assembly.common import make
from detbench.ops.boxes import centerness, giou_loss, pairwise_iou, side_distances
from detbench.ops.candidates import point_grid
from detbench.ops.coding import Distance
from detbench.ops.displaced import displaced
from detbench.pertask import PerTask
from detbench.recipe.assignment import TaskAlignedAssignment
from detbench.recipe.supervision import Focal, Giou, QualityFocal, TaskAlignedFocal
from detbench.stages.assignment import Assigned, Assignment
from detbench.stages.outputs import Outputs
from detbench.stages.predictor import PredictorShape
from detbench.stages.predictor.aligned import Aligned
from detbench.stages.score import Geometric
from detbench.structures import Targets

POINTS = point_grid(0.5).lay([(8, 8), (4, 4)], [8, 16], torch.zeros(1))
BOXES = torch.tensor([[4.0, 4, 40, 44], [8, 10, 44, 50], [40, 30, 62, 60], [50, 2, 51, 3]])
TRUTH = Targets.pad([BOXES, BOXES[:0]], [torch.tensor([0, 2, 0, 1]), torch.zeros(0).long()])


def predicted(seed: int = 0) -> Outputs:
    """Two images' predictions, with gradients: distances of one to four cells."""
    source = torch.Generator().manual_seed(seed)
    made = outputs(POINTS, 2, torch.randn(2, 80, 3, generator=source).requires_grad_())
    code = (1 + 3 * torch.rand(2, 80, 4, generator=source)).requires_grad_()
    extras = {"alignment": torch.randn(2, 80, generator=source).requires_grad_()}
    score = Geometric("score")
    return replace(made, code=code, extras=extras, box_code=Distance("none"), score=score)


def assigned(option: TaskAlignedAssignment, made: Outputs, epoch: float) -> Assigned:
    assigner = make(option)
    found = assigner(made.detached, TRUTH, epoch)
    return Assigned(found, TRUTH, made.detached, epoch, assigner.normaliser)


def test_matches_and_soft_targets_are_those_of_a_loop() -> None:
    made = predicted()
    option = TaskAlignedAssignment(kind="task-aligned", top_k=5, warmup=4.0)
    found = assigned(option, made, 4.0).assignment
    scores, iou = made.scores[0].detach(), pairwise_iou(BOXES, made.boxes[0].detach())
    matched, owner_iou = [-1] * 80, [0.0] * 80
    for number, (box, label) in enumerate(zip(BOXES, TRUTH.labels[0].tolist(), strict=True)):
        metric = [float(scores[n, label] * iou[number, n] ** 6) for n in range(80)]
        for n in sorted(range(80), key=lambda n: -metric[n])[:5]:
            inside = float(side_distances(POINTS.points[n], box).min()) > 0.01
            if metric[n] > 0 and inside and float(iou[number, n]) > owner_iou[n]:
                matched[n], owner_iou[n] = number, float(iou[number, n])
    assert found.matched[0].tolist() == matched
    assert len(set(matched)) > 2
    assert (found.matched[1] == -1).all()
    assert found.target is not None
    for number in set(matched) - {-1}:
        own = [n for n in range(80) if matched[n] == number]
        metric = [float(scores[n, TRUTH.labels[0, number]] * iou[number, n] ** 6) for n in own]
        for n, value in zip(own, metric, strict=True):
            wanted = value / (max(metric) + 1e-7) * max(owner_iou[n] for n in own)
            assert float(found.target[0, n]) == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    assert (found.target[found.matched < 0] == 0).all()


def test_the_first_epochs_are_atss_without_soft_targets() -> None:
    option, made = TaskAlignedAssignment(kind="task-aligned"), predicted()
    first = assigned(option, made, 3.999).assignment
    assert first.target is None
    assert not {"scores", "boxes"} & set(vars(made.detached)), "it read predictions"
    assert assigned(option, made, 4.0).assignment.target is not None


@pytest.mark.parametrize("epoch", [0.0, 5.0])
@pytest.mark.parametrize("on", ["class", "score"])
def test_losses_follow_the_assignment(epoch: float, on: Any) -> None:
    made = predicted()
    wanted = assigned(TaskAlignedAssignment(kind="task-aligned", warmup_top_k=4), made, epoch)
    found = make(TaskAlignedFocal(kind="task-aligned", on=on))(made, wanted)["cls"]
    soft = QualityFocal(kind="quality-focal", on=on)
    same = make(soft if epoch else Focal(kind="focal", on=on))(made, wanted)["cls"]
    assert torch.equal(found, same)
    probability = made.scores if on == "score" else made.probabilities
    positive, labels = wanted.positive, wanted.labels
    target = wanted.assignment.target
    hot = torch.zeros_like(probability)
    value = positive.float() if target is None else target
    hot.scatter_(2, labels[..., None], value[..., None])
    entropy = torch.nn.functional.binary_cross_entropy(probability, hot, reduction="none")
    each = (hot - probability).abs().square() * entropy
    if target is None:
        each = each * torch.where(hot > 0, 0.25, 0.75)
    divisor = positive.sum() if target is None else target.sum().clamp(min=1)
    torch.testing.assert_close(found, each.sum() / divisor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("epoch", [0.0, 5.0])
def test_boxes_count_by_their_soft_target_or_centerness(epoch: float) -> None:
    made = predicted()
    wanted = assigned(TaskAlignedAssignment(kind="task-aligned", warmup_top_k=4), made, epoch)
    found = make(Giou(kind="giou", weighting="target", weight=2.0))(made, wanted)["loc"]
    at, target = wanted.positive, wanted.assignment.target
    share = centerness(side_distances(POINTS.points, wanted.boxes)) if target is None else target
    loss = giou_loss(made.boxes[at], wanted.boxes[at])
    each = 2 * (loss * share[at]).sum() / share[at].sum().clamp(min=1)
    torch.testing.assert_close(found, each)


def test_weights_by_iou_and_by_the_score_that_ranks() -> None:
    made = predicted()
    wanted = assigned(TaskAlignedAssignment(kind="task-aligned", warmup_top_k=4), made, 0.0)
    at = wanted.positive
    loss = giou_loss(made.boxes[at], wanted.boxes[at])
    best = made.scores.detach().amax(dim=-1)
    for option, share in (
        (Giou(kind="giou", weighting="iou", least=1e-6), wanted.iou),
        (Giou(kind="giou", weighting="score", on="score", least=1e-6), best),
    ):
        found = make(option)(made, wanted)["loc"]
        torch.testing.assert_close(found, (loss * share[at]).sum() / share[at].sum())


def test_a_score_that_underflows_has_a_finite_gradient() -> None:
    logits = torch.tensor([-60.0, -3.0], requires_grad=True)
    extras = torch.tensor([-60.0, 2.0], requires_grad=True)
    score = Geometric("score")(logits.sigmoid(), {"alignment": extras.sigmoid()})
    assert float(score[1].detach()) == pytest.approx((0.0474259 * 0.8807971) ** 0.5)
    score.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_nothing_to_be_sure_of_has_finite_losses() -> None:
    """Scores of exactly 0 and 1, at positives and elsewhere."""
    sure = torch.full((2, 80, 3), 200.0)
    sure[:, ::2] = -200.0
    logits = sure.requires_grad_()
    matched = torch.full((2, 80), -1)
    matched[0, :4] = 0
    for target in (None, torch.full((2, 80), 0.5)):
        made = replace(predicted(), logits=logits, extras={})
        wanted = Assigned(Assignment(matched, target=target), TRUTH, made.detached, 0.0)
        loss = make(TaskAlignedFocal(kind="task-aligned", on="score"))(made, wanted)["cls"]
        (gradient,) = torch.autograd.grad(loss, made.logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()


def test_a_displaced_map_is_read_where_it_says() -> None:
    maps = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(displaced(maps, torch.zeros(1, 4, 3, 4)), maps)
    offsets = torch.zeros(1, 4, 3, 4)
    offsets[0, 0], offsets[0, 3] = 1.0, -0.5  # the first a row down, the second half a cell left
    found = displaced(maps, offsets)
    assert torch.equal(found[0, 0], torch.cat((maps[0, 0, 1:], torch.zeros(1, 4))))
    assert found[0, 1, 0].tolist() == [6.0, 12.5, 13.5, 14.5]


def aligned(layers: int = 3, coarseness: int = 1, per_cell: int = 1) -> Aligned:
    shape = PredictorShape(
        PerTask(16 * layers, 16 * layers), PerTask(coarseness, 1), 5, 4, per_cell, 2
    )
    torch.manual_seed(0)
    return Aligned(shape, {}, True, 0.01, PerTask(layers, layers), 0.5)


@pytest.mark.parametrize(("layers", "coarseness", "per_cell"), [(3, 1, 1), (1, 1, 2), (2, 2, 1)])
def test_of_any_tower(layers: int, coarseness: int, per_cell: int) -> None:
    made = aligned(layers, coarseness, per_cell)
    sizes = [(7, 5), (4, 3)]
    small = [(-(-h // coarseness), -(-w // coarseness)) for h, w in sizes]
    towers = PerTask(
        [torch.rand(2, 16 * layers, *size) for size in small],
        [torch.rand(2, 16 * layers, *size) for size in sizes],
    )
    found = made(towers, sizes)
    for level, size in enumerate(sizes):
        assert found.cls[level].shape == (2, 5 * per_cell, *size)
        assert found.loc[level].shape == (2, 4 * per_cell, *size)
        assert found.extras["alignment"][level].shape == (2, per_cell, *size)


def test_without_displacement_boxes_are_their_own() -> None:
    made = aligned()
    torch.nn.init.zeros_(made.offset[2].weight)
    towers = PerTask.both([torch.rand(1, 48, 6, 6), torch.rand(1, 48, 3, 3)])
    found = made(towers, [(6, 6), (3, 3)])
    for x, loc in zip(towers.loc, found.loc, strict=True):
        own: Tensor = made.loc(made.decompose["loc"](x)).exp()
        torch.testing.assert_close(loc, own, rtol=1e-4, atol=1e-5)


def test_a_box_that_is_inverted_keeps_its_sides() -> None:
    """Every side is read far outside, which is 0: of all boxes nothing is left but a point."""
    made = aligned()
    torch.nn.init.zeros_(made.offset[2].weight)
    with torch.no_grad():
        made.offset[2].bias[:2] = 1.0  # the left side, from a row down and a column right
        made.offset[2].bias[1] = 3.0
    towers = PerTask.both([torch.rand(1, 48, 6, 6), torch.rand(1, 48, 3, 3)])
    found = made(towers, [(6, 6), (3, 3)]).loc[0][0]
    own = made.loc(made.decompose["loc"](towers.loc[0])).exp()[0]
    x = torch.arange(6) + 0.5
    left = torch.zeros(6, 6)
    left[:5, :3] = (x - own[0])[1:, 3:]
    right = x + own[2]
    wanted = torch.where(left > right, own[0], x - left)
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-4)
    assert (left > right).any()
    assert (left < right).any()
