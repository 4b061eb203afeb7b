import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from detbench.stages.assignment import BACKGROUND, IGNORE, Assignment
from detbench.stages.supervision import Focal, QualityFocal

LOGITS = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
MATCHED = torch.tensor([[0, BACKGROUND, 1, IGNORE, BACKGROUND, 0], [BACKGROUND] * 6])
LABELS = torch.tensor([[2, 0, 3, 0, 0, 2], [0] * 6])
ASSIGNED = Assignment(MATCHED, torch.tensor(3.0))


def one_hot() -> torch.Tensor:
    return F.one_hot(LABELS, 4).float() * (MATCHED >= 0)[..., None]


def test_focal_is_torchvisions_without_the_ignored():
    expected = sigmoid_focal_loss(LOGITS, one_hot(), alpha=0.25, gamma=2.0)
    expected = (expected.sum(-1) * (MATCHED != IGNORE)).sum() / 3
    ours = Focal()(LOGITS, LABELS, ASSIGNED, None)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)


def test_quality_focal_is_equation_4():
    quality = torch.rand(2, 6, generator=torch.Generator().manual_seed(1))
    target = one_hot() * quality[..., None]
    modulation = (target - LOGITS.sigmoid()).abs().pow(2)
    entropy = F.binary_cross_entropy_with_logits(LOGITS, target, reduction="none")
    expected = ((modulation * entropy).sum(-1) * (MATCHED != IGNORE)).sum() / 3
    ours = QualityFocal()(LOGITS, LABELS, ASSIGNED, quality)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [Focal(), QualityFocal()])
def test_extreme_scores_stay_finite(loss):
    logits = (LOGITS * 200).requires_grad_()
    value = loss(logits, LABELS, ASSIGNED, torch.zeros(2, 6))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
