import pytest
import torch
from made_outputs import outputs

from detbench.assembly.common import make
from detbench.ops.candidates import AnchorShapes, anchor_grid, point_grid
from detbench.recipe.assignment import Assignment, AtssAssignment, FcosAssignment, IouAssignment
from detbench.recipe.base import Custom
from detbench.recipe.reference import kind_of, schemas_of
from detbench.stages.assignment import BACKGROUND, IGNORE, Assigned
from detbench.stages.assignment.iou import IouAssigner
from detbench.stages.assignment.mixture import MixtureAssigner
from detbench.structures import Targets

SIZES, STRIDES = [(16, 16), (8, 8), (4, 4)], [8, 16, 32]
ANCHORS = anchor_grid(AnchorShapes(4, 1, (1.0,), 1), 0.5).lay(SIZES, STRIDES, torch.zeros(1))
POINTS = point_grid(0.5).lay(SIZES, STRIDES, torch.zeros(1))
IOU, FCOS, ATSS = (
    make(IouAssignment(kind="iou")),
    make(FcosAssignment(kind="fcos")),
    make(AtssAssignment(kind="atss")),
)
APART = make(IouAssignment(kind="iou", match_low_quality=False))
OPTIONS = [
    (
        make(each(kind=kind_of(each)), wiring={"classes": 3}),
        POINTS if each is FcosAssignment else ANCHORS,
    )
    for each in schemas_of(Assignment)
    if not issubclass(each, Custom)
]


def targets(*images: list[list[float]]) -> Targets:
    boxes = [torch.tensor(image, dtype=torch.float32).reshape(-1, 4) for image in images]
    labels = [torch.arange(len(image)) for image in images]
    return Targets.pad(boxes, labels)


def assign(assigner, candidates, wanted: Targets):
    return assigner(outputs(candidates, len(wanted.boxes)), wanted, 0.0)


BOXES = [[10, 10, 50, 50], [60, 20, 90, 60], [5, 70, 120, 125]]


@pytest.mark.parametrize(("assigner", "candidates"), OPTIONS)
def test_a_batch_is_its_images(assigner, candidates):
    """Padding, and what the other images hold, changes nothing."""
    together = assign(assigner, candidates, targets(BOXES, [], BOXES[1:2]))
    apart = [assign(assigner, candidates, targets(x)) for x in (BOXES, [], BOXES[1:2])]
    for index, image in enumerate(apart):
        assert torch.equal(together.matched[index], image.matched[0])
    assert (together.matched[1] == BACKGROUND).all()
    assert together.positive[0].any()


@pytest.mark.parametrize(("assigner", "candidates"), OPTIONS)
def test_no_objects_at_all(assigner, candidates):
    assigned = assign(assigner, candidates, targets([], []))
    assert assigned.matched.shape == (2, len(candidates.points))
    assert not assigned.positive.any()
    for kind in ("images", "batch"):
        found = Assigned(assigned, targets([], []), outputs(candidates, 2), 0.0)
        assert found.normaliser(kind).item() >= 1
    assert assigned.boxes(targets([], [])).shape == (2, len(candidates.points), 4)


@pytest.mark.parametrize(("assigner", "candidates"), OPTIONS)
def test_positives_are_at_their_object(assigner, candidates):
    truth = targets(BOXES)
    assigned = assign(assigner, candidates, truth)
    for index in assigned.positive[0].nonzero()[:, 0]:
        box = truth.boxes[0, assigned.matched[0, index]]
        point = candidates.points[index]
        reach = 16 if isinstance(assigner, IouAssigner) else 0
        reach = 64 if isinstance(assigner, MixtureAssigner) else reach  # half the largest anchor
        assert (point > box[:2] - reach).all()
        assert (point < box[2:] + reach).all()


def test_iou_thresholds_leave_a_band_ignored():
    box = ANCHORS.boxes[100]
    width = (box[2] - box[0]).item()
    for shift, expected in [(0.0, 0), (0.37, IGNORE), (0.7, BACKGROUND)]:
        moved = box + torch.tensor([shift * width, 0, shift * width, 0])
        assert assign(APART, ANCHORS, targets([moved.tolist()])).matched[0, 100] == expected


def test_what_an_objects_best_candidate_learns():
    """The first overlaps A by half and B by a third, whose best it is: it is given B, or A."""
    boxes = torch.tensor([[[0.0, 0, 90, 90], [200, 200, 290, 290]]])
    objects = targets([[0, 0, 90, 45], [0, 0, 30, 90]])
    given = IouAssigner(0.7, 0.3, 0.0, True).match(boxes, objects)
    own = IouAssigner(0.7, 0.3, 0.0, True, own_best=True).match(boxes, objects)
    assert (given.tolist(), own.tolist()) == ([[1, BACKGROUND]], [[0, BACKGROUND]])


def test_an_objects_best_candidate_may_be_one_that_is_not_used():
    """Then the object has the best of the others, or none."""
    boxes = torch.tensor([[[0.0, 0, 90, 90], [0, 0, 90, 180], [0, 0, 90, 900]]])
    objects, usable = targets([[0, 0, 90, 80]]), torch.tensor([[False, True, True]])
    early = IouAssigner(0.7, 0.3, 0.0, True).match(boxes, objects, usable)
    late = IouAssigner(0.7, 0.3, 0.0, True, late=True).match(boxes, objects, usable)
    assert (early.tolist(), late.tolist()) == (
        [[IGNORE, 0, BACKGROUND]],
        [[IGNORE, IGNORE, BACKGROUND]],
    )


def test_low_quality_match_gives_every_object_a_candidate():
    tiny = [[40.0, 40.0, 44.0, 44.0]]
    assert not assign(APART, ANCHORS, targets(tiny)).positive.any()
    assert assign(IOU, ANCHORS, targets(tiny)).positive.any()


def test_fcos_takes_the_smallest_object_and_the_level_of_its_size():
    assigned = assign(FCOS, POINTS, targets([[0, 0, 40, 40], [10, 10, 30, 30]]))
    inside_both = ((POINTS.points - 20).abs() < 8).all(dim=1)[: POINTS.counts[0]].nonzero()[:, 0]
    assert len(inside_both)
    assert (assigned.matched[0, inside_both] == 1).all()
    large = assign(FCOS, POINTS, targets([[0, 0, 127, 127]]))
    assert not large.positive[0, : POINTS.counts[0]].any()
    assert large.positive[0, POINTS.counts[0] :].any()


def test_fcos_centre_sampling_is_a_part_of_the_whole_box():
    sampled = assign(FCOS, POINTS, targets(BOXES)).positive
    whole = assign(make(FcosAssignment(kind="fcos", radius=0.0)), POINTS, targets(BOXES)).positive
    assert (whole | ~sampled).all()
    assert whole.sum() > sampled.sum() > 0


def test_atss_is_the_papers_algorithm_one_object_at_a_time():
    """Against a plain transcription of algorithm 1 for a single object."""
    from torchvision.ops import box_iou

    for box in BOXES:
        goal = torch.tensor([box], dtype=torch.float32)
        middle, near, start = (goal[0, :2] + goal[0, 2:]) / 2, [], 0
        for count in ANCHORS.counts:
            distance = (ANCHORS.points[start : start + count] - middle).norm(dim=1)
            near += (distance.topk(9, largest=False).indices + start).tolist()
            start += count
        iou = box_iou(ANCHORS.boxes[near], goal)[:, 0]
        threshold = iou.mean() + iou.std()
        inside = [
            (goal[0, :2] < ANCHORS.points[i]).all() and (ANCHORS.points[i] < goal[0, 2:]).all()
            for i in near
        ]
        expected = {i for i, v, ok in zip(near, iou, inside, strict=True) if v >= threshold and ok}
        assigned = assign(ATSS, ANCHORS, targets([box])).positive[0]
        assert set(assigned.nonzero()[:, 0].tolist()) == expected
        assert expected
