"""torchvision's own detectors against ours with their weights, and detectron2's names."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    fasterrcnn_resnet50_fpn,
    fcos_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
)
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.misc import FrozenBatchNorm2d

from detbench.assembly import build_detector
from detbench.backbones.names import EPS
from detbench.detectors.torchvision_importer import coco_classes
from detbench.errors import WeightsError
from detbench.measure import meta
from detbench.pertask import PerTask
from detbench.recipe import load
from detbench.recipe.detector import Detector
from detbench.stages.sampling import Regions
from detbench.structures import Detections
from detbench.training import files, weights

MAKERS = {
    "fcos": fcos_resnet50_fpn,
    "retinanet": retinanet_resnet50_fpn,
    "faster-rcnn": fasterrcnn_resnet50_fpn,
}
SIZE = 128


def recipe(name: str) -> Detector:
    path = load.root() / load.EXAMPLES / f"torchvision-{name}-r50.toml"
    return load.detector(str(path)).detector


@pytest.fixture(scope="module", params=MAKERS)
def pair(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    """torchvision's detector with made weights, and ours with the same."""
    torch.manual_seed(0)
    theirs: Any = MAKERS[request.param](weights=None, weights_backbone=None, num_classes=91)
    for name, module in theirs.named_modules():
        if name.endswith(("cls_logits", "cls_score", "bbox_reg", "bbox_pred", "bbox_ctrness")):
            # After FCOS's group norms more would make every score 1, or boxes of no area.
            fcos = request.param == "fcos"
            nn.init.normal_(module.weight, std=0.05 if fcos else 0.4)
            nn.init.normal_(module.bias, -1.0 if "cls" in name else 3.0 * fcos, 0.5)
        if name.endswith(("bn1", "bn2", "bn3", "downsample.1")):
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    ours = build_detector(recipe(request.param), 80)
    fit = weights.load_content(ours, files.of_state(theirs.state_dict()), "theirs", whole=True)
    assert fit.whole
    return request.param, theirs.eval(), ours.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    scale = float(theirs.abs().max())
    assert scale > 0.01
    assert float((ours - theirs).abs().max()) <= 1e-4 * scale


def flat(maps: list[Tensor], width: int) -> Tensor:
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, width) for x in maps], 1)


@torch.no_grad()
def test_raw_outputs_are_torchvisions(pair: tuple[str, Any, Any], images: Tensor) -> None:
    name, theirs, ours = pair
    ids, names = coco_classes()
    assert ours.class_names == names
    maps = list(theirs.backbone(images).values())
    if name == "faster-rcnn":
        for mine, other in zip(ours.pyramid(images)[1], maps, strict=True):
            close(mine, other)
        cls, loc = theirs.rpn.head(maps)
        mine = ours.rpn(ours.pyramid(images)[1])
        close(flat(mine[0], 1), flat(cls, 1))
        close(flat(mine[1], 4), flat(loc, 4))
        pooled = torch.randn(5, 256, 7, 7)
        vector = theirs.roi_heads.box_head(pooled)
        scores, deltas = theirs.roi_heads.box_predictor(vector)
        hidden = ours.main.heads.tasks.cls(pooled)
        close(ours.main.cls(hidden), scores[:, [*ids, 0]])
        close(ours.main.loc(hidden).reshape(5, 80, 4), deltas.reshape(5, 91, 4)[:, ids])
        return
    found, predicted = theirs.head(maps), ours(images)
    close(flat(predicted.cls, 80), found["cls_logits"][..., ids])
    loc = flat(predicted.loc, 4)
    close(loc.clamp(min=0) if name == "fcos" else loc, found["bbox_regression"])
    if name == "fcos":
        close(flat(predicted.extras["quality"], 1), found["bbox_ctrness"])


@torch.no_grad()
def test_candidates_and_boxes_are_torchvisions(pair: tuple[str, Any, Any], images: Tensor) -> None:
    name, theirs, ours = pair
    maps = list(theirs.backbone(images).values())
    generator = theirs.rpn.anchor_generator if name == "faster-rcnn" else theirs.anchor_generator
    [anchors] = generator(ImageList(images, [(SIZE, SIZE)]), maps)
    laid = ours.rpn.candidates(maps) if name == "faster-rcnn" else ours.candidates(ours(images))
    if name == "fcos":
        assert torch.equal(laid.points, (anchors[:, :2] + anchors[:, 2:]) / 2)
        assert torch.equal(laid.strides, anchors[:, 2] - anchors[:, 0])
    else:
        assert torch.equal(laid.boxes, anchors)


@pytest.mark.parametrize("pair", ["retinanet", "fcos"], indirect=True)
@torch.no_grad()
def test_detections_are_torchvisions(pair: tuple[str, Any, Any], images: Tensor) -> None:
    name, theirs, ours = pair
    ids, _ = coco_classes()
    maps = list(theirs.backbone(images).values())
    shapes = ImageList(images, [(SIZE, SIZE)])
    outputs = theirs.head(maps)
    never = [place for place in range(91) if place not in ids]
    outputs["cls_logits"][..., never] = -100.0  # what no class of COCO's has, ours leaves out
    per_level = [x.shape[-2] * x.shape[-1] * ours.grid.per_cell for x in maps]
    split = {key: list(x.split(per_level, dim=1)) for key, x in outputs.items()}
    anchors = [list(x.split(per_level)) for x in theirs.anchor_generator(shapes, maps)]
    [found] = theirs.postprocess_detections(split, anchors, [(SIZE, SIZE)])
    [mine] = ours.detect(images, torch.tensor([[SIZE, SIZE]]))
    assert len(mine) == len(found["scores"]) == {"retinanet": 300, "fcos": 100}[name]
    close(mine.scores, found["scores"])
    same = mine.labels == torch.tensor([ids.index(i) for i in found["labels"].tolist()])
    assert same.float().mean() > 0.95  # equal scores may change places
    close(mine.boxes[same], found["boxes"][same])


@pytest.mark.parametrize("pair", ["faster-rcnn"], indirect=True)
@torch.no_grad()
def test_proposals_are_torchvisions(pair: tuple[str, Any, Any], images: Tensor) -> None:
    _, theirs, ours = pair
    maps = theirs.backbone(images)
    [found], _ = theirs.rpn(ImageList(images, [(SIZE, SIZE)]), maps)
    cls, loc = ours.rpn(ours.pyramid(images)[1])
    [mine] = ours.test_proposals(cls, loc, torch.tensor([[SIZE, SIZE]]))
    count = min(len(found), len(mine), 50)
    assert count == 50
    near = torch.cdist(mine[:count], found, p=1).min(dim=1).values
    assert (near < 0.01).float().mean() > 0.9  # ties in the order and tiny boxes aside


@pytest.mark.parametrize("pair", ["faster-rcnn"], indirect=True)
@torch.no_grad()
def test_regions_are_read_as_torchvision_reads_them(
    pair: tuple[str, Any, Any], images: Tensor
) -> None:
    """Scores and box deltas of the same proposals on the same maps, all of them on P2 to P5."""
    _, theirs, ours = pair
    ids, _ = coco_classes()
    sides = torch.tensor([8.0, 30.0, 70.0, 110.0, 126.0])
    boxes = torch.stack([torch.ones(5), torch.full((5,), 0.5), sides + 1, sides + 0.5], dim=1)
    maps = theirs.backbone(images)
    vectors = theirs.roi_heads.box_head(
        theirs.roi_heads.box_roi_pool(maps, [boxes], [(SIZE, SIZE)])
    )
    logits, deltas = theirs.roi_heads.box_predictor(vectors)
    rois = torch.cat((torch.zeros(5, 1), boxes), dim=1)
    pyramids = ours.task_pyramids(*ours.pyramid(images))
    mine = ours.main(pyramids.zip(PerTask.both(rois), Regions))
    close(mine.logits["cls"][:, :-1], logits[:, ids])
    close(mine.logits["cls"][:, -1], logits[:, 0])
    close(mine.boxes["loc"].deltas.reshape(5, -1, 4)[:, :80], deltas.reshape(5, 91, 4)[:, ids])


@pytest.mark.parametrize("name", MAKERS)
def test_another_network_is_refused_in_one_line(name: str) -> None:
    with meta.device():
        theirs = MAKERS[name](weights=None, weights_backbone=None, num_classes=91)
        ours = build_detector(load.detector(f"{name}-r50").detector, 80)
    content = files.of_state(theirs.state_dict())
    said = {
        "fcos": r'backbone.style = "pytorch".*offset = 0.0',
        "retinanet": r'neck.extra = "output".*relu_before_extra = true.*rounding = "halves"',
        "faster-rcnn": r'rpn.anchors.rounding = "halves"',
    }[name]
    with pytest.raises(WeightsError, match=said) as caught:
        weights.load_content(ours, content, "theirs", whole=True)
    assert "\n" not in str(caught.value)
    assert "recipes/examples" in str(caught.value)


def test_old_names_and_norms_without_epsilon() -> None:
    """The published files are older than torchvision's names of today."""
    with meta.device():
        theirs: Any = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
        ours = build_detector(recipe("retinanet"), 80)
        other: Any = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        roi = build_detector(recipe("faster-rcnn"), 80)
    old = {
        re.sub(r"(inner|layer)_blocks\.(\d)\.0\.", r"\1_blocks.\2.", name): x
        for name, x in theirs.state_dict().items()
    }
    old = {
        re.sub(r"_head\.conv\.(\d)\.0\.", lambda m: f"_head.conv.{2 * int(m[1])}.", name): x
        for name, x in old.items()
    }
    assert "head.regression_head.conv.6.weight" in old
    assert weights.load_content(ours, files.of_state(old), "old", whole=True).whole
    old = {
        name.replace("head.conv.0.0.", "head.conv."): x for name, x in other.state_dict().items()
    }
    assert weights.load_content(roi, files.of_state(old), "old", whole=True).whole
    from detbench.detectors import torchvision_importer as importer

    state = {"backbone.body.bn1.running_var": torch.ones(64)}
    for file, less in (("retinanet_resnet50_fpn_coco-eeacb38b.pth", EPS), ("mine.pth", 0.0)):
        found = importer.translate(ours, state, file).state["backbone.bn1.running_var"]
        assert torch.equal(found, torch.ones(64) - less)


def test_other_numbers_of_classes() -> None:
    """Of a training of one's own: the background's output goes, or goes to the end."""
    with meta.device():
        theirs: Any = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4)
    state = {k: torch.zeros(x.shape) for k, x in theirs.state_dict().items()}
    state["roi_heads.box_predictor.cls_score.bias"] = torch.tensor([9.0, 1.0, 2.0, 3.0])
    state["roi_heads.box_predictor.bbox_pred.bias"] = torch.arange(16.0)
    ours: Any = build_detector(recipe("faster-rcnn"), ["a", "b", "c"])
    assert weights.load_content(ours, files.of_state(state), "mine", whole=True).whole
    assert ours.main.cls.bias.tolist() == [1, 2, 3, 9]
    assert ours.main.loc.bias.tolist() == list(range(4, 16))
    with meta.device():
        dense: Any = fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)
    state = {k: torch.zeros(x.shape) for k, x in dense.state_dict().items()}
    state["head.classification_head.cls_logits.bias"] = torch.tensor([1.0, 2.0, 3.0])
    for classes, bias in ((3, [1, 2, 3]), (2, [2, 3])):
        ours = build_detector(recipe("fcos"), classes)
        assert weights.load_content(ours, files.of_state(state), "mine", whole=True).whole
        assert ours.predictor.cls.bias.tolist() == bias


def test_masks_are_unknown() -> None:
    with meta.device():
        theirs: Any = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        ours = build_detector(recipe("faster-rcnn"), 80)
    with pytest.raises(WeightsError, match=r"12 unknown.*mask\."):
        weights.load_content(ours, files.of_state(theirs.state_dict()), "masks", whole=True)


@torch.no_grad()
def test_masks_are_torchvisions() -> None:
    """Of the same boxes on the same maps, class by class; old files' names too."""
    torch.manual_seed(0)
    theirs: Any = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    ours: Any = build_detector(recipe("mask-rcnn"), 80).eval()
    for module in theirs.backbone.body.modules():
        if isinstance(module, FrozenBatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.6)
    state = theirs.state_dict()
    old = {
        re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", name): x
        for name, x in state.items()
    }
    assert "roi_heads.mask_head.mask_fcn4.bias" in old
    for names in (state, old):
        assert weights.load_content(ours, files.of_state(names), "theirs", whole=True).whole
    images = torch.randn(1, 3, SIZE, SIZE)
    sides, ids = torch.tensor([9.0, 33.0, 77.0, 120.0]), coco_classes()[0]
    boxes = torch.stack([torch.ones(4), torch.full((4,), 0.5), sides + 1, sides + 0.5], dim=1)
    heads = theirs.roi_heads
    pooled = heads.mask_roi_pool(theirs.backbone(images), [boxes], [(SIZE, SIZE)])
    wanted = heads.mask_predictor(heads.mask_head(pooled))[:, ids].sigmoid()
    pyramids = ours.task_pyramids(*ours.pyramid(images))
    for label in (0, 31, 79):
        labels = torch.full((4,), label)
        given = [Detections(boxes, torch.ones(4), labels)]
        [found] = ours.extras["mask"].predict(pyramids, given)
        close(found.masks, wanted[:, label])


# --- detectron2 -----------------------------------------------------------------------------------


def _of_resnet(name: str) -> str:
    """detectron2's name of a ResNet's parameter (its tools/convert-torchvision-to-d2.py)."""
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.downsample\.([01])\.(\w+)", name):
        norm = "norm." if match[3] == "1" else ""
        return f"res{int(match[1]) + 1}.{match[2]}.shortcut.{norm}{match[4]}"
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)", name):
        norm = "norm." if match[3] == "bn" else ""
        return f"res{int(match[1]) + 1}.{match[2]}.conv{match[4]}.{norm}{match[5]}"
    return {"conv1.weight": "stem.conv1.weight"}.get(name, name.replace("bn1.", "stem.conv1.norm."))


OTHERS = (
    (
        r"neck\.(lateral|output)\.(\d)\.(\w+)",
        lambda m: _level(m, 2),
    ),
    (r"rpn\.conv\.(\w+)", r"proposal_generator.rpn_head.conv.\1"),
    (r"rpn\.cls\.(\w+)", r"proposal_generator.rpn_head.objectness_logits.\1"),
    (r"rpn\.loc\.(\w+)", r"proposal_generator.rpn_head.anchor_deltas.\1"),
    (r"main\.cls\.(\w+)", r"roi_heads.box_predictor.cls_score.\1"),
    (r"main\.loc\.(\w+)", r"roi_heads.box_predictor.bbox_pred.\1"),
    (r"main\.heads\.both\.layers\.0\.(\w+)", r"roi_heads.box_head.fc1.\1"),
    (r"main\.heads\.both\.layers\.2\.(\w+)", r"roi_heads.box_head.fc2.\1"),
)
MASKS = (
    (
        r"mask\.convs\.(\d)\.(\w+)",
        lambda m: f"roi_heads.mask_head.mask_fcn{int(m[1]) + 1}.{m[2]}",
    ),
    (r"mask\.up\.(\w+)", r"roi_heads.mask_head.deconv.\1"),
    (r"mask\.logits\.(\w+)", r"roi_heads.mask_head.predictor.\1"),
)
CASCADE = (
    (r"rounds\.(\d)\.(cls|loc)\.(\w+)", lambda m: _predictor(int(m[1]) + 1, m[2], m[3])),
    (r"main\.(cls|loc)\.(\w+)", lambda m: _predictor(0, m[1], m[2])),
    (
        r"rounds\.(\d)\.heads\.both\.layers\.([02])\.(\w+)",
        lambda m: f"roi_heads.box_head.{int(m[1]) + 1}.fc{int(m[2]) // 2 + 1}.{m[3]}",
    ),
    (
        r"main\.heads\.both\.layers\.([02])\.(\w+)",
        lambda m: f"roi_heads.box_head.0.fc{int(m[1]) // 2 + 1}.{m[2]}",
    ),
)
RETINA = (
    (
        r"neck\.(lateral|output)\.(\d)\.(\w+)",
        lambda m: _level(m, 3),
    ),
    (r"neck\.extra\.(\d)\.(\w+)", lambda m: f"backbone.top_block.p{int(m[1]) + 6}.{m[2]}"),
    (
        r"heads\.(cls|loc)\.convs\.(\d)\.conv\.(\w+)",
        lambda m: f"head.{'cls' if m[1] == 'cls' else 'bbox'}_subnet.{2 * int(m[2])}.{m[3]}",
    ),
    (r"predictor\.cls\.(\w+)", r"head.cls_score.\1"),
    (r"predictor\.loc\.(\w+)", r"head.bbox_pred.\1"),
)


def _level(found: re.Match[str], lowest: int) -> str:
    return f"backbone.fpn_{found[1]}{int(found[2]) + lowest}.{found[3]}"


def _predictor(stage: int, task: str, last: str) -> str:
    kind = "cls_score" if task == "cls" else "bbox_pred"
    return f"roi_heads.box_predictor.{stage}.{kind}.{last}"


def detectron2s(detector: nn.Module, rules: Any, bottom_up: str) -> dict[str, Tensor]:
    """The detector's parameters under detectron2's names, with what its files have beside."""
    found = {"pixel_mean": torch.zeros(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)}
    for name, tensor in detector.state_dict().items():
        if name.startswith("backbone."):
            found[f"backbone.{bottom_up}{_of_resnet(name[9:])}"] = tensor
        elif name.startswith("main.heads.both.layer4."):
            found[f"roi_heads.{_of_resnet(name[16:])}"] = tensor
        else:
            for pattern, replacement in rules:
                renamed, count = re.subn(f"^{pattern}$", replacement, name)
                if count:
                    found[renamed] = tensor
                    break
            else:
                raise AssertionError(name)
    return {name: x for name, x in found.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    ("name", "rules", "bottom_up"),
    [
        ("faster-rcnn-r50", OTHERS, "bottom_up."),
        ("faster-rcnn-r50-c4", OTHERS, ""),
        ("cascade-rcnn-r50", CASCADE + OTHERS, "bottom_up."),
        ("retinanet-r50", RETINA, "bottom_up."),
        ("mask-rcnn-r50", MASKS + OTHERS, "bottom_up."),
    ],
)
def test_detectron2s_names(name: str, rules: Any, bottom_up: str) -> None:
    settings = load.detector(name).detector
    torch.manual_seed(0)
    first: Any = build_detector(settings, 80)
    second: Any = build_detector(settings, 80)
    grid = first.grid if name == "retinanet-r50" else first.rpn.grid
    part = "head" if name == "retinanet-r50" else "proposal_generator.rpn_head"
    state = detectron2s(first, rules, bottom_up)
    # detectron2 lays a cell's anchors scale after scale (modeling/anchor_generator.py).
    theirs = sorted(range(grid.per_cell), key=lambda i: (_area(grid.shapes[i]), -grid.shapes[i][0]))
    for key in [one for one in state if one.startswith(part)]:
        if re.search(r"cls_score|bbox_pred|objectness_logits|anchor_deltas", key):
            rows = state[key].reshape(grid.per_cell, -1, *state[key].shape[1:])
            state[key] = rows[theirs].reshape(state[key].shape)
    content = files.of_state(state)
    assert content.origin == "detectron2"
    assert weights.load_content(second, content, "model_final.pkl", whole=True).whole
    for key, tensor in first.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(second.state_dict()[key], tensor), key


def _area(shape: tuple[float, float]) -> float:
    return round(shape[0] * shape[1], 3)
