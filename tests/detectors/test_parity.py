"""Our detectors against MMDetection's, number for number, through the checkpoint importer."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b

import pytest
import reference_weights as reference
import torch

from detbench.assembly import build_detector
from detbench.recipe import load
from detbench.recipe.detector import Dense, Detector
from detbench.training import files, weights

CASES = reference.cases()
PORTS = {  # what MMDetection has is not what was released
    "ddod-r50": "ddod-mmdet-r50",
    "autoassign-r50": "autoassign-mmdet-r50",
}
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


def as_run(settings: Detector, case: dict) -> Detector:
    """The recipe with the case's own settings: a low threshold, few proposals, all of them kept."""
    if isinstance(settings, Dense):
        inference = copied(settings.inference, score_threshold=case["test_cfg"]["score_thr"])
        return copied(settings, inference=inference)
    test = case["test_cfg"]
    candidates = test["rpn"]["nms_pre"]
    proposals = copied(
        settings.assignment.both,
        train_count=test["rpn"]["max_per_img"],
        test_count=test["rpn"]["max_per_img"],
        sampler=copied(settings.assignment.both.sampler, count=1_000_000, fraction=1.0),
    )
    return copied(
        settings,
        rpn=copied(
            settings.rpn,
            samples=1_000_000,
            fraction=1.0,
            train_candidates=candidates,
            test_candidates=candidates,
        ),
        assignment=copied(settings.assignment, both=proposals),
        inference=copied(settings.inference, score_threshold=test["rcnn"]["score_thr"]),
    )


def copied(spec, **changes):
    return spec.model_copy(update=changes)


def once(function, given):
    """The function, which computes what it makes of ``given`` once."""
    known = []

    def remembered(x):
        if not torch.equal(x, given):
            return function(x)
        if not known:
            known.append(function(x))
        return known[0]

    return remembered


def row_by_row(function):
    """A function of rows, of which each is alone, that computes what it makes of a row once."""
    known = {}

    def remembered(rows):
        keys = [blake2b(row.numpy()).digest() for row in rows]
        new = [index for index, key in enumerate(keys) if key not in known]
        if new:
            made = function(rows if len(new) == len(rows) else rows[new])
            known.update(zip((keys[index] for index in new), made, strict=True))
        return torch.stack([known[key] for key in keys])

    return remembered


@pytest.fixture(scope="module")
def weight():
    """``reference.weight``, which draws a backbone's once: most detectors have the same one."""
    drawn = cache(reference.weight)

    def of(name, shape):
        return drawn(name, shape) if name.startswith("backbone.") else reference.weight(name, shape)

    return of


@pytest.fixture(scope="module")
def backbones():
    """Backbones that have seen the cases' images, and their maps of those."""
    return []


def remembering(backbone, images, before):
    """The backbone's function, which computes its maps once for all backbones with one state."""
    state = backbone.state_dict()
    for other, seen, remembered in before:
        theirs = other.state_dict()
        same = str(backbone) == str(other) and torch.equal(images, seen)
        if same and all(torch.equal(state[name], theirs[name]) for name in state | theirs):
            return remembered
    found = once(backbone.forward, images)
    before.append((backbone, images, found))
    return found


@pytest.fixture(scope="module", params=OURS)
def loaded(request, weight, backbones):
    """A detector with the case's weights, which sees the case's images once, and the case."""
    case = CASES[request.param]
    settings = load.detector(PORTS.get(request.param, request.param)).detector
    detector = build_detector(as_run(settings, case), 80)
    given = {name: weight(name, tuple(shape)) for name, shape in case["state_dict"].items()}
    found = weights.load_content(detector, files.of_state(given), request.param, whole=True)
    assert found.whole
    images, _, _ = reference.inputs(case)
    detector.eval()
    detector.backbone.forward = remembering(detector.backbone, images, backbones)
    detector.pyramid = once(detector.pyramid, images)
    if "rpn" in case:
        for branch in (detector.main, *detector.rounds):
            for head in set(branch.heads.tasks):
                head.forward = row_by_row(head.forward)
    elif not request.param.startswith("fcos"):  # whose losses have own scales
        detector.forward = once(detector.forward, images)
    return detector, case


def test_every_reference_detector_is_tested():
    dense = {"retinanet-r50", "fcos-r50", "atss-r50", "gfl-r50", "ddod-r50"}
    dense |= {"tood-r50", "paa-r50"}
    dense |= {"autoassign-r50"}
    faster = {f"faster-rcnn-{kind}" for kind in ("r50", "r50-c4", "r50-dcn", "r50-dcnv2")}
    roi = faster | {"faster-rcnn-x101-32x4d", "double-head-r50", "cascade-rcnn-r50"}
    roi |= {"mask-rcnn-r50"}
    assert dense | roi <= set(OURS)


@torch.no_grad()
def test_features_and_raw_predictions(loaded):
    detector, case = loaded
    images, _, _ = reference.inputs(case)
    if "rpn" in case:
        _, levels = detector.pyramid(images)
        branches, raw = list(detector.rpn(levels)), case["rpn"]
    else:
        levels = detector.pyramid(images).levels
        predictions, raw = detector(images), case["head"]
        branches = [predictions.cls, predictions.loc, *predictions.extras.values()]
        if case["detector"].startswith("tood"):  # which returns scores, and boxes in strides
            branches = _on_grids(detector, predictions)
    assert len(levels) == len(case["features"])
    for level, features in enumerate(levels):
        assert_like(features, case["features"][str(level)])
    assert len(branches) * len(levels) == len(raw)
    for branch, maps in enumerate(branches):
        for level, ours in enumerate(maps):
            if case["detector"].startswith(("fcos", "autoassign")) and branch == 1:
                ours = ours.clamp(min=0) * 2 ** (3 + level)  # evaluation mode, see the README
            assert_like(ours, raw[f"{branch}.{level}"])


def _on_grids(detector, predictions):
    """Scores and boxes in strides, level by level."""
    outputs = detector.outputs(predictions)
    boxes = outputs.boxes / outputs.candidates.strides[:, None]
    sizes = [x.shape[-2:] for x in predictions.loc]
    return [
        [level.mT.unflatten(-1, size) for level, size in zip(levels, sizes, strict=True)]
        for levels in (x.split(outputs.candidates.counts, dim=1) for x in (outputs.scores, boxes))
    ]


@torch.no_grad()
def test_losses(loaded):
    detector, case = loaded
    images, targets, _ = reference.inputs(case)
    if case["detector"].startswith("fcos"):  # evaluation mode, see the README
        ours = _with_scales(detector, images, targets)
    else:
        # What counts positives does so in training alone; nothing else of it differs there.
        detector.train(case["detector"].startswith("ddod"))
        ours = detector.losses(images, targets, epoch=12.0)  # TOOD is past its first epochs
        detector.eval()
    names = {"loss_cls": "cls", "loss_bbox": "loc", "loss_centerness": "quality"}
    names |= {"loss_iou": "quality"}
    names |= {"loss_pos": "positive", "loss_neg": "negative", "loss_center": "center"}
    names |= {"loss_mask": "mask"}
    names |= {"loss_dfl": "distribution", "loss_rpn_cls": "rpn_cls", "loss_rpn_bbox": "rpn_loc"}
    for stage, prefix in enumerate(("", "round2_", "round3_")):
        names |= {f"s{stage}.loss_cls": f"{prefix}cls", f"s{stage}.loss_bbox": f"{prefix}loc"}
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
