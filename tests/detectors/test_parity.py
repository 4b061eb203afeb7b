"""Our detectors against MMDetection's, number for number, through the checkpoint importer."""

from __future__ import annotations

import pytest
import reference_weights as reference
import torch

from detbench.build import build_detector
from detbench.detectors.importer import import_mmdet
from detbench.recipe import load

CASES = reference.cases()
OURS = sorted(name for name in CASES if name in set(load.detectors()))
RELATIVE = 1e-4


def total(loss: float | list[float]) -> float:
    return sum(loss) if isinstance(loss, list) else loss


def assert_like(ours: torch.Tensor, case: dict) -> None:
    """Shape, moments and the sampled values within 1e-4 of the tensor's largest magnitude."""
    assert list(ours.shape) == case["shape"]
    flat = ours.flatten()
    tolerance = RELATIVE * case["abs_max"]
    for index, value in case["at"].items():
        assert flat[int(index)].item() == pytest.approx(value, abs=tolerance)
    assert flat.mean().item() == pytest.approx(case["mean"], abs=tolerance)
    assert flat.std(unbiased=False).item() == pytest.approx(case["std"], abs=tolerance)


@pytest.fixture(scope="module", params=OURS)
def loaded(request):
    """A detector with the case's weights, and the case."""
    case = CASES[request.param]
    settings = load.detector(request.param).detector
    inference = settings.inference.model_copy(
        update={"score_threshold": case["test_cfg"]["score_thr"]}
    )
    detector = build_detector(settings.model_copy(update={"inference": inference}), 80)
    assert import_mmdet(detector, reference.state_dict(case)) == []
    return detector.eval(), case


def test_every_reference_detector_is_tested():
    assert {"retinanet-r50", "fcos-r50", "atss-r50", "gfl-r50"} <= set(OURS)


@torch.no_grad()
def test_features_and_raw_predictions(loaded):
    detector, case = loaded
    images, _, _ = reference.inputs(case)
    for level, features in enumerate(detector.pyramid(images).levels):
        assert_like(features, case["features"][str(level)])
    predictions = detector(images)
    branches = [predictions.cls, predictions.loc]
    branches += [predictions.quality] if predictions.quality else []
    assert len(branches) * len(predictions.cls) == len(case["head"])
    for branch, maps in enumerate(branches):
        for level, ours in enumerate(maps):
            if case["detector"].startswith("fcos") and branch == 1:
                ours = ours.clamp(min=0) * 2 ** (3 + level)  # evaluation mode, see the README
            assert_like(ours, case["head"][f"{branch}.{level}"])


@torch.no_grad()
def test_losses(loaded):
    detector, case = loaded
    images, targets, _ = reference.inputs(case)
    if case["detector"].startswith("fcos"):  # evaluation mode, see the README
        ours = _with_scales(detector, images, targets)
    else:
        ours = detector.losses(images, targets)
    names = {"loss_cls": "cls", "loss_bbox": "loc", "loss_centerness": "quality"}
    names |= {"loss_dfl": "distribution"}
    assert {names[name] for name in case["losses"]} == set(ours)
    for name, value in case["losses"].items():
        assert ours[names[name]].item() == pytest.approx(total(value), rel=RELATIVE)


def _with_scales(detector, images, targets):
    own = detector.predictor.scales.clone()
    strides = torch.tensor([2.0 ** (3 + level) for level in range(len(own))])
    detector.predictor.scales.mul_(strides)
    losses = detector.losses(images, targets)
    detector.predictor.scales.copy_(own)
    return losses


@torch.no_grad()
def test_detections(loaded):
    detector, case = loaded
    images, _, sizes = reference.inputs(case)
    for ours, theirs in zip(detector.detect(images, sizes), case["detections"], strict=True):
        assert len(ours) == theirs["count"]
        for index, best in enumerate(theirs["top"]):
            assert ours.labels[index].item() == best["label"]
            assert ours.scores[index].item() == pytest.approx(best["score"], abs=1e-4)
            assert ours.boxes[index].tolist() == pytest.approx(best["box"], abs=0.01)
