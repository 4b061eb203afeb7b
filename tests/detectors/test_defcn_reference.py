"""DeFCN against its released code (reference/README.md)."""

from __future__ import annotations

from typing import Any

import authors_reference as reference
import cvpods_reference as cvpods
import pytest
import reference_weights
import torch
from torch import Tensor, nn

from detbench.detectors.dense import DenseDetector
from detbench.stages.predictor.max_filter import FilterSettings, MaxFilter
from detbench.structures import Targets

CASES = {reference.set_of(case): case for case in reference.cases("defcn")}
THIRD = ("filter", "filter")
MATCHES: dict[str, dict[str, Any]] = {
    "covered": {},
    "poto_alpha_0.5": {"alpha": 0.5},
    "poto_alpha_0.0": {"alpha": 0.0},
    "poto_no_radius": {"radius": 0.0},
}
FILTERS: dict[str, dict[str, Any]] = {
    "3dmf": {},
    "3dmf_without_gn": {"norm": "none"},
    "3dmf_kernel_5": {"kernel": 5},
    "3dmf_tau_0": {"neighbours": 0},
    "3dmf_tau_4": {"neighbours": 2},
}


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def built(case: dict, **settings: Any) -> DenseDetector:
    return cvpods.detector("defcn-r50", case, **settings)


def given(case: dict, path: str) -> cvpods.Given:
    return cvpods.Given(case, path, THIRD)


def objects(case: dict, covered: bool = True) -> Targets:
    removed = case["objects_without_candidate"] if covered else {}
    return cvpods.targets(case["scene"]["images"], removed)


def pairs(matched: Tensor) -> list[tuple[int, int]]:
    return [(place, gt) for place, gt in enumerate(matched.tolist()) if gt >= 0]


def theirs_of(match: dict) -> list[tuple[int, int]]:
    return list(zip(match["location"], match["gt"], strict=True))


@pytest.mark.parametrize("variant", MATCHES)
def test_matches(name: str, variant: str) -> None:
    case = CASES[name]
    theirs = case[variant]["poto"] if variant == "covered" else case[variant]
    detector = built(case, **MATCHES[variant])
    outputs = detector.outputs(given(case, f"{name}/defcn/loss").predictions).detached
    found = detector.supervisions[0].assigners.tasks.cls(outputs, objects(case), 0.0)
    for matched, match in zip(found.matched, theirs, strict=True):
        assert pairs(matched) == theirs_of(match)


@pytest.mark.parametrize(
    ("variant", "match"), [("plain_poto", "hungarian"), ("plain_poto_argmax", "argmax")]
)
def test_without_the_filter(name: str, variant: str, match: str) -> None:
    case, theirs = CASES[name], CASES[name][variant]
    images = theirs.get("images", [0, 1, 2])
    detector = built(case, match=match)
    maps = cvpods.of_images(given(case, f"{name}/defcn/loss").predictions, images)
    maps.extras.clear()
    scenes = [case["scene"]["images"][image] for image in images]
    gone = {
        str(at): case["objects_without_candidate"].get(str(x), []) for at, x in enumerate(images)
    }
    targets, outputs = cvpods.targets(scenes, gone), detector.outputs(maps)
    main = detector.supervisions[0]
    found = main.assigners.tasks.cls(outputs.detached, targets, 0.0)
    for matched, expected in zip(found.matched, theirs["poto"], strict=True):
        assert pairs(matched) == theirs_of(expected)
    losses = main(outputs, targets, 0.0)
    assert losses["cls"].item() == reference.close(theirs["losses"]["loss_cls"])
    assert losses["loc"].item() == reference.close(theirs["losses"]["loss_box_reg"])


def test_objects_that_compete(name: str) -> None:
    case, crowd = CASES[name], CASES[name]["crowd"]
    detector = built(case)
    outputs = detector.outputs(given(case, f"{name}/defcn/crowd").predictions).detached
    found = detector.supervisions[0].assigners.tasks.cls(outputs, cvpods.targets([crowd], {}), 0.0)
    assert pairs(found.matched[0]) == theirs_of(crowd["poto"][0])


@pytest.mark.parametrize("variant", ["covered", "all_objects"])
def test_auxiliary_positives(name: str, variant: str) -> None:
    case, theirs = CASES[name], CASES[name][variant]
    detector, targets = built(case), objects(case, variant == "covered")
    outputs = detector.outputs(given(case, f"{name}/defcn/loss").predictions).detached
    found = detector.supervisions[1].assigners.tasks.cls(outputs, targets, 0.0)
    labels = found.labels(targets)
    for image, match in zip(theirs["aux_images"], theirs["aux"], strict=True):
        places = found.positive[image].nonzero()[:, 0]
        assert places.tolist() == match["location"]
        assert labels[image][places].tolist() == match["label"]


@pytest.mark.parametrize("variant", ["covered", "all_objects"])
def test_losses_and_gradients(name: str, variant: str) -> None:
    """Their auxiliary loss takes no image without objects."""
    case, theirs = CASES[name], CASES[name][variant]
    detector, maps = built(case), given(case, f"{name}/defcn/loss")
    targets, images = objects(case, variant == "covered"), theirs["aux_images"]
    main, auxiliary = detector.supervisions
    found = main(detector.outputs(maps.predictions), targets, 0.0)
    few = Targets(targets.boxes[images], targets.labels[images], targets.valid[images])
    outputs = detector.outputs(cvpods.of_images(maps.predictions, images))
    found |= auxiliary(outputs, few, 0.0)
    names = {"cls": "loss_cls", "loc": "loss_box_reg", "auxiliary1_cls": "loss_cls_aux"}
    assert set(found) == set(names)
    for mine, loss in names.items():
        assert found[mine].item() == reference.close(theirs["losses"][loss])
    torch.stack(list(found.values())).sum().backward()
    maps.assert_gradients(theirs["gradients"])


def test_an_object_without_a_candidate_has_their_place_too(name: str) -> None:
    """Which is far from it: of places that are all alike, the first that is left."""
    case, theirs = CASES[name], CASES[name]["all_objects"]
    detector, targets = built(case), objects(case, covered=False)
    outputs = detector.outputs(given(case, f"{name}/defcn/loss").predictions).detached
    found = detector.supervisions[0].assigners.tasks.cls(outputs, targets, 0.0)
    for matched, match in zip(found.matched, theirs["poto"], strict=True):
        assert pairs(matched) == theirs_of(match)


@pytest.mark.parametrize("variant", FILTERS)
def test_the_filter(name: str, variant: str) -> None:
    case, theirs = CASES[name], CASES[name][variant]
    settings = {"neighbours": 1, "kernel": 3, "norm": "gn", "conv_bias": True} | FILTERS[variant]
    made = MaxFilter(64, FilterSettings(**settings))
    weights = reference_weights.state_dict(theirs if "state_dict" in theirs else case["3dmf"])
    made.load_state_dict({key.removeprefix("head.max3d."): x for key, x in weights.items()})
    if isinstance(made.norm, nn.GroupNorm):
        made.norm.num_groups = 32  # ours have four channels or more
    maps = [
        reference.made(case, f"{name}/defcn/feature/{level}").requires_grad_()
        for level in cvpods.LEVELS
    ]
    found = made(maps)
    for level, x in enumerate(found):
        reference.assert_summary(x, theirs["outputs"][str(level)])
    if "input_gradients" in theirs:
        torch.stack([x.square().mean() for x in found]).sum().backward()
        for x, expected in zip(maps, theirs["input_gradients"], strict=True):
            assert x.grad is not None
            reference.assert_summary(x.grad, expected)


def test_towers_and_predictions(name: str) -> None:
    case = CASES[name]
    detector = cvpods.detector("defcn-r50", case, channels=64)
    cvpods.with_their_weights(detector, case["forward"], THIRD)
    found = cvpods.predicted(detector, case, f"{name}/defcn/feature")
    cvpods.assert_predictions(found, case, THIRD)


def test_detections(name: str) -> None:
    """By the product, which the threshold is on too; nothing is suppressed."""
    case = CASES[name]
    cvpods.assert_detections(built(case), given(case, f"{name}/defcn/test").predictions, case)
