"""AutoAssign and DW against their released code (reference/README.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import authors_reference as reference
import pytest
import reference_weights
import torch
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector
from detbench.detectors.importer import translate
from detbench.pertask import PerTask
from detbench.recipe import load
from detbench.recipe.assignment import CenterPrior
from detbench.stages.pairs import AT_ONCE
from detbench.stages.predictor import Predictions
from detbench.stages.predictor.refined import refine
from detbench.structures import Targets

AUTOASSIGN = {reference.set_of(case): case for case in reference.cases("autoassign")}
DW = {reference.set_of(case): case for case in reference.cases("dw")}
LEVELS, STRIDES = range(5), (8, 16, 32, 64, 128)
HARD = CenterPrior(kind="center-prior", sigma=1.11, learnt=False, threshold=0.3)


def built(name: str, case: dict, channels: int = 256, assigner: Any = None) -> DenseDetector:
    """Of a recipe, with the case's classes."""
    spec = load.detector(name).detector
    tower = spec.heads.of("cls").model_copy(update={"channels": channels})
    changes: dict[str, Any] = {
        "heads": spec.heads.model_copy(update={"cls": tower, "loc": tower}),
        "neck": spec.neck.model_copy(update={"channels": channels}),
    }
    if assigner is not None:
        changes["assignment"] = spec.assignment.model_copy(update={"both": assigner})
    found = build_detector(spec.model_copy(update=changes), case["scene"]["num_classes"])
    assert isinstance(found, DenseDetector)
    return found.train()


class Given:
    """A case's maps as predictions, each a leaf; boxes are distances in pixels."""

    def __init__(self, case: dict, path: str, boxes: str = "ltrb") -> None:
        self.leaves = {
            ours: [
                reference.made(case, f"{path}/{theirs}/{level}").requires_grad_()
                for level in LEVELS
            ]
            for ours, theirs in (("cls", "cls"), (boxes, "ltrb"), ("obj", "obj"))
        }
        code = [x / stride for x, stride in zip(self.leaves[boxes], STRIDES, strict=True)]
        self.predictions = Predictions(self.leaves["cls"], code, {"objectness": self.leaves["obj"]})


def targets(case: dict, images: list[int], without: dict[str, list[int]] | None = None) -> Targets:
    """Of these images of the scene, ``without`` some objects of each."""
    boxes, labels = [], []
    for index in images:
        image, left_out = case["scene"]["images"][index], (without or {}).get(str(index), [])
        kept = [number for number in range(len(image["boxes"])) if number not in left_out]
        boxes.append(torch.tensor([image["boxes"][number] for number in kept]).reshape(-1, 4))
        labels.append(torch.tensor([image["labels"][number] for number in kept]).long())
    return Targets.pad(boxes, labels)


def losses_of(detector: DenseDetector, given: Given, wanted: Targets) -> dict[str, Tensor]:
    (supervision,) = detector.supervisions
    found: dict[str, Tensor] = supervision(detector.outputs(given.predictions), wanted, 0.0)
    return found


def assert_gradients(given: Given, theirs: dict) -> None:
    for kind, maps in given.leaves.items():
        for leaf, summary in zip(maps, theirs[kind], strict=True):
            assert leaf.grad is not None
            reference.assert_summary(leaf.grad, summary)


# --- AutoAssign ---------------------------------------------------------------------------------

PRIORS = ("initial", "initial_covered", "learned_prior", "learned_prior_covered")
NAMES = {"positive": "loss_pos", "negative": "loss_neg", "center": "loss_norm"}


@pytest.mark.parametrize("at_once", [AT_ONCE, 4000])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", AUTOASSIGN)
def test_autoassign(name: str, prior: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and gradients, the prior's too; in parts of two objects as all at once."""
    monkeypatch.setattr("detbench.stages.pairs.AT_ONCE", at_once)
    case = AUTOASSIGN[name]
    detector, given = built("autoassign-r50", case), Given(case, f"{name}/autoassign")
    assigner: Any = detector.supervisions[0].assigners.both
    if "learned" in prior:
        with torch.no_grad():
            assigner.mean.copy_(reference.made(case, f"{name}/autoassign/mu"))
            assigner.sigma.copy_(reference.made(case, f"{name}/autoassign/sigma"))
    without = case["removed_in_covered"] if "covered" in prior else {}
    found = losses_of(detector, given, targets(case, case["images"], without))
    assert set(found) == set(NAMES)
    for mine, theirs in NAMES.items():
        assert found[mine].item() == reference.close(case[prior]["losses"][theirs])
    torch.stack(list(found.values())).sum().backward()
    gradients = case[prior]["gradients"]
    assert_gradients(given, gradients)
    reference.assert_close(assigner.mean.grad, gradients["mu"])
    reference.assert_close(assigner.sigma.grad, gradients["sigma"])


@pytest.mark.parametrize("name", AUTOASSIGN)
def test_autoassigns_points_are_at_the_cells_corners(name: str) -> None:
    case = AUTOASSIGN[name]
    found = built("autoassign-r50", case).candidates(Given(case, f"{name}/autoassign").predictions)
    assert case["point_offset"] == 0
    assert found.points[:2].tolist() == [[0, 0], [8, 0]]


# --- DW -------------------------------------------------------------------------------------------

DW_NAMES = {"positive": "loss_cls_pos", "loc": "loss_loc", "negative": "loss_cls_neg"}


@pytest.mark.parametrize("at_once", [AT_ONCE, 6000])
@pytest.mark.parametrize("prior", ["soft_prior", "hard_prior"])
@pytest.mark.parametrize("name", DW)
def test_dw(name: str, prior: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch with an image without objects; the prior as released, and cut to nought and one."""
    monkeypatch.setattr("detbench.stages.pairs.AT_ONCE", at_once)
    case, given = DW[name], Given(DW[name], f"{name}/dw/loss", boxes="box")
    detector = built("dw-r50", case, assigner=HARD if prior == "hard_prior" else None)
    wanted = targets(case, [0, 1, 2])
    found = losses_of(detector, given, wanted)
    assert set(found) == set(DW_NAMES)
    for mine, theirs in DW_NAMES.items():
        assert found[mine].item() == reference.close(case[prior]["losses"][theirs])
    torch.stack(list(found.values())).sum().backward()
    assert_gradients(given, case[prior]["gradients"])
    outputs = detector.outputs(given.predictions).detached
    pairs = detector.supervisions[0].assigners.tasks.cls(outputs, wanted, 0.0).pairs
    for image, theirs in enumerate(case[prior]["images"]):
        count = len(theirs["inside_count"])
        assert (pairs[image] > 0).sum(dim=-1)[:count].tolist() == theirs["inside_count"]
        assert not pairs[image, count:].any()
        reference.assert_close(pairs[image, :count].sum(dim=-1), theirs["prior_sum"])


@pytest.mark.parametrize("image", range(3))
@pytest.mark.parametrize("name", DW)
def test_dw_of_single_images(name: str, image: int) -> None:
    case = DW[name]
    theirs = case["single_images"][image]
    given = Given(case, f"{name}/dw/single{image}")
    found = losses_of(built("dw-r50", case), given, targets(case, [theirs["image"]]))
    for mine, theirs_name in DW_NAMES.items():
        assert found[mine].item() == reference.close(theirs["losses"][theirs_name])


@pytest.mark.parametrize("name", DW)
def test_dw_weights(name: str) -> None:
    """Of each object's best places, and of places that are no plain negatives of a class."""
    case, detector = DW[name], built("dw-r50", DW[name])
    theirs, wanted = case["weights_image0"], targets(DW[name], [0])
    outputs = detector.outputs(Given(case, f"{name}/dw/single0").predictions)
    joint, assigned = seen(detector, outputs, wanted)
    positive = joint._weights(outputs, assigned)[0]
    for each in theirs["positive_weight"]:
        own = positive[each["gt"]]
        assert own.sum().item() == reference.close(each["sum"])
        best = own.topk(len(each["location"]))
        assert best.indices.tolist() == each["location"]
        reference.assert_close(best.values, each["weight"])
    negative = joint._negative_weights(outputs, assigned)[0]
    below = (negative < 1).nonzero().tolist()
    assert len(below) == theirs["negative_weight_below_one_count"]
    listed = theirs["negative_weight_below_one"]
    assert [[place, kind] for place, kind, _ in listed] == below[: len(listed)]
    for place, kind, weight in listed:
        assert negative[place, kind].item() == pytest.approx(weight, rel=1e-4, abs=1e-5)
    complement = (1 - negative).sum().item()
    assert complement == pytest.approx(theirs["negative_weight_sum_of_complement"], rel=1e-4)


def seen(detector: DenseDetector, outputs: Any, wanted: Targets) -> tuple[Any, Any]:
    """The joint criterion, and what it is given."""
    given: list[Any] = []
    joint = detector.supervisions[0].losses["joint"]
    hook = joint.register_forward_pre_hook(lambda module, inputs: given.append(inputs[1].cls))
    detector.supervisions[0](outputs, wanted, 0.0)
    hook.remove()
    return joint, given[0]


def predicted(name: str, detector_name: str, record: str) -> tuple[DenseDetector, Predictions]:
    """A head with the rule's weights on features of 64 channels."""
    case = DW[name]
    theirs = case[record]
    detector = built(detector_name, case, channels=64).eval()
    state = translate(reference_weights.state_dict(theirs), laterals=3)
    for key in [key for key in state if key.startswith("predictor.quality.")]:
        state[key.replace("quality", "objectness")] = state.pop(key)
    state["predictor.loc.bias"] = state["predictor.loc.bias"] + theirs["added_to_conv_reg_bias"]
    missing, unknown = detector.load_state_dict(state, strict=False)
    assert not unknown
    assert not [key for key in missing if key.startswith(("heads.", "predictor."))]
    for module in detector.heads.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = 32  # ours have four channels or more
    maps = [reference.made(case, f"{name}/dw/feature/{level}") for level in LEVELS]
    heads = detector.heads.tasks
    towers = PerTask([heads.cls(x) for x in maps], [heads.loc(x) for x in maps])
    return detector, detector.predictor(towers, [tuple(x.shape[-2:]) for x in maps])


def pixels(predictions: Predictions) -> Iterator[Tensor]:
    """Distances of each level."""
    for level, stride in zip(predictions.loc, STRIDES, strict=True):
        yield level.clamp(min=0) * stride


FORWARDS = {"forward_refine": "dw-r50", "forward_plain": "dw-plain-r50"}
PARAMETERS = {
    "conv_reg.weight": "loc.weight",
    "conv_reg.bias": "loc.bias",
    "reg_offset.weight": "feet.weight",
    "reg_offset.bias": "feet.bias",
}


@pytest.mark.parametrize("record", FORWARDS)
@pytest.mark.parametrize("name", DW)
def test_towers_boxes_and_their_gradients(name: str, record: str) -> None:
    theirs = DW[name][record]
    detector, found = predicted(name, FORWARDS[record], record)
    boxes = list(pixels(found))
    for level in LEVELS:
        for key, ours in (
            ("cls", found.cls[level]),
            ("ltrb", boxes[level]),
            ("obj", found.extras["objectness"][level]),
        ):
            reference.assert_summary(ours, theirs["outputs"][f"{key}.{level}"])
    torch.stack([level.square().mean() for level in boxes]).sum().backward()
    parameters = dict(detector.predictor.named_parameters())
    scales: Any = detector.predictor.scales
    gradients = dict(theirs["box_path_gradients"])
    gradients.pop("loss")
    for level in LEVELS:
        one = gradients.pop(f"scales.{level}.scale")
        assert scales.grad[level].item() == pytest.approx(one["sum"], rel=1e-3)
    assert set(gradients) <= set(PARAMETERS)
    assert ("reg_offset.bias" in gradients) == (record == "forward_refine")
    for key, summary in gradients.items():
        reference.assert_summary(parameters[PARAMETERS[key]].grad, summary)


@pytest.mark.parametrize("name", DW)
def test_dw_detections(name: str) -> None:
    """What passes the threshold and is among the best does so by class times objectness."""
    case = DW[name]
    theirs, size = case["inference"], case["scene"]
    detector, found = predicted(name, "dw-r50", "forward_refine")
    image = theirs["image"]

    def of(maps: list[Tensor]) -> list[Tensor]:
        return [level[image : image + 1].detach() for level in maps]

    raised = [level + theirs["added_to_cls_logits"] for level in of(found.cls)]
    extras = {key: of(maps) for key, maps in found.extras.items()}
    sizes = torch.tensor([[size["height"], size["width"]]])
    (best,) = detector.postprocess(Predictions(raised, of(found.loc), extras), sizes)
    assert len(best) == theirs["count"]
    count = len(theirs["boxes"])
    assert best.labels[:count].tolist() == theirs["labels"]
    reference.assert_close(best.scores[:count], theirs["scores"])
    reference.assert_close(best.boxes[:count], theirs["boxes"])


@pytest.mark.parametrize("name", DW)
def test_refinement_alone(name: str) -> None:
    case = DW[name]
    theirs = case["refinement"]
    distances = reference.made(case, f"{name}/dw/refine/ltrb_over_stride")
    shifts = reference.made(case, f"{name}/dw/refine/offset")
    found = refine(distances, shifts, offset=0.5) * theirs["stride"]
    reference.assert_summary(found, theirs["ltrb_out"])
    row = torch.tensor(theirs["row_3"])
    torch.testing.assert_close(found[0, :, 3, : row.shape[1]], row, rtol=1e-4, atol=1e-4)
    reference.assert_close(found[0, :, 0, 0], theirs["corner"])
    assert int((found == 0).sum()) == theirs["zeros"]
