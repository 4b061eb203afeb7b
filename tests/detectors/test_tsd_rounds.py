"""TSD in every round of a cascade: what it has there, and that the shifted box goes on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.detectors.roi import RoiDetector
from detbench.errors import RecipeError
from detbench.recipe import resolve
from detbench.structures import Targets

SHIFTS = "sampling={cls={kind='pointwise'}, loc={kind='translated'}}"
ONE_SIBLING = "sibling={sampling={both={kind='roi-align'}}, heads={both={kind='fc'}}}"
SIZES = torch.tensor([[96, 96]] * 2)


def made(name: str, *overrides: str) -> RoiDetector:
    torch.manual_seed(0)
    cell = resolve.cell(name, "smoke", overrides=overrides).cell
    assert cell is not None
    detector = build_detector(cell.detector, 12)
    assert isinstance(detector, RoiDetector)
    return detector


def batch() -> tuple[Tensor, Targets]:
    torch.manual_seed(1)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 30.0], [20.0, 4.0, 60.0, 60.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    return torch.randn(2, 3, 96, 96), Targets.pad(boxes, labels, SIZES)


class Everywhere(nn.Module):
    """A shift network that always says (2, -1)."""

    def forward(self, embedding: Tensor) -> Tensor:
        return embedding.new_tensor([2.0, -1.0]).expand(len(embedding), 2)


def test_each_round_has_shifts_a_sibling_and_its_constraint() -> None:
    detector = made("tsd-cascade-r50")
    losses = detector.train().losses(*batch())
    of_a_round = {"cls", "loc", "sibling_cls", "sibling_loc", "constraint_cls", "constraint_loc"}
    found = {f"{prefix}{name}" for prefix in ("", "round2_", "round3_") for name in of_a_round}
    assert set(losses) - {"rpn_cls", "rpn_loc"} == found
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in detector.named_parameters():
        if name.startswith(("main.", "sibling.", "round")):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
    names = ("sibling", "round2_sibling", "round3_sibling")
    assert set(names) <= set(dict(detector.named_children()))
    assert {f"{name}_cls" for name in names} <= dict(detector.uniform()).keys()


@pytest.mark.parametrize(
    ("name", "overrides"), [("tsd-cascade-r50", ()), ("cascade-rcnn-r50", (SHIFTS,))]
)
def test_the_shifted_box_goes_on(
    name: str, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With deltas of 0 a refined box is the proposal moved by gamma (2, -1) of its sides."""
    detector = made(name, *overrides)
    for branch in (detector.main, *detector.rounds):
        branch.sampling.loc.network = Everywhere()
        nn.init.zeros_(branch.loc.weight)
        nn.init.zeros_(branch.loc.bias)
    seen: dict[int, Tensor] = {}
    for number, branch in enumerate((detector.main, *detector.rounds)):
        monkeypatch.setattr(branch, "forward", remembered(branch.forward, seen, number))
    gamma = detector.main.sampling.loc.gamma
    images, targets = batch()
    with torch.no_grad():
        detector.eval().detect(images, SIZES)
    for number in (1, 2):
        torch.testing.assert_close(seen[number], moved(seen[number - 1], gamma))
    detector.train().losses(images, targets)
    for number in (1, 2):
        expected = moved(seen[number - 1], gamma)
        apart = torch.cdist(seen[number].double(), expected.double()).amin(dim=1)
        own = torch.cat([targets.boxes[0], targets.boxes[0].new_zeros(1, 4)])  # and padding
        is_object = torch.cdist(seen[number][:, 1:].double(), own.double()).amin(dim=1) < 1e-4
        assert bool(((apart < 1e-4) | is_object).all())
        assert bool((~is_object).sum() > 20)


def remembered(forward, seen: dict[int, Tensor], number: int):
    def run(regions, *rest):
        seen[number] = regions.loc.rois.detach()
        return forward(regions, *rest)

    return run


def moved(rois: Tensor, gamma: float) -> Tensor:
    shift = gamma * rois.new_tensor([2.0, -1.0]) * (rois[:, 3:] - rois[:, 1:3])
    boxes = (rois[:, 1:] + shift.repeat(1, 2)).clamp(0, 96)
    return torch.cat((rois[:, :1], boxes), dim=1)


def test_what_a_round_cannot_have_is_said() -> None:
    with pytest.raises(RecipeError, match=r"rounds.0.*'sibling' needs a round that classifies"):
        made("decoupled-rcnn-r50", f"rounds.0.{ONE_SIBLING}")
    with pytest.raises(RecipeError, match=r"rounds.1.constraint: compares with a sibling branch"):
        made("cascade-rcnn-r50", "rounds.1.constraint={cls_margin=0.2}")
    detector = made("cascade-rcnn-r50", f"rounds.1.{ONE_SIBLING}")
    assert set(detector.extras) == {"round3_sibling"}
