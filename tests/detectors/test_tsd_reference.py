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


def ours(boxes: list) -> Tensor:
    made = torch.tensor(boxes).reshape(-1, 4)
    return torch.cat((made[:, :2], made[:, 2:] + 1), dim=1)


def theirs(boxes: Tensor) -> Tensor:
    return torch.cat((boxes[..., :2], boxes[..., 2:] - 1), dim=-1)


def background_last(rows: Tensor, width: int, dim: int) -> Tensor:
    return rows.roll(-width, dim)


class Case:
    """One set of inputs, and what the released code returned.

    Attributes:
        rois: its proposals as a padded batch; rows are 1 at least each.
        where: rows of the batch, laid flat, that are proposals.
        flat: (K, 5), the proposals.
    """

    def __init__(self, content: dict) -> None:
        self.content = content
        self.set = reference.set_of(content)
        scene = content["scene"]
        self.classes = scene["num_classes"]
        self.size = torch.tensor([scene["height"], scene["width"]])
        self.counts = [len(one["positive"]) + len(one["negative"]) for one in content["rois"]]
        self.rois = self._proposals()
        self.where = self.rois.valid.flatten().nonzero()[:, 0]
        self.flat = self.rois.flat()[self.where]
        self.targets = Targets.pad(
            [ours(image["boxes"]) for image in scene["images"]],
            [torch.tensor(image["labels"], dtype=torch.int64) for image in scene["images"]],
        )
        self.taught = self.rois.taught(self.targets, self.classes)

    def __getitem__(self, name: str):
        return self.content[name]

    def made(self, name: str) -> Tensor:
        return reference.made(self.content, f"{self.set}/tsd/{name}")

    def _proposals(self) -> Rois:
        most = max(self.counts)
        boxes = torch.zeros(len(self.counts), most, 4)
        matched = torch.full((len(self.counts), most), -2)
        for index, image in enumerate(self["rois"]):
            count = self.counts[index]
            boxes[index, :count] = ours(image["positive"] + image["negative"])
            objects = [*image["positive_object"], *[-1] * len(image["negative"])]
            matched[index, :count] = torch.tensor(objects)
        valid = matched > -2
        return Rois(boxes, valid, matched, torch.zeros_like(valid), valid.sum())

    def padded(self, rows: Tensor) -> Tensor:
        full = rows.new_zeros(self.rois.valid.numel(), *rows.shape[1:])
        return full.index_copy(0, self.where, rows)

    def pyramid(self, kind: type[RoiPyramid] = RoiPyramid) -> RoiPyramid:
        levels = [self.made(f"feature/{level}") for level in range(len(self["strides"]))]
        return kind([level.requires_grad_() for level in levels], self["strides"])


CASES = {one.set: one for one in map(Case, reference.cases("tsd"))}
LOSSES = [(name, each) for name, case in CASES.items() for each in case["losses"]]


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


class Given(nn.Module):
    """A network, or a branch, whose output is given."""

    def __init__(self, output: Tensor | BranchOutputs) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: object) -> Tensor | BranchOutputs:
        return self.output


class GivenPooled(RoiPyramid):
    """A pyramid of which RoIAlign reads the case's feature."""

    feature: Tensor

    def align(self, *given: object) -> Tensor:
        return self.feature


@pytest.fixture
def detector(case: Case) -> RoiDetector:
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
    return build_detector(settings.model_copy(update=changes), case.classes)


def test_levels_follow_the_sides_with_the_last_pixel(case):
    assert assign_levels(case.flat, len(case["strides"])).tolist() == case["roi_levels"]


def shift(detector: RoiDetector, task: str, output: Tensor, maps: RoiPyramid, rois: Tensor):
    """The option of the task with a given output of its network."""
    option = getattr(detector.main.sampling, task)
    option.network = Given(output)
    return option(maps, rois, output)


def test_pooling(detector, case):
    maps, told = case.pyramid(), case["pooling"]
    delta_c = case.made("delta_c").requires_grad_()
    wanted = {
        "zero_offset": ("cls", torch.zeros_like(delta_c)),
        "classification": ("cls", delta_c),
        "localisation": ("loc", case.made("delta_r").requires_grad_()),
    }
    pooled = {}
    for name, (task, output) in wanted.items():
        pooled[name] = shift(detector, task, output, maps, case.flat).features
        reference.assert_summary(pooled[name], told[name])
        reference.assert_close(pooled[name][0, 0], told[name]["roi_0_channel_0"])
        reference.assert_close(pooled[name].mean(dim=(1, 2, 3)), told[name]["roi_means"])
    (pooled["classification"].square().mean() + pooled["localisation"].square().mean()).backward()
    reference.assert_summary(wanted["classification"][1].grad, told["delta_c_gradient"])
    reference.assert_close(wanted["localisation"][1].grad, told["delta_r_gradient"])
    for level, gradient in zip(maps.levels, told["feature_gradients"], strict=True):
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
def load_weights(detector: RoiDetector, case: Case) -> None:
    told, ours = case["forward"], detector.state_dict()
    for name, shape in told["state_dict"].items():
        path, last = name.removeprefix("bbox_head.").rsplit(".", 1)
        values = weight(name, tuple(shape))
        if "fc_cls" in path:
            values = values + told["added_to_fc_cls_biases"] * (last == "bias")
            values = background_last(values, 1, 0)
        if "fc_reg" in path:
            values = background_last(values, 4, 0)
        ours.pop(f"{NAMES[path]}.{last}").copy_(values)
    assert not [name for name in ours if name.startswith(("main.", "sibling."))]


@torch.no_grad()
def test_branches(detector, case):
    load_weights(detector, case)
    maps = case.pyramid(GivenPooled)
    maps.feature = case.made("roi_feature")
    regions = PerTask.both(Regions(maps, case.flat))
    main, beside = detector.main(regions), detector.sibling(regions)
    found = {
        "cls_score": beside.logits["cls"].roll(1, 1),
        "bbox_pred": beside.boxes["loc"].deltas.roll(4, 1),
        "TSD_cls_score": main.logits["cls"].roll(1, 1),
        "TSD_bbox_pred": main.boxes["loc"].deltas.roll(4, 1),
    }
    for name, output in found.items():
        reference.assert_summary(output, case["forward"]["outputs"][name])
    embedding = detector.main.embedding(maps, case.flat)
    for task, name in (("cls", "delta_c"), ("loc", "delta_r")):
        output = getattr(detector.main.sampling, task).network(embedding)
        reference.assert_summary(output, case["forward"]["outputs"][name])
    sides = (case.flat[:, 3:] - case.flat[:, 1:3]).repeat(1, 2)
    shifted = 0.1 * torch.tensor(case["forward"]["delta_r"]).repeat(1, 2) * sides
    references = main.boxes["loc"].references
    torch.testing.assert_close(references, case.flat[:, 1:] + shifted, rtol=1e-4, atol=1e-3)


def predictions(case: Case) -> dict[str, Tensor]:
    """Both branches' predictions as leaves, edited as the case says."""
    keys = ["cls_score", "bbox_pred", "TSD_cls_score", "TSD_bbox_pred"]
    made = {key: case.made(f"loss/{key}") for key in keys}
    made["delta_r"] = case.made("delta_r")
    start = 0
    for image in case["rois"]:
        labels = case["scene"]["images"][image["image"]]["labels"]
        for j, index in enumerate(image["positive_object"]):
            if j % 2 == 0:
                made["TSD_cls_score"][start + j, labels[index] + 1] += 4
            if j % 3 == 0:
                made["cls_score"][start + j, labels[index] + 1] += 5
        start += len(image["positive"]) + len(image["negative"])
    return {key: value.requires_grad_() for key, value in made.items()}


def outputs_of(detector: RoiDetector, made: dict[str, Tensor], case: Case):
    """(main, sibling) outputs for the case's proposals."""
    boxes = case.rois.flat()[:, 1:]
    shifted = shift(detector, "loc", made["delta_r"], case.pyramid(), case.flat).boxes
    references = boxes.index_copy(0, case.where, shifted)

    def output(prefix: str, at: Tensor) -> BranchOutputs:
        logits = case.padded(background_last(made[f"{prefix}cls_score"], 1, 1))
        deltas = case.padded(background_last(made[f"{prefix}bbox_pred"], 4, 1))
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


def step_of(outputs: BranchOutputs, case: Case, rois: Rois | None = None) -> Step:
    rois = rois or case.rois
    regions = PerTask.both(Regions(case.pyramid(), rois.flat()))
    taught = PerTask.both(rois.taught(case.targets, case.classes))
    return Step(regions, taught, outputs, rois.sample_count)


def losses_of(
    detector: RoiDetector, name: str, made: dict[str, Tensor], case: Case
) -> dict[str, Tensor]:
    if name.endswith("no_shift"):
        made["delta_r"] = torch.zeros_like(made["delta_r"]).requires_grad_()
    main, beside = outputs_of(detector, made, case)
    step = step_of(main, case)
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


@pytest.mark.parametrize(("case", "name"), LOSSES, indirect=["case"])
def test_losses_and_gradients(detector, case, name):
    told, made = case["losses"][name], predictions(case)
    losses = losses_of(detector, name, made, case)
    assert set(losses) == set(told["losses"])
    for key, value in told["losses"].items():
        assert losses[key].item() == reference.close(value)
    leaf = made["delta_r"]
    for key in ("loss_TSD_bbox", "loss_pc_loc"):
        (alone,) = torch.autograd.grad(losses[key], leaf, retain_graph=True)
        wanted = told[f"delta_r_gradient_of_{key}"]["abs_sum"]
        assert alone.abs().sum().item() == pytest.approx(wanted, rel=1e-3)
    sum(losses.values()).backward()
    for key, value in told["gradients"].items():
        if value is None:
            assert key == "delta_c"  # only pooling reaches it
        else:
            reference.assert_summary(made[key].grad, value)
    reference.assert_close(leaf.grad, told["delta_r_gradient"])


@pytest.mark.parametrize(("case", "name"), LOSSES, indirect=["case"])
def test_targets(detector, case, name):
    told, made = case["losses"][name], predictions(case)
    if name.endswith("no_shift"):
        made["delta_r"] = torch.zeros_like(made["delta_r"])
    main, beside = outputs_of(detector, made, case)
    labels = case.taught.labels[case.where]
    assert ((labels + 1) % (case.classes + 1)).tolist() == told["labels"]
    positive = case.rois.positive
    for output, key in ((main, "tsd"), (beside, "sibling")):
        boxes = output.boxes["loc"]
        wanted = case.taught.target_boxes[positive]
        targets = boxes.code.encode(wanted, boxes.references[positive])
        reference.assert_close(targets, told[f"{key}_targets_positive"])


@pytest.mark.parametrize(("case", "name"), LOSSES, indirect=["case"])
def test_hinge_of_each_proposal(detector, case, name):
    """An image without positives has one term, 0."""
    told, made = case["losses"][name], predictions(case)
    if name.endswith("no_shift"):
        made["delta_r"] = torch.zeros_like(made["delta_r"])
    main, beside = outputs_of(detector, made, case)
    alone = sibling_of(detector, name, beside, "as-others")

    def hinge(image: int, index: int, key: str) -> float:
        chosen = torch.zeros_like(case.rois.valid)
        chosen[image, index] = True
        one = replace(case.rois, valid=chosen, matched=case.rois.matched.where(chosen, -2))
        return alone.losses(step_of(main, case, one))[key]

    found: dict[str, list[float]] = {"cls": [], "loc": []}
    for image, rois in enumerate(case["rois"]):
        count = len(rois["positive"])
        for key, many in (("cls", case.counts[image] if count else 0), ("loc", count)):
            terms = [hinge(image, i, f"constraint_{key}").item() for i in range(many)]
            found[key] += terms or [0.0]
    assert found["cls"] == [reference.close(value) for value in told["pc_cls"]]
    assert found["loc"] == [reference.close(value) for value in told["pc_loc"]]


def test_the_two_readings_of_images_without_positives(detector, case):
    """The plain mean is over all proposals, or all positives, of the batch."""
    told = case["losses"]["margin_0.3"]
    main, beside = outputs_of(detector, predictions(case), case)
    plain = sibling_of(detector, "m_0.3", beside, "as-others").losses(step_of(main, case))
    positives, proposals = int(case.rois.positive.sum()), sum(case.counts)
    assert plain["constraint_loc"].item() == reference.close(sum(told["pc_loc"]) / positives)
    # An image without positives counts.
    assert not all(image["positive"] for image in case["rois"])
    assert plain["constraint_cls"].item() > sum(told["pc_cls"]) / proposals
    assert told["losses"]["loss_pc_loc"] < plain["constraint_loc"].item()


def test_decoding_at_test(detector, case):
    told, count = case["decode_image_0"], case.counts[0]
    main, _ = outputs_of(detector, predictions(case), case)
    whole = main.boxes["loc"]
    output = BoxDeltas(whole.deltas[:count], whole.references[:count], whole.code)
    reference.assert_close(theirs(output.references), told["shifted_rois"])
    boxes = theirs(clip(output.decode_all(), case.size))
    reference.assert_close(boxes[:, 0], told["boxes_of_class_1"])
    assert boxes.sum().item() == pytest.approx(told["boxes_sum"], rel=1e-4)
    reference.assert_close(main.logits["cls"][:count].softmax(1).roll(1, 1), told["scores"])


def test_overlap_with_the_last_pixel(case):
    told = case["iou_integer_convention"]
    reference.assert_close(aligned_iou(ours(told["a"]), ours(told["b"])), told["iou"])
