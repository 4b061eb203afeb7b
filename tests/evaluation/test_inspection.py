"""One image through a detector, before and after NMS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from detbench.assembly import build_detector
from detbench.data import Sample, transforms
from detbench.errors import CellFailed
from detbench.evaluation.inspection import in_original, inspect
from detbench.ops.masks import paste
from detbench.recipe import resolve
from detbench.recipe.experiment import Input
from detbench.structures import Detections


def detector(name: str) -> tuple[Any, Any]:
    cell = resolve.cell(name, "smoke").cell
    assert cell is not None
    torch.manual_seed(0)
    network = build_detector(cell.detector, 3)
    with torch.no_grad():
        for parameter in network.parameters():  # scores away from the prior, and apart
            parameter.add_(0.05 * torch.randn_like(parameter))
        if hasattr(network, "predictor"):
            network.predictor.cls.bias.zero_()
    return network, cell


@pytest.mark.parametrize("name", ["fcos-r50", "atss-r50", "double-head-r50", "mask-rcnn-r50"])
def test_after_is_what_the_detector_detects_and_before_holds_it(name: str) -> None:
    network, cell = detector(name)
    settings = network.inference
    image = torch.randint(0, 256, (3, 60, 100), generator=torch.manual_seed(1), dtype=torch.uint8)
    input = Input(short=(96,), long=160)
    seen = inspect(network, image, input, cell.detector.pixels, "cpu")

    nothing = Sample(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 0)
    scaled, _ = transforms.resize(nothing, 96, 160)
    batch = transforms.normalise([scaled.image], cell.detector.pixels, input.multiple)
    with torch.inference_mode():
        [expected] = network.eval().detect(batch, torch.tensor([scaled.image.shape[-2:]]))
    assert len(seen.after) == len(expected) > 0
    np.testing.assert_allclose(seen.after.scores, expected.scores.numpy(), rtol=1e-4)
    np.testing.assert_allclose(seen.after.boxes, expected.boxes.numpy() / 1.6, atol=0.01)
    assert (seen.after.labels == expected.labels.numpy()).all()

    assert len(seen.every) >= len(seen.before) > len(seen.after)
    assert network.inference == settings
    for one in (seen.before, seen.every):
        assert (np.diff(one.scores) <= 0).all()
        assert (one.boxes >= 0).all()
        assert (one.boxes <= [100, 60, 100, 60]).all()
    every = {tuple(box) for box in seen.every.boxes.tolist()}
    assert {tuple(box) for box in seen.after.boxes.tolist()} <= every
    assert seen.before.masks is None
    assert seen.every.masks is None
    if expected.masks is None:
        assert seen.after.masks is None
        return
    assert "mask" in network.extras
    placed = {one.index: one for one in paste(expected.masks, expected.boxes / 1.6, (60, 100))}
    assert len(seen.after.masks) == len(placed) == len(expected)
    for row, one in enumerate(seen.after.masks):
        assert (one.left, one.top) == (placed[row].left, placed[row].top)
        assert (one.mask == placed[row].mask.numpy()).all()
    some = seen.after.chosen(seen.after.scores < seen.after.scores.max())
    assert len(some.masks) == len(some) < len(seen.after)


def test_numbers_that_are_not_finite_are_an_error() -> None:
    broken = Detections(
        torch.tensor([[0.0, 0.0, float("nan"), 9.0]]), torch.ones(1), torch.zeros(1).long()
    )
    with pytest.raises(CellFailed, match="not finite"):
        in_original(broken, (1.0, 1.0), (64, 64))
