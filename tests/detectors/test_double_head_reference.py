"""Double-Head's pooling, blocks, losses and readouts against its released code
(reference/README.md).

Boxes there name their last pixel, as in ``test_tsd_reference``: x2 there is x2 - 1 here. Its
background is class 0, ours the last.
"""

from __future__ import annotations

import authors_reference as reference
import pytest
import torch
from reference_weights import weight
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.detectors.branch import BranchOutputs
from detbench.detectors.readout import Readout, fuse
from detbench.detectors.roi import RoiDetector
from detbench.detectors.roi_settings import RoiPredictions
from detbench.ops.boxes import clip
from detbench.ops.roi_pooling import assign_levels, scaled
from detbench.pertask import PerTask
from detbench.recipe import load
from detbench.recipe.model import Fpn, ResNet
from detbench.recipe.roi import Unfocused
from detbench.stages.assignment.proposals import ProposalSampler, Rois, pad, with_index
from detbench.stages.heads.conv import Bottleneck, NonLocal, Widening
from detbench.stages.sampling import Regions, RoiPyramid
from detbench.stages.supervision.roi import BoxDeltas
from detbench.structures import Targets

CASE = reference.case("double_head")
CLASSES = CASE["scene"]["num_classes"]
SIZE = torch.tensor([CASE["scene"]["height"], CASE["scene"]["width"]])
WHOLE = ["released_ext", "plain_weights", "no_attention"]


def ours(boxes: list) -> Tensor:
    made = torch.tensor(boxes).reshape(-1, 4)
    return torch.cat((made[:, :2], made[:, 2:] + 1), dim=1)


def theirs(boxes: Tensor) -> Tensor:
    return torch.cat((boxes[..., :2], boxes[..., 2:] - 1), dim=-1)


SCENE = [CASE["scene"]["images"][index] for index in CASE["images"]]
TARGETS = Targets.pad(
    [ours(image["boxes"]) for image in SCENE],
    [torch.tensor(image["labels"]) for image in SCENE],
)
BOXES = [ours(image["boxes"]) for image in CASE["proposals"]]
COUNTS = [len(boxes) for boxes in BOXES]
FLAT = with_index(BOXES)
ROIS: Rois = ProposalSampler(0.5, 0.5, max(COUNTS), 1.0, add_ground_truth=False).sample(
    *pad(BOXES), TARGETS
)
WHERE = ROIS.valid.flatten().nonzero()[:, 0]


def pyramid() -> RoiPyramid:
    levels = [reference.made(CASE, f"A/doublehead/feature/{level}") for level in range(4)]
    return RoiPyramid(levels, CASE["strides"])


def built(name: str = "released_ext") -> RoiDetector:
    """Double-Head-Ext's recipe with the case's weights, 32 channels, and heads of 64."""
    case, settings = CASE[name], load.detector("double-head-ext-r50").detector
    conv_cls, conv_loc, fc_cls, fc_loc = case["weights"]
    heads, losses = settings.heads, settings.supervision
    conv = {"channels": 64, "non_local": case["attention"]}
    assert isinstance(settings.neck, Fpn)
    changes = {
        "backbone": ResNet(kind="resnet", depth=10, width=0.125),
        "neck": settings.neck.model_copy(update={"channels": 32}),
        "heads": heads.model_copy(
            update={
                "cls": heads.cls.model_copy(update={"channels": 64}),
                "loc": heads.loc.model_copy(update=conv),
            }
        ),
        "supervision": losses.model_copy(
            update={
                "cls": losses.cls.model_copy(update={"weight": fc_cls}),
                "loc": losses.loc.model_copy(update={"weight": conv_loc}),
                "unfocused": Unfocused(cls=conv_cls, loc=fc_loc),
            }
        ),
    }
    return build_detector(settings.model_copy(update=changes), CLASSES)


# --- pooling ----------------------------------------------------------------------------------


def test_regions_are_enlarged_about_their_centres_and_keep_their_level():
    case = CASE["pooling"]
    enlarged = scaled(FLAT, built().main.sampling.tasks.loc.bins.scale)[:, 1:]
    reference.assert_close(theirs(enlarged)[:5], case["expanded_boxes_first_5"])
    assert assign_levels(FLAT, 4).tolist() == case["levels"]
    assert assign_levels(torch.cat((FLAT[:, :1], enlarged), 1), 4).tolist() != case["levels"]


def test_pooling():
    tasks, maps = built().main.sampling.tasks, pyramid()
    for option, name in ((tasks.loc, "conv_1.3"), (tasks.cls, "fc_1.0")):
        reference.assert_summary(option(maps, FLAT, None).features, CASE["pooling"][name])


# --- blocks -----------------------------------------------------------------------------------

UNITS = {
    Widening: {"bottom.0": "conv1", "bottom.3": "conv2", "top.0": "shortcut"},
    Bottleneck: {"bottleneck.0": "conv1", "bottleneck.3": "conv2", "bottleneck.6": "conv3"},
}
"""Their convolutions, each followed by its norm, and ours."""
NON_LOCAL = {"theta": "query", "phi": "key", "g": "value", "W.0": "out", "W.bn": "norm"}


def names_of(block: nn.Module) -> dict[str, str]:
    """Their names of a block's layers -> ours."""
    if isinstance(block, NonLocal):
        return NON_LOCAL
    names = {}
    for conv, unit in UNITS[type(block)].items():
        side, number = conv.split(".")
        names |= {conv: f"{unit}.0", f"{side}.{int(number) + 1}": f"{unit}.1"}
    return names


@torch.no_grad()
def fill(block: nn.Module, prefix: str, shapes: dict[str, list[int]]) -> None:
    """The rule's weights of all of a block's layers, which are named under ``prefix`` there."""
    state = block.state_dict()
    for name, mine in names_of(block).items():
        for last in ("weight", "bias", "running_mean", "running_var"):
            if f"{prefix}.{name}.{last}" in shapes:
                shape = tuple(shapes[f"{prefix}.{name}.{last}"])
                state.pop(f"{mine}.{last}").copy_(weight(f"{prefix}.{name}.{last}", shape))
    assert all(name.endswith("num_batches_tracked") for name in state)


def blocks_of(name: str) -> nn.Sequential:
    """Ours of a case, and a non-local block's bottleneck, which is part of theirs."""
    match name:
        case "up_channels":
            return nn.Sequential(Widening(32, 64))
        case "bottleneck":
            return nn.Sequential(Bottleneck(64))
        case _:
            return nn.Sequential(NonLocal(64), Bottleneck(64))


@pytest.mark.parametrize("name", ["up_channels", "bottleneck", "non_local_4_groups"])
def test_blocks_in_evaluation_and_with_batch_statistics(name):
    case, made = CASE[f"block_{name}"], blocks_of(name)
    for block in made:
        inner = len(made) > 1 and isinstance(block, Bottleneck)
        fill(block, f"{name}.ffconv" if inner else name, case["state_dict"])
    given = "up_input" if name == "up_channels" else "block_input"
    features = reference.made(CASE, f"A/doublehead/{given}")
    reference.assert_summary(made.eval()(features), case["eval"])
    reference.assert_summary(made.train()(features), case["train_batch_statistics"])


def test_a_non_local_block_starts_as_theirs():
    fresh = NonLocal(64)
    for name in CASE["block_non_local_4_groups"]["zero_at_initialisation"]:
        layer, last = name.rsplit(".", 1)
        assert not getattr(getattr(fresh, NON_LOCAL[layer]), last).any()


# --- the two heads ----------------------------------------------------------------------------

ROOT = "roi_heads.box"
LAYERS = {
    "feature_extractor.fc6": "heads.cls.layers.0",
    "feature_extractor.fc7": "heads.cls.layers.2",
    "predictor.cls_score_fc": "cls",
    "predictor.bbox_pred": "loc",
    "predictor.cls_score": "unfocused_cls",
    "predictor.bbox_pred_fc": "unfocused_loc",
}


def their_name(detector: RoiDetector) -> dict[str, str]:
    """Their layers' names without root -> ours within the main branch."""
    names, stack = {}, -1
    for index, block in enumerate(detector.main.heads.tasks.loc.layers):
        mine = f"heads.loc.layers.{index}"
        stack += isinstance(block, NonLocal)
        where = f"feature_extractor.shared_nonlocal.{stack}"
        if isinstance(block, Widening):
            where = "feature_extractor.nonlocal_conv"
        elif isinstance(block, Bottleneck):
            attends = any(isinstance(b, NonLocal) for b in detector.main.heads.tasks.loc.layers)
            stack += not attends
            where = f"feature_extractor.shared_nonlocal.{stack}.ffconv"
        names |= {f"{where}.{name}": f"{mine}.{ours}" for name, ours in names_of(block).items()}
    return names | LAYERS


@torch.no_grad()
def load_weights(detector: RoiDetector, case: dict) -> None:
    state, names = detector.main.state_dict(), their_name(detector)
    for name, shape in case["state_dict"].items():
        path, last = name.removeprefix(f"{ROOT}.").rsplit(".", 1)
        if last == "num_batches_tracked":
            continue
        values = weight(name, tuple(shape))
        if f"{path}.{last}" in case["multiplied_by_3"]:
            values = values * 3
        if path.startswith("predictor."):
            values = values.roll(-values.shape[0] // (CLASSES + 1), 0)
        state.pop(f"{names[path]}.{last}").copy_(values)
    assert all(name.endswith("num_batches_tracked") for name in state)


def case_of(name: str) -> dict:
    """Cases with the released network print its weights once."""
    return {"state_dict": CASE["released_ext"]["state_dict"], **CASE[name]}


def run(detector: RoiDetector) -> BranchOutputs:
    return detector.main(PerTask.both(Regions(pyramid(), FLAT)))


@pytest.mark.parametrize("name", WHOLE)
@torch.no_grad()
def test_outputs_of_both_heads(name):
    detector, case = built(name).eval(), case_of(name)
    load_weights(detector, case)
    outputs = run(detector)
    for head, task in (("fc", "cls"), ("conv", "loc")):
        logits, deltas = outputs.logits[task], outputs.boxes[task].deltas
        reference.assert_summary(logits.roll(1, 1), case["eval_outputs"][f"{head}_cls"])
        reference.assert_summary(deltas.roll(4, 1), case["eval_outputs"][f"{head}_reg"])


def padded(outputs: BranchOutputs) -> BranchOutputs:
    """Rows of the real proposals among those of ``ROIS``."""

    def place(rows: Tensor) -> Tensor:
        return rows.new_zeros(ROIS.valid.numel(), rows.shape[1]).index_copy(0, WHERE, rows)

    at = ROIS.flat()[:, 1:]
    boxes = {
        head: BoxDeltas(place(each.deltas), at, each.code) for head, each in outputs.boxes.items()
    }
    return BranchOutputs({head: place(each) for head, each in outputs.logits.items()}, boxes)


def losses_of(detector: RoiDetector) -> dict[str, Tensor]:
    outputs, taught = padded(run(detector.train())), PerTask.both(ROIS.taught(TARGETS, CLASSES))
    named = detector.stages[0].supervision(outputs, taught, ROIS.sample_count)
    return {
        "loss_classifier": named["unfocused_cls"],
        "loss_box_reg": named["loc"],
        "loss_classifier_fc": named["cls"],
        "loss_box_reg_fc": named["unfocused_loc"],
    }


@pytest.mark.parametrize("name", WHOLE)
def test_losses_with_batch_statistics(name):
    detector, case = built(name), case_of(name)
    load_weights(detector, case)
    labels = (ROIS.taught(TARGETS, CLASSES).labels[WHERE] + 1) % (CLASSES + 1)
    assert [part.tolist() for part in labels.split(COUNTS)] == case["labels"]
    losses = losses_of(detector)
    for key, value in case["losses"].items():
        assert losses[key].item() == reference.close(value)


def test_gradients():
    detector, case = built(), CASE["released_ext"]
    load_weights(detector, case)
    sum(losses_of(detector).values()).backward()
    names, parameters = their_name(detector), dict(detector.main.named_parameters())
    for name, norm in case["gradient_norms"].items():
        path, last = name.rsplit(".", 1)
        found = parameters.pop(f"{names[path]}.{last}").grad.norm().item()
        # A norm on batch statistics follows the biases of W: rounding is all that is left.
        assert found == pytest.approx(norm, rel=1e-3, abs=1e-5)
    assert not parameters


# --- readout ----------------------------------------------------------------------------------

READOUTS = {
    "0": Readout(cls="loc", loc="loc"),
    "1": Readout(cls="cls", loc="cls"),
    "2": Readout(cls="cls", loc="loc"),
    "3": Readout(cls="complementary", loc="loc"),
}


def given_outputs(detector: RoiDetector) -> BranchOutputs:
    """The case's logits and deltas, background last."""
    logits, boxes = {}, {}
    for task, head in (("cls", "fc"), ("loc", "conv")):
        logits[task] = reference.made(CASE, f"A/doublehead/fusion/{head}_cls").roll(-1, 1)
        deltas = reference.made(CASE, f"A/doublehead/fusion/{head}_reg").roll(-4, 1)
        boxes[task] = BoxDeltas(deltas, FLAT[:, 1:], detector.main.predicts.code)
    return BranchOutputs(logits, boxes)


@pytest.mark.parametrize("mode", READOUTS)
def test_scores_and_boxes_of_the_four_test_modes(mode):
    case, outputs, readout = CASE["test_modes"][mode], given_outputs(built()), READOUTS[mode]
    scores = readout.scores([outputs])
    wanted = [row[1:] for row in case["scores_first_3_rows"]]
    reference.assert_close(scores[:3], wanted)
    assert READOUTS[mode].cls in ("cls", "loc") or scores.sum(dim=1).max() > 1
    background = [each.softmax(dim=1)[:, -1] for each in outputs.logits.values()]
    last = {"cls": background[0], "loc": background[1]}.get(readout.cls)
    last = fuse(*background, "complementary") if last is None else last
    assert (scores.sum() + last.sum()).item() == pytest.approx(case["scores_sum"], rel=1e-5)
    boxes = theirs(clip(readout.boxes(outputs).decode_all(), SIZE))
    reference.assert_close(boxes[0].roll(1, 0).flatten(), case["boxes_first_row"])
    assert boxes.sum().item() == pytest.approx(case["boxes_sum"], rel=1e-5)


@pytest.mark.parametrize("mode", READOUTS)
def test_detections_of_the_four_test_modes(mode):
    detector = built()
    outputs, readout = given_outputs(detector), READOUTS[mode]
    boxes, maps = readout.boxes(outputs).decode_all(), PerTask.both(pyramid())
    predictions = RoiPredictions(readout.scores([outputs]), boxes, COUNTS, maps)
    found = detector.postprocess(predictions, SIZE.expand(2, 2))
    for image, wanted in zip(found, CASE["test_modes"][mode]["detections"], strict=True):
        assert len(image.boxes) == wanted["count"]
        best = sorted(range(wanted["count"]), key=lambda i: -image.scores[i])[: len(wanted["top"])]
        assert (image.labels[best] + 1).tolist() == [each["label"] for each in wanted["top"]]
        reference.assert_close(image.scores[best], [each["score"] for each in wanted["top"]])
        reference.assert_close(theirs(image.boxes[best]), [each["box"] for each in wanted["top"]])
