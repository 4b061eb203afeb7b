"""TSD's shifts, branches, losses and gradients against its released code (reference/README.md).

Its boxes name their last pixel, ours the edge behind it: x2 there is x2 - 1 here, so that a width
of x2 - x1 + 1 is the same width. Its background is class 0, ours the last.
"""

from __future__ import annotations

from dataclasses import replace

import authors_reference as reference
import pytest
import torch
from reference_weights import weight
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.detectors.branch import BranchOutputs
from detbench.detectors.extras.sibling import Sibling
from detbench.detectors.roi import RoiDetector
from detbench.detectors.stage import Step
from detbench.ops.boxes import aligned_iou, clip
from detbench.ops.roi_pooling import assign_levels
from detbench.pertask import PerTask
from detbench.recipe import load
from detbench.recipe.model import Fpn, ResNet
from detbench.recipe.roi import Fc
from detbench.stages.assignment.proposals import Rois
from detbench.stages.sampling import Regions, RoiPyramid
from detbench.stages.supervision.roi import BoxDeltas, Constraint, WithoutPositives
from detbench.structures import Targets

CASE = reference.case("tsd")
CLASSES = CASE["scene"]["num_classes"]
COUNTS = [len(image["positive"]) + len(image["negative"]) for image in CASE["rois"]]
MOST = max(COUNTS)
SHIFTED = ["margin_0.3", "margin_0.2"]


def ours(boxes: list) -> Tensor:
    made = torch.tensor(boxes).reshape(-1, 4)
    return torch.cat((made[:, :2], made[:, 2:] + 1), dim=1)


def theirs(boxes: Tensor) -> Tensor:
    return torch.cat((boxes[..., :2], boxes[..., 2:] - 1), dim=-1)


def background_last(rows: Tensor, width: int, dim: int) -> Tensor:
    return rows.roll(-width, dim)


def proposals() -> Rois:
    """The case's proposals as a padded batch; rows are 1 at least each."""
    boxes = torch.zeros(len(COUNTS), MOST, 4)
    matched = torch.full((len(COUNTS), MOST), -2)
    for index, image in enumerate(CASE["rois"]):
        count = COUNTS[index]
        boxes[index, :count] = ours(image["positive"] + image["negative"])
        objects = [*image["positive_object"], *[-1] * len(image["negative"])]
        matched[index, :count] = torch.tensor(objects)
    valid = matched > -2
    return Rois(boxes, valid, matched, torch.zeros_like(valid), valid.sum())


ROIS = proposals()
WHERE = ROIS.valid.flatten().nonzero()[:, 0]
FLAT = ROIS.flat()[WHERE]
TARGETS = Targets.pad(
    [ours(image["boxes"]) for image in CASE["scene"]["images"]],
    [torch.tensor(image["labels"], dtype=torch.int64) for image in CASE["scene"]["images"]],
)


class Given(nn.Module):
    """A network, or a branch, whose output is given."""

    def __init__(self, output: Tensor | BranchOutputs) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: object) -> Tensor | BranchOutputs:
        return self.output


class GivenPooled(RoiPyramid):
    """A pyramid of which RoIAlign reads the case's feature."""

    def align(self, *given: object) -> Tensor:
        return reference.made(CASE, "A/tsd/roi_feature")


def pyramid(kind: type[RoiPyramid] = RoiPyramid) -> RoiPyramid:
    levels = [reference.made(CASE, f"A/tsd/feature/{level}") for level in range(4)]
    return kind([level.requires_grad_() for level in levels], CASE["strides"])


@pytest.fixture
def detector() -> RoiDetector:
    """The recipe on 16 channels, with heads of 64."""
    settings = load.detector("tsd-r50").detector
    narrow = {"both": None, "cls": None, "loc": None}

    def heads(pair):
        kept = {task: getattr(pair, task) for task in narrow}
        changed = {k: changed_fc(v) for k, v in kept.items() if v is not None}
        return pair.model_copy(update=changed)

    def changed_fc(head: Fc) -> Fc:
        return head.model_copy(update={"channels": 64})

    sibling = settings.sibling
    assert isinstance(settings.neck, Fpn)
    changes = {
        "backbone": ResNet(kind="resnet", depth=10, width=0.125),
        "neck": settings.neck.model_copy(update={"channels": 16}),
        "heads": heads(settings.heads),
        "sibling": sibling.model_copy(update={"heads": heads(sibling.heads)}),
    }
    return build_detector(settings.model_copy(update=changes), CLASSES)


def test_levels_follow_the_sides_with_the_last_pixel():
    assert assign_levels(FLAT, 4).tolist() == CASE["roi_levels"]


def shift(detector: RoiDetector, task: str, output: Tensor, maps: RoiPyramid):
    """The option of the task with a given output of its network."""
    option = getattr(detector.main.sampling, task)
    option.network = Given(output)
    return option(maps, FLAT, output)


def test_pooling(detector):
    maps, case = pyramid(), CASE["pooling"]
    wanted = {
        "zero_offset": ("cls", torch.zeros(27, 98)),
        "classification": ("cls", reference.made(CASE, "A/tsd/delta_c").requires_grad_()),
        "localisation": ("loc", reference.made(CASE, "A/tsd/delta_r").requires_grad_()),
    }
    pooled = {}
    for name, (task, output) in wanted.items():
        pooled[name] = shift(detector, task, output, maps).features
        reference.assert_summary(pooled[name], case[name])
        reference.assert_close(pooled[name][0, 0], case[name]["roi_0_channel_0"])
        reference.assert_close(pooled[name].mean(dim=(1, 2, 3)), case[name]["roi_means"])
    (pooled["classification"].square().mean() + pooled["localisation"].square().mean()).backward()
    reference.assert_summary(wanted["classification"][1].grad, case["delta_c_gradient"])
    reference.assert_close(wanted["localisation"][1].grad, case["delta_r_gradient"])
    for level, gradient in zip(maps.levels, case["feature_gradients"], strict=True):
        if gradient is None:  # no RoI is of that level
            assert level.grad is None or not level.grad.any()
        else:
            reference.assert_summary(level.grad, gradient)


NAMES = {
    "shared_fcs.0": "sibling.heads.both.layers.0",
    "shared_fcs.1": "sibling.heads.both.layers.2",
    "fc_cls": "sibling.cls",
    "fc_reg": "sibling.loc",
    "shared_fc.0": "main.embedding.layer",
    "delta_c.0": "main.sampling.cls.network.0",
    "delta_c.2": "main.sampling.cls.network.2",
    "delta_r.0": "main.sampling.loc.network.0",
    "delta_r.2": "main.sampling.loc.network.2",
    "TSD_pc_fcs.0": "main.heads.cls.layers.0",
    "TSD_pc_fcs.1": "main.heads.cls.layers.2",
    "TSD_pr_fcs.0": "main.heads.loc.layers.0",
    "TSD_pr_fcs.1": "main.heads.loc.layers.2",
    "TSD_fc_cls": "main.cls",
    "TSD_fc_reg": "main.loc",
}


@torch.no_grad()
def load_weights(detector: RoiDetector) -> None:
    case, ours = CASE["forward"], detector.state_dict()
    for name, shape in case["state_dict"].items():
        path, last = name.removeprefix("bbox_head.").rsplit(".", 1)
        values = weight(name, tuple(shape))
        if "fc_cls" in path:
            values = values + case["added_to_fc_cls_biases"] * (last == "bias")
            values = background_last(values, 1, 0)
        if "fc_reg" in path:
            values = background_last(values, 4, 0)
        ours.pop(f"{NAMES[path]}.{last}").copy_(values)
    assert not [name for name in ours if name.startswith(("main.", "sibling."))]


@torch.no_grad()
def test_branches(detector):
    load_weights(detector)
    regions = PerTask.both(Regions(pyramid(GivenPooled), FLAT))
    main, beside = detector.main(regions), detector.sibling(regions)
    found = {
        "cls_score": beside.logits["cls"].roll(1, 1),
        "bbox_pred": beside.boxes["loc"].deltas.roll(4, 1),
        "TSD_cls_score": main.logits["cls"].roll(1, 1),
        "TSD_bbox_pred": main.boxes["loc"].deltas.roll(4, 1),
    }
    for name, output in found.items():
        reference.assert_summary(output, CASE["forward"]["outputs"][name])
    sides = (FLAT[:, 3:] - FLAT[:, 1:3]).repeat(1, 2)
    shifted = 0.1 * torch.tensor(CASE["forward"]["delta_r"]).repeat(1, 2) * sides
    references = main.boxes["loc"].references
    torch.testing.assert_close(references, FLAT[:, 1:] + shifted, rtol=1e-4, atol=1e-3)


def predictions() -> dict[str, Tensor]:
    """Both branches' predictions as leaves, edited as the case says."""
    keys = ["cls_score", "bbox_pred", "TSD_cls_score", "TSD_bbox_pred"]
    made = {key: reference.made(CASE, f"A/tsd/loss/{key}") for key in keys}
    made["delta_r"] = reference.made(CASE, "A/tsd/delta_r")
    start = 0
    for image in CASE["rois"]:
        labels = CASE["scene"]["images"][image["image"]]["labels"]
        for j, index in enumerate(image["positive_object"]):
            if j % 2 == 0:
                made["TSD_cls_score"][start + j, labels[index] + 1] += 4
            if j % 3 == 0:
                made["cls_score"][start + j, labels[index] + 1] += 5
        start += len(image["positive"]) + len(image["negative"])
    return {key: value.requires_grad_() for key, value in made.items()}


def padded(rows: Tensor) -> Tensor:
    return rows.new_zeros(ROIS.valid.numel(), *rows.shape[1:]).index_copy(0, WHERE, rows)


def outputs_of(detector: RoiDetector, made: dict[str, Tensor]):
    """(main, sibling) outputs for ``ROIS``."""
    boxes = ROIS.flat()[:, 1:]
    shifted = shift(detector, "loc", made["delta_r"], pyramid()).boxes
    references = boxes.index_copy(0, WHERE, shifted)

    def output(prefix: str, at: Tensor) -> BranchOutputs:
        logits = padded(background_last(made[f"{prefix}cls_score"], 1, 1))
        deltas = padded(background_last(made[f"{prefix}bbox_pred"], 4, 1))
        code = detector.main.predicts.code
        return BranchOutputs({"cls": logits}, {"loc": BoxDeltas(deltas, at, code)})

    return output("TSD_", references), output("", boxes)


def sibling_of(
    detector: RoiDetector, name: str, outputs: BranchOutputs, without: WithoutPositives = "one-zero"
) -> Sibling:
    """The detector's, whose branch says ``outputs``, with the case's constraint."""
    margin = float(name.split("_")[1])
    constraint = Constraint(PerTask(margin, margin), without)
    made = detector.stages[0].extras["sibling"]
    assert isinstance(made, Sibling)
    return replace(made, module=Given(outputs), constraint=constraint)


def step_of(outputs: BranchOutputs, rois: Rois = ROIS) -> Step:
    regions = PerTask.both(Regions(pyramid(), rois.flat()))
    taught = PerTask.both(rois.taught(TARGETS, CLASSES))
    return Step(regions, taught, outputs, rois.sample_count)


def losses_of(detector: RoiDetector, name: str, made: dict[str, Tensor]) -> dict[str, Tensor]:
    if name.endswith("no_shift"):
        made["delta_r"] = torch.zeros_like(made["delta_r"]).requires_grad_()
    main, beside = outputs_of(detector, made)
    step = step_of(main)
    ours = detector.stages[0].supervision(main, step.taught, step.of_both)
    others = sibling_of(detector, name, beside).losses(step)
    return {
        "loss_cls": others["sibling_cls"],
        "loss_TSD_cls": ours["cls"],
        "loss_bbox": others["sibling_loc"],
        "loss_TSD_bbox": ours["loc"],
        "loss_pc_cls": others["constraint_cls"],
        "loss_pc_loc": others["constraint_loc"],
    }


@pytest.mark.parametrize("name", CASE["losses"])
def test_losses_and_gradients(detector, name):
    case, made = CASE["losses"][name], predictions()
    losses = losses_of(detector, name, made)
    assert set(losses) == set(case["losses"])
    for key, value in case["losses"].items():
        assert losses[key].item() == reference.close(value)
    leaf = made["delta_r"]
    for key in ("loss_TSD_bbox", "loss_pc_loc"):
        (alone,) = torch.autograd.grad(losses[key], leaf, retain_graph=True)
        wanted = case[f"delta_r_gradient_of_{key}"]["abs_sum"]
        assert alone.abs().sum().item() == pytest.approx(wanted, rel=1e-3)
    sum(losses.values()).backward()
    for key, value in case["gradients"].items():
        if value is None:
            assert key == "delta_c"  # only pooling reaches it
        else:
            reference.assert_summary(made[key].grad, value)
    reference.assert_close(leaf.grad, case["delta_r_gradient"])


@pytest.mark.parametrize("name", CASE["losses"])
def test_targets(detector, name):
    case, made = CASE["losses"][name], predictions()
    if name.endswith("no_shift"):
        made["delta_r"] = torch.zeros_like(made["delta_r"])
    main, beside = outputs_of(detector, made)
    labels = ROIS.taught(TARGETS, CLASSES).labels[WHERE]
    assert ((labels + 1) % (CLASSES + 1)).tolist() == case["labels"]
    positive = ROIS.positive
    for output, key in ((main, "tsd"), (beside, "sibling")):
        boxes = output.boxes["loc"]
        wanted = ROIS.taught(TARGETS, CLASSES).target_boxes[positive]
        targets = boxes.code.encode(wanted, boxes.references[positive])
        reference.assert_close(targets, case[f"{key}_targets_positive"])


@pytest.mark.parametrize("name", SHIFTED)
def test_hinge_of_each_proposal(detector, name):
    """An image without positives has one term, 0."""
    case = CASE["losses"][name]
    main, beside = outputs_of(detector, predictions())
    alone = sibling_of(detector, name, beside, "as-others")

    def hinge(image: int, index: int, key: str) -> float:
        chosen = torch.zeros_like(ROIS.valid)
        chosen[image, index] = True
        one = replace(ROIS, valid=chosen, matched=ROIS.matched.where(chosen, -2))
        return alone.losses(step_of(main, one))[key]

    found: dict[str, list[float]] = {"cls": [], "loc": []}
    for image, rois in enumerate(CASE["rois"]):
        count = len(rois["positive"])
        for key, many in (("cls", COUNTS[image] if count else 0), ("loc", count)):
            terms = [hinge(image, i, f"constraint_{key}").item() for i in range(many)]
            found[key] += terms or [0.0]
    assert found["cls"] == [reference.close(value) for value in case["pc_cls"]]
    assert found["loc"] == [reference.close(value) for value in case["pc_loc"]]


def test_the_two_readings_of_images_without_positives(detector):
    """The plain mean is over all proposals, or all positives, of the batch."""
    case = CASE["losses"]["margin_0.3"]
    main, beside = outputs_of(detector, predictions())
    plain = sibling_of(detector, "m_0.3", beside, "as-others").losses(step_of(main))
    positives = int(ROIS.positive.sum())
    assert plain["constraint_loc"].item() == reference.close(sum(case["pc_loc"]) / positives)
    assert plain["constraint_cls"].item() > sum(case["pc_cls"]) / sum(COUNTS)  # image 1 counts
    assert case["losses"]["loss_pc_loc"] < plain["constraint_loc"].item()


def test_decoding_at_test(detector):
    case, made, count = CASE["decode_image_0"], predictions(), COUNTS[0]
    main, _ = outputs_of(detector, made)
    whole = main.boxes["loc"]
    output = BoxDeltas(whole.deltas[:count], whole.references[:count], whole.code)
    reference.assert_close(theirs(output.references), case["shifted_rois"])
    size = torch.tensor([CASE["scene"]["height"], CASE["scene"]["width"]])
    boxes = theirs(clip(output.decode_all(), size))
    reference.assert_close(boxes[:, 0], case["boxes_of_class_1"])
    assert boxes.sum().item() == pytest.approx(case["boxes_sum"], rel=1e-4)
    reference.assert_close(main.logits["cls"][:count].softmax(1).roll(1, 1), case["scores"])


def test_overlap_with_the_last_pixel():
    case = CASE["iou_integer_convention"]
    reference.assert_close(aligned_iou(ours(case["a"]), ours(case["b"])), case["iou"])
