from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from made_outputs import taught
from torchvision.ops import sigmoid_focal_loss

from detbench.assembly.common import make
from detbench.recipe import supervision
from detbench.stages.assignment import BACKGROUND, IGNORE, Assignment
from detbench.stages.supervision.classification import Focal
from detbench.structures import Targets

LOGITS = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
MATCHED = torch.tensor([[0, BACKGROUND, 1, IGNORE, BACKGROUND, 0], [BACKGROUND] * 6])
LABELS = torch.tensor([[2, 0, 3, 0, 0, 2], [0] * 6])
TARGETS = Targets.pad(
    [torch.zeros(2, 4), torch.zeros(0, 4)], [torch.tensor([2, 3]), torch.zeros(0)]
)
ASSIGNED = Assignment(MATCHED)
assert int((MATCHED >= 0).sum()) == 3
QUALITY_FOCAL = make(supervision.QualityFocal(kind="quality-focal"))


def focal(**settings) -> Focal:
    return make(supervision.Focal(kind="focal", **settings))


def loss_of(loss, logits=LOGITS, assignment=ASSIGNED):
    (value,) = loss(*taught(logits, assignment, TARGETS)).values()
    return value


def one_hot() -> torch.Tensor:
    return F.one_hot(LABELS, 4).float() * (MATCHED >= 0)[..., None]


def test_focal_is_torchvisions_without_the_ignored():
    expected = sigmoid_focal_loss(LOGITS, one_hot(), alpha=0.25, gamma=2.0)
    expected = (expected.sum(-1) * (MATCHED != IGNORE)).sum() / 3
    ours = loss_of(focal())
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)


def test_quality_focal_is_equation_4():
    quality = torch.rand(2, 6, generator=torch.Generator().manual_seed(1))
    target = one_hot() * quality[..., None]
    modulation = (target - LOGITS.sigmoid()).abs().pow(2)
    entropy = F.binary_cross_entropy_with_logits(LOGITS, target, reduction="none")
    expected = ((modulation * entropy).sum(-1) * (MATCHED != IGNORE)).sum() / 3
    ours = loss_of(QUALITY_FOCAL, assignment=Assignment(MATCHED, target=quality))
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)


def test_focal_on_the_score_is_of_its_probability():
    """(1 - p_t)^2 log p_t, p with the further output (DeFCN); its gradient reaches both."""
    more = torch.randn(2, 6, generator=torch.Generator().manual_seed(2)).requires_grad_()
    logits = LOGITS.clone().requires_grad_()
    outputs, assigned = taught(logits, ASSIGNED, TARGETS)
    outputs = replace(outputs, extras={"filter": more})
    score = logits.sigmoid() * more.sigmoid()[..., None]
    entropy = F.binary_cross_entropy(score, one_hot(), reduction="none")
    there = torch.where(one_hot() > 0, 0.25 * (1 - score) ** 2, 0.75 * score**2)
    expected = ((there * entropy).sum(-1) * (MATCHED != IGNORE)).sum() / 3
    (ours,) = focal(on="score")(outputs, assigned).values()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    wanted = torch.autograd.grad(expected, (logits, more))
    for mine, theirs in zip(torch.autograd.grad(ours, (logits, more)), wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_without_further_outputs_the_score_is_the_class():
    assert loss_of(focal(on="score")).item() == pytest.approx(loss_of(focal()).item(), rel=1e-5)


@pytest.mark.parametrize("loss", [focal(), focal(on="score"), QUALITY_FOCAL])
def test_extreme_scores_stay_finite(loss):
    logits = (LOGITS * 200).requires_grad_()
    value = loss_of(loss, logits, Assignment(MATCHED, target=torch.zeros(2, 6)))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["images", "batch", "weights"])
def test_weights_and_normalisers_are_what_they_say(kind):
    """Twice the weight everywhere is twice the loss, unless it is divided by the weights."""
    weight = torch.full((2, 6), 2.0)
    plain = loss_of(focal(normaliser="batch"))
    found = loss_of(focal(normaliser=kind), assignment=Assignment(MATCHED, weight))
    # Three positives, and one is counted for the image that has none.
    expected = {"images": plain * 2 * 3 / 4, "batch": plain * 2, "weights": plain}
    assert found.item() == pytest.approx(expected[kind].item(), rel=1e-5)


def test_a_loss_that_does_not_say_is_divided_as_its_assigner_has_it():
    outputs, assigned = taught(LOGITS, ASSIGNED, TARGETS)
    found = focal()(outputs, replace(assigned, usual="images"))["cls"]
    assert found.item() == pytest.approx(loss_of(focal(normaliser="images")).item())
    assert found.item() != pytest.approx(loss_of(focal()).item())


def test_a_weight_of_nothing_ignores():
    kept = torch.ones(2, 6)
    kept[:, 3:] = 0
    ignored = MATCHED.masked_fill(kept == 0, IGNORE)
    weighed = loss_of(focal(), assignment=Assignment(MATCHED, kept)) * 3
    left_out = loss_of(focal(), assignment=Assignment(ignored)) * 2
    assert weighed.item() == pytest.approx(left_out.item(), rel=1e-5)


def test_a_loss_trains_what_made_its_weights():
    weight = torch.full((2, 6), 0.5, requires_grad=True)
    loss_of(focal(), assignment=Assignment(MATCHED, weight)).backward()
    considered = MATCHED != IGNORE
    assert (weight.grad[considered] > 0).any()
    assert not weight.grad[~considered].any()
