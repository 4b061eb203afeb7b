from typing import get_args

import torch
from made_boxes import random_boxes

from detbench.assembly.common import make
from detbench.recipe.proposals import PositiveSampler, RandomSampler
from detbench.stages.assignment import BACKGROUND
from detbench.stages.assignment.proposals import ProposalSampler, pad, sample_mask
from detbench.structures import Targets

TARGETS = Targets.pad(
    [torch.tensor([[10.0, 10.0, 50.0, 50.0], [60.0, 60.0, 90.0, 90.0]]), torch.zeros(0, 4)],
    [torch.tensor([3, 5]), torch.zeros(0, dtype=torch.int64)],
)


def sampler(kind=RandomSampler, **settings) -> ProposalSampler:
    """With the usual thresholds."""
    (name,) = get_args(kind.model_fields["kind"].annotation)
    return make(kind(kind=name, **settings), positive=0.5, negative=0.5)


def proposals() -> tuple[torch.Tensor, torch.Tensor]:
    near = torch.tensor([[11.0, 10.0, 50.0, 52.0], [58.0, 60.0, 90.0, 91.0]]).repeat(20, 1)
    return pad([torch.cat((near, random_boxes(60))), random_boxes(30, 1)])


def test_sample_mask_keeps_at_most_the_count():
    eligible = torch.rand(3, 50, generator=torch.Generator().manual_seed(0)) < 0.6
    kept = sample_mask(eligible, 10, 0.5)
    assert kept.sum(dim=1).tolist() == [5, 5, 5]
    assert not (kept & ~eligible).any()
    assert torch.equal(sample_mask(eligible, 100), eligible)


def test_random_sampler_fills_up_with_background():
    torch.manual_seed(0)
    rois = sampler(count=40, fraction=0.25).sample(*proposals(), TARGETS)
    assert rois.boxes.shape == (2, 40, 4)
    assert rois.positive.reshape(2, 40).sum(dim=1).tolist() == [10, 0]
    assert rois.valid.sum(dim=1).tolist() == [40, 30]
    assert rois.sample_count.item() == 70


def test_ground_truth_is_added_and_marked():
    rois = sampler(count=1000, fraction=1.0).sample(*proposals(), TARGETS)
    assert rois.is_ground_truth.sum(dim=1).tolist() == [2, 0]
    assert torch.equal(rois.boxes[0][rois.is_ground_truth[0]], TARGETS.boxes[0])


def test_positive_sampler_takes_all_positives_and_fills_up_with_background():
    rois = sampler(PositiveSampler, count=60).sample(*proposals(), TARGETS)
    assert rois.positive.reshape(2, 60).sum(dim=1).tolist() == [40, 0]
    assert (rois.matched == BACKGROUND).sum(dim=1).tolist() == [20, 30]
    assert rois.sample_count.item() == 90


def test_an_object_added_is_its_own_even_where_another_has_the_same_box():
    box = torch.tensor([10.0, 10.0, 50.0, 50.0])
    flat = torch.tensor([20.0, 20.0, 20.0, 40.0])
    targets = Targets.pad([torch.stack((box, box, flat))], [torch.tensor([3, 5, 1])])
    boxes, valid = pad([box[None]])
    rois = sampler(count=9, fraction=1.0).sample(boxes, valid, targets)
    assert rois.matched[0][rois.matched[0] >= 0].tolist() == [0, 1, 0]
    assert rois.is_ground_truth.tolist() == [
        [True, True, False, False]
    ]  # one without area teaches nothing


def test_no_proposals_and_no_objects():
    boxes, valid = pad([torch.zeros(0, 4), torch.zeros(0, 4)])
    nothing = Targets.pad([torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2)
    rois = sampler().sample(boxes, valid, nothing)
    assert rois.flat().shape == (0, 5)
    assert rois.taught(nothing, 80).labels.shape == (0,)
    assert rois.taught(nothing, 80).target_boxes.shape == (0, 4)


def test_labels_and_target_boxes_are_the_matched_objects():
    rois = sampler(count=1000, fraction=1.0).sample(*proposals(), TARGETS)
    taught = rois.taught(TARGETS, 80)
    labels, boxes = taught.labels, taught.target_boxes
    flat = rois.matched.flatten()
    for index in (flat >= 0).nonzero()[:, 0].tolist():
        assert labels[index] == TARGETS.labels[0, flat[index]]
        assert torch.equal(boxes[index], TARGETS.boxes[0, flat[index]])
    assert (labels[flat < 0] == 80).all()
