"""Decoupled R-CNN's samples, losses, refinement, gradients and detections against its released code
(reference/README.md). Its samplers draw nothing at random here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import authors_reference as reference
import pytest
import torch
from reference_weights import weight
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.detectors.roi import RoiDetector
from detbench.ops.coding import Delta
from detbench.recipe import load, resolve
from detbench.recipe.base import PerTaskSpec
from detbench.recipe.detector import Roi
from detbench.recipe.model import ResNet
from detbench.recipe.roi import BoxLoss, Fc, RoiSupervision
from detbench.stages.assignment.proposals import ProposalSampler, Rois
from detbench.structures import Targets

CASE = reference.case("decoupled_rcnn")
CLASSES = CASE["scene"]["num_classes"]
SIZE = (CASE["scene"]["height"], CASE["scene"]["width"])
IMAGES = len(CASE["scene"]["images"])
SIZES = torch.tensor([SIZE] * IMAGES)
MODELS = ["refine", "single", "single_shared_fc"]
TARGETS = Targets.pad(
    [torch.tensor(image["boxes"]).reshape(-1, 4) for image in CASE["scene"]["images"]],
    [torch.tensor(image["labels"], dtype=torch.int64) for image in CASE["scene"]["images"]],
)
STANDS_IN = torch.zeros(IMAGES, 3, *SIZE)


@dataclass
class GivenSets:
    """An image's proposals after NMS."""

    cls: Tensor
    loc: Tensor

    def suppressed(self, iou: float, count: int) -> Tensor:
        return {0.7: self.cls, 0.85: self.loc}[iou]


class GivenRpn(nn.Module):
    """An RPN whose proposals are the case's."""

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return [], []

    def losses(self, *given: object) -> dict[str, Tensor]:
        return {}

    def propose(self, *given: object) -> list[GivenSets]:
        return [
            GivenSets(
                torch.tensor(each["classification_set"]), torch.tensor(each["regression_set"])
            )
            for each in CASE["proposals"]
        ]


def settings_of(name: str) -> Roi:
    """The recipe, or its single-stage forms, with 16 channels and heads of 48."""
    settings = load.detector("decoupled-rcnn-r50").detector
    assert isinstance(settings, Roi)
    fc, refining = Fc(kind="fc", channels=48), Fc(kind="fc", channels=48, init="default")
    heads = PerTaskSpec(cls=fc, loc=fc)
    rounds = tuple(
        each.model_copy(update={"heads": PerTaskSpec(both=refining)}) for each in settings.rounds
    )
    changes = {
        "backbone": ResNet(kind="resnet", depth=10, width=0.125),
        "neck": settings.neck.model_copy(update={"channels": 16}),
        "heads": heads,
        "rounds": rounds if name == "refine" else (),
    }
    if name == "single_shared_fc":  # the code divides by half of the rows
        changes["heads"] = PerTaskSpec(both=fc)
        changes["supervision"] = RoiSupervision(
            loc=BoxLoss(kind="box", weight=2.0, normaliser="both")
        )
    return settings.model_copy(update=changes)


PARTS = {
    "cls_fcs": "heads.cls.layers",
    "reg_fcs": "heads.loc.layers",
    "shared_fcs": "heads.both.layers",
    "fc_cls": "cls",
    "fc_reg": "loc",
}


def our_name(theirs: str) -> str:
    """Our name of a parameter of ``roi_head.bbox_head``."""
    path = theirs.removeprefix("roi_head.").removeprefix("bbox_head.").split(".")
    branch = "main"
    if path[0].isdigit():
        stage = int(path.pop(0))
        branch = "main" if stage == 0 else f"rounds.{stage - 1}"
    part = PARTS[path[0]] if branch == "main" else PARTS[path[0]].replace(".loc.", ".both.")
    layer = [str(2 * int(path[1]))] if len(path) == 3 else []
    return ".".join([branch, part, *layer, path[-1]])


@pytest.fixture(params=MODELS)
def loaded(request) -> tuple[RoiDetector, dict]:
    """A detector with the case's weights and maps, and the case."""
    case = CASE[request.param]
    detector = build_detector(settings_of(request.param), CLASSES)
    ours = {name: value for name, value in detector.named_parameters() if "rpn" not in name}
    with torch.no_grad():
        for name, shape in case["state_dict"].items():
            half = 0.5 if "fc_reg" in name else 1.0
            ours.pop(our_name(name)).copy_(half * weight(name, tuple(shape)))
    assert not [name for name in ours if name.startswith(("main", "rounds"))]
    maps = [reference.made(CASE, f"A/decoupled/feature/{level}") for level in range(4)]
    detector.pyramid = lambda images: ([], maps)
    detector.rpn = GivenRpn()
    return detector, case


@pytest.fixture
def sampled(monkeypatch) -> list[tuple[Tensor, Rois]]:
    """What each call of a sampler was given and gave: stage 0's two, then one a stage."""
    calls = []
    sample = ProposalSampler.sample

    def recorded(self, boxes, valid, targets):
        rois = sample(self, boxes, valid, targets)
        calls.append((boxes, rois))
        return rois

    monkeypatch.setattr(ProposalSampler, "sample", recorded)
    return calls


def stages_of(calls: list[tuple[Tensor, Rois]]) -> list[dict[str, Rois]]:
    first = {"classification": calls[0][1], "regression": calls[1][1]}
    return [first, *[{"regression": rois} for _, rois in calls[2:]]]


def test_losses_of_each_stage(loaded):
    detector, case = loaded
    losses = detector.train().losses(STANDS_IN, TARGETS)
    ours = {"loss_cls": "cls", "loss_bbox": "loc", "s0.loss_cls": "cls", "s0.loss_bbox": "loc"}
    ours |= {f"s{stage}.loss_bbox": f"round{stage + 1}_loc" for stage in (1, 2)}
    assert {ours[name] for name in case["losses"]} == set(losses)
    for name, value in case["losses"].items():
        assert losses[ours[name]].item() == reference.close(value)
    weights = [each.weight for each in detector.stages]
    for stage, factor in zip(case["stages"], weights, strict=True):
        name = f"round{stage['stage'] + 1}_loc" if stage["stage"] else "loc"
        before = stage["losses_before_stage_weight"]["loss_bbox"]
        assert losses[name].item() / factor == reference.close(before)


def test_gradients(loaded):
    detector, case = loaded
    sum(detector.train().losses(STANDS_IN, TARGETS).values()).backward()
    ours = dict(detector.named_parameters())
    for name, norm in case["gradient_norms"].items():
        assert ours[our_name(name)].grad.norm().item() == pytest.approx(norm, rel=1e-3)


def test_sampled_rows(loaded, sampled):
    detector, case = loaded
    detector.train().losses(STANDS_IN, TARGETS)
    stages = stages_of(sampled)
    assert len(stages) == len(case["stages"])
    for ours, theirs in zip(stages, case["stages"], strict=True):
        assert sum(int(rois.valid.sum()) for rois in ours.values()) == theirs["rows"]
        for image, wanted in enumerate(theirs["images"]):
            for task, rois in ours.items():
                positive = rois.matched[image] >= 0
                rows = wanted[task]
                assert rois.matched[image][positive].tolist() == rows["positive_object"]
                assert int((rois.matched[image] == -1).sum()) == rows["num_negative"]
                itself = rows.get("positive_is_object_itself")
                assert (
                    itself is None or rois.is_ground_truth[image][positive].int().tolist() == itself
                )


def test_which_proposals_are_positive(loaded, sampled):
    """Indices count the objects first where they were added."""
    detector, case = loaded
    detector.train().losses(STANDS_IN, TARGETS)
    for image, wanted in enumerate(case["stages"][0]["images"]):
        given = CASE["proposals"][image]
        objects = TARGETS.boxes[image][TARGETS.valid[image]]
        sources = {
            "classification": torch.cat((objects, torch.tensor(given["classification_set"]))),
            "regression": torch.tensor(given["regression_set"]),
        }
        for task, rois in stages_of(sampled)[0].items():
            chosen = rois.boxes[image][rois.matched[image] >= 0]
            assert torch.equal(chosen, sources[task][wanted[task]["positive"]])


def test_labels_of_each_row(loaded, sampled):
    """Rows are image by image, those of classification first; positives, then background."""
    detector, case = loaded
    detector.train().losses(STANDS_IN, TARGETS)
    for ours, theirs in zip(stages_of(sampled), case["stages"], strict=True):
        found: dict[str, list[int]] = {task: [] for task in ours}
        for image in range(IMAGES):
            for task, rois in ours.items():
                labels = rois.taught(TARGETS, CLASSES).labels.reshape(rois.matched.shape)[image]
                matched = rois.matched[image]
                rows = labels[matched >= 0].tolist() + labels[matched == -1].tolist()
                for other in found:
                    found[other] += rows if other == task else [-100] * len(rows)
        for task, labels in found.items():
            assert labels == theirs[f"labels_{task}"]


def test_targets_of_each_stage(loaded, sampled):
    detector, case = loaded
    detector.train().losses(STANDS_IN, TARGETS)
    codes = [each.branch.predicts.code for each in detector.stages]
    for ours, theirs, code in zip(stages_of(sampled), case["stages"], codes, strict=True):
        assert isinstance(code, Delta)
        rois = ours["regression"]
        boxes, positive = rois.boxes.flatten(0, 1), rois.positive
        wanted = rois.taught(TARGETS, CLASSES).target_boxes
        total = code.encode(wanted[positive], boxes[positive]).sum(dim=0)
        torch.testing.assert_close(total, torch.tensor(theirs["target_sum"]), rtol=1e-3, atol=1e-3)


def test_refined_proposals(loaded, sampled):
    """Refined positives, then the background as it was."""
    detector, case = loaded
    detector.train().losses(STANDS_IN, TARGETS)
    stages = stages_of(sampled)
    for number, (stage, before) in enumerate(zip(case["stages"], stages, strict=True)):
        for image, wanted in enumerate(stage.get("next_proposals", [])):
            rois, (boxes, _) = before["regression"], sampled[number + 2]
            matched = rois.matched[image]
            order = torch.cat((boxes[image][matched >= 0], boxes[image][matched == -1]))
            assert len(order) == wanted["count"]
            torch.testing.assert_close(
                order[:8], torch.tensor(wanted["first_8"]), rtol=1e-4, atol=1e-3
            )
            torch.testing.assert_close(
                order.sum(dim=0), torch.tensor(wanted["sum"]), rtol=1e-4, atol=1e-2
            )
            unrefined = rois.boxes[image][matched == -1]
            assert torch.equal(boxes[image][matched == -1], unrefined)


@torch.no_grad()
def test_detections(loaded):
    detector, case = loaded
    found = detector.eval().detect(STANDS_IN, SIZES)
    for ours, theirs in zip(found, case["detections"], strict=True):
        assert len(ours) == theirs["count"]
        for index, best in enumerate(theirs["top"]):
            assert ours.labels[index].item() == best["label"]
            assert ours.scores[index].item() == pytest.approx(best["score"], rel=1e-4)
            assert ours.boxes[index].tolist() == pytest.approx(best["box"], abs=0.01)


def test_without_positives_the_box_loss_is_a_zero_with_a_gradient(loaded):
    detector, _ = loaded
    nothing = Targets.pad(
        [torch.zeros(0, 4)] * IMAGES, [torch.zeros(0, dtype=torch.int64)] * IMAGES
    )
    losses = detector.train().losses(STANDS_IN, nothing)
    boxes = {name: loss for name, loss in losses.items() if name.endswith("loc")}
    assert {loss.item() for loss in boxes.values()} == {0.0}
    sum(losses.values()).backward()
    for branch in (detector.main, *detector.rounds):
        assert not branch.loc.weight.grad.any()


@torch.no_grad()
def test_two_sets_from_one_rpn():
    """Each NMS is cut to its count, levels apart."""
    case = CASE["rpn_two_sets"]
    detector = build_detector(settings_of("single"), CLASSES).train()
    limit = case["settings"]["nms_pre"]
    detector.rpn.settings = replace(detector.rpn.settings, train_candidates=limit)
    maps = {
        kind: [reference.made(CASE, f"A/decoupled/rpn/{kind}/{level}") for level in range(5)]
        for kind in ("cls", "delta")
    }
    (scored,) = detector.rpn.propose(maps["cls"], maps["delta"], SIZES[:1])
    sets = zip(
        ("classification_set", "regression_set"),
        case["settings"]["nms_thr"],
        case["before_cutting"],
        strict=True,
    )
    for name, iou, whole in sets:
        assert len(scored.suppressed(iou, 10_000)) == whole
        boxes = scored.suppressed(iou, case["settings"]["nms_post"])
        assert len(boxes) == case[name]["count"]
        first = torch.tensor(case[name]["first_10"])[:, :4]
        torch.testing.assert_close(boxes[:10], first, rtol=1e-4, atol=1e-3)
        total = torch.tensor(case[name]["sum"])[:4]
        torch.testing.assert_close(boxes.sum(dim=0), total, rtol=1e-4, atol=1e-2)


def test_the_tables_follow_the_comments_on_lambda():
    """Without cascade: half of the rows on VOC (a weight of 2), all of them on COCO."""
    for name, wanted in (("decoupled-rcnn-table7", 2.0), ("decoupled-rcnn-table8", 1.0)):
        rows = resolve.cells(load.table(name), load.profile("paper"), [0])
        single = [
            each.cell.detector
            for each in rows
            if each.cell is not None
            and each.row.detector.startswith("decoupled")
            and not each.cell.detector.rounds
        ]
        assert single
        for detector in single:
            loss = detector.supervision.loc
            assert (loss.normaliser, loss.weight) == ("both", wanted)
