"""DDOD and its baseline against their released code (reference/README.md)."""

from __future__ import annotations

from functools import cache
from typing import Any

import authors_reference as reference
import pytest
import reference_weights
import torch
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector, Predictions
from detbench.detectors.importer import translate
from detbench.pertask import PerTask
from detbench.recipe import load
from detbench.structures import Targets

CASES = {reference.set_of(case): case for case in reference.cases("ddod")}
HEADS = {
    "DDODHead": "ddod-r50",
    "DDODFCOSHead": "ddod-fcos-r50",
    "ATSSIoUHead": "atss-iou-r50",
}
LOSSES = {"cls": "loss_cls", "loc": "loss_bbox", "quality": "loss_iou"}
LEVELS = range(5)
OURS = [2, 0, 3, 1]  # of top, bottom, left and right


@cache
def settings(head: str, channels: int = 256) -> Any:
    spec = load.detector(HEADS[head]).detector
    tower = spec.heads.of("cls").model_copy(update={"channels": channels})
    heads = spec.heads.model_copy(update={"cls": tower, "loc": tower})
    neck = spec.neck.model_copy(update={"channels": channels})
    return spec.model_copy(update={"heads": heads, "neck": neck})


def built(head: str, case: dict, channels: int = 256) -> DenseDetector:
    torch.manual_seed(0)
    found = build_detector(settings(head, channels), case["scene"]["num_classes"])
    assert isinstance(found, DenseDetector)
    return found.train()


def ours(head: str, boxes: Tensor) -> Tensor:
    """Their box code in the order of ours; its own inverse for two of three is not enough."""
    return boxes[:, OURS] if head == "DDODFCOSHead" else boxes


class Given:
    """A case's maps as predictions, each a leaf."""

    def __init__(self, case: dict, head: str, path: str) -> None:
        names = {"cls": "cls", "box": "tblr" if head == "DDODFCOSHead" else "delta", "iou": "iou"}
        self.leaves = {
            kind: [
                reference.made(case, f"{path}/{name}/{level}").requires_grad_() for level in LEVELS
            ]
            for kind, name in names.items()
        }
        self.predictions = Predictions(
            self.leaves["cls"],
            [ours(head, x) for x in self.leaves["box"]],
            {"quality": self.leaves["iou"]},
        )


def targets(case: dict, images: list[int]) -> Targets:
    scene = [case["scene"]["images"][index] for index in images]
    return Targets.pad(
        [torch.tensor(image["boxes"]).reshape(-1, 4) for image in scene],
        [torch.tensor(image["labels"], dtype=torch.int64) for image in scene],
    )


def losses_of(detector: DenseDetector, given: Given, wanted: Targets) -> dict[str, Tensor]:
    (supervision,) = detector.supervisions
    found: dict[str, Tensor] = supervision(detector.outputs(given.predictions), wanted, 0.0)
    return found


@pytest.fixture(params=[(name, head) for name in CASES for head in HEADS], ids="-".join)
def steps(request: pytest.FixtureRequest) -> tuple[dict, str, str]:
    name, head = request.param
    return CASES[name], name, head


def test_four_steps_of_training(steps: tuple[dict, str, str]) -> None:
    """Losses, gradients and, where there are any, the totals that grow from step to step."""
    case, name, head = steps
    detector = built(head, case)
    for number, step in enumerate(case[head]):
        given = Given(case, head, f"{name}/ddod/{head}/step{number}")
        found = losses_of(detector, given, targets(case, step["images"]))
        assert set(found) == set(LOSSES)
        for mine, theirs in LOSSES.items():
            assert found[mine].item() == reference.close(step["losses"][theirs])
        torch.stack(list(found.values())).sum().backward()
        for kind, maps in given.leaves.items():
            for leaf, theirs in zip(maps, step["gradients"][kind], strict=True):
                assert leaf.grad is not None
                reference.assert_summary(leaf.grad, theirs)
        if "cls_running_count" in step:
            levels: Any = detector.supervisions[0].levels
            assert levels.cls.positives_seen.tolist() == step["cls_running_count"]
            assert levels.loc.positives_seen.tolist() == step["reg_running_count"]


@pytest.mark.parametrize("name", CASES)
def test_factors_of_levels(name: str) -> None:
    """Measured there as ratios of losses, to 1e-5."""
    case = CASES[name]
    levels: Any = built("DDODHead", case).supervisions[0].levels
    for step in case["DDODHead"]:
        for mine, theirs in (("cls", "cls"), ("loc", "reg")):
            counts = torch.tensor(step[f"{theirs}_assignment"]["positives_per_level"])
            factors = getattr(levels, mine)(counts).tolist()
            for factor, measured in zip(factors, step["factor"][theirs], strict=True):
                assert measured is None or factor == pytest.approx(measured, abs=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_before_the_first_object_all_levels_count_twice(name: str) -> None:
    case = CASES[name]
    theirs, detector = case["fresh_head_without_objects"], built("DDODHead", case)
    empty = Targets.pad([torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)])
    found = losses_of(detector, Given(case, "DDODHead", f"{name}/ddod/fresh"), empty)
    for mine, per_level in theirs["losses_per_level"].items():
        ours_name = {value: key for key, value in LOSSES.items()}[mine]
        assert found[ours_name].item() == reference.close(sum(per_level))


def predicted(name: str, head: str) -> tuple[DenseDetector, Predictions]:
    """A head with the rule's weights on features of 64 channels, without gradients."""
    case = CASES[name]
    detector = built(head, case, channels=64).eval()
    state = translate(reference_weights.state_dict(case[f"forward_{head}"]), laterals=3)
    if head == "DDODFCOSHead":
        for key in ("predictor.loc.weight", "predictor.loc.bias"):
            state[key] = state[key][OURS]
    missing, unknown = detector.load_state_dict(state, strict=False)
    assert not unknown
    assert not [key for key in missing if key.startswith(("heads.", "predictor."))]
    for module in detector.heads.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = 32  # ours have four channels or more
    maps = [reference.made(case, f"{name}/ddod/feature/{level}") for level in LEVELS]
    heads = detector.heads.tasks
    with torch.no_grad():
        towers = PerTask([heads.cls(x) for x in maps], [heads.loc(x) for x in maps])
        return detector, detector.predictor(towers, [tuple(x.shape[-2:]) for x in maps])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", CASES)
def test_towers_and_predictions(name: str, head: str) -> None:
    theirs, (_, found) = CASES[name][f"forward_{head}"]["outputs"], predicted(name, head)
    for level in LEVELS:
        box = found.loc[level]
        if head == "DDODFCOSHead":
            box = box[:, torch.tensor(OURS).argsort()]
        reference.assert_summary(found.cls[level], theirs[f"cls.{level}"])
        reference.assert_summary(box, theirs[f"box.{level}"])
        reference.assert_summary(found.extras["quality"][level], theirs[f"iou.{level}"])


@pytest.mark.parametrize("name", CASES)
def test_detections(name: str) -> None:
    """The class alone passes the threshold and is among the best; IoU multiplies for NMS."""
    theirs, size = CASES[name]["inference"], CASES[name]["scene"]
    detector, found = predicted(name, "DDODHead")
    raised = [x + theirs["added_to_cls_logits"] for x in found.cls]
    sizes = torch.tensor([[size["height"], size["width"]]])
    (best,) = detector.postprocess(Predictions(raised, found.loc, found.extras), sizes)
    assert len(best) == theirs["count"]
    count = len(theirs["boxes"])
    assert best.labels[:count].tolist() == theirs["labels"]
    reference.assert_close(best.scores[:count], theirs["scores"])
    reference.assert_close(best.boxes[:count], theirs["boxes"])
