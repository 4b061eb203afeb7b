"""What makes a dense detector's outputs of both tasks' towers."""

from __future__ import annotations

import pytest
import torch

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector
from detbench.errors import RecipeError
from detbench.recipe import resolve

OBJECTNESS = "detector.predictor={kind='convolutions', prior=0.2, objectness='loc'}"


def detector(*overrides: str) -> DenseDetector:
    cell = resolve.cell("fcos-r50", "smoke", overrides=list(overrides)).cell
    assert cell is not None
    torch.manual_seed(0)
    made = build_detector(cell.detector, 5)
    assert isinstance(made, DenseDetector)
    return made


def test_further_outputs_make_the_score_and_training_starts_at_the_prior() -> None:
    made = detector(OBJECTNESS)
    images = torch.zeros(1, 3, 64, 64)
    predictions = made(images)
    outputs = made.outputs(predictions)
    assert set(outputs.extras) == {"quality", "objectness"}
    assert made.predictor.objectness.weight.shape[0] == 1
    assert outputs.probabilities.mean().item() == pytest.approx(0.2, abs=0.01)
    quality, objectness = (outputs.extras[name].sigmoid() for name in ("quality", "objectness"))
    wanted = outputs.probabilities * (quality * objectness)[..., None]
    torch.testing.assert_close(outputs.scores, wanted)


def test_said_outright_it_is_the_usual_one() -> None:
    usual, said = detector(), detector("detector.predictor={kind='convolutions'}")
    for name, weight in usual.state_dict().items():
        assert torch.equal(weight, said.state_dict()[name]), name


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("prior=0.0", "greater than 0"),
        ("objectness='both'", "cls"),
        ("extra=1", "extra"),
    ],
)
def test_what_is_no_output_is_refused(setting: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        detector(f"detector.predictor={{kind='convolutions', {setting}}}")
