"""What the cases of OTA and DeFCN have in common: FCOS's network in cvpods, with a third output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import authors_reference as reference
import pytest
import reference_weights
import torch
from torch import Tensor, nn

from detbench.assembly import build_detector
from detbench.detectors.dense import DenseDetector, Predictions
from detbench.pertask import PerTask
from detbench.recipe import load
from detbench.structures import Targets

LEVELS = range(5)


def detector(name: str, case: dict, channels: int = 256, **assignment: Any) -> DenseDetector:
    """The detector of this name for a case's classes; settings of its assignment are replaced."""
    spec: Any = load.detector(name).detector
    tower = spec.heads.of("cls").model_copy(update={"channels": channels})
    both = spec.assignment.of("cls").model_copy(update=assignment)
    changes = {
        "heads": spec.heads.model_copy(update={"cls": tower, "loc": tower}),
        "neck": spec.neck.model_copy(update={"channels": channels}),
        "assignment": spec.assignment.model_copy(update={"both": both}),
    }
    torch.manual_seed(0)
    found = build_detector(spec.model_copy(update=changes), case["scene"]["num_classes"])
    assert isinstance(found, DenseDetector)
    return found.train()


def targets(images: list[dict], removed: Mapping[str, list[int]]) -> Targets:
    """Objects of images; those ``removed`` from an image are left out."""
    boxes, labels = [], []
    for index, image in enumerate(images):
        gone = removed.get(str(index), [])
        kept = [one for one in range(len(image["labels"])) if one not in gone]
        boxes.append(torch.tensor([image["boxes"][one] for one in kept]).reshape(-1, 4))
        labels.append(torch.tensor([image["labels"][one] for one in kept], dtype=torch.int64))
    return Targets.pad(boxes, labels)


class Given:
    """A case's maps as predictions, each a leaf; distances there are in pixels.

    Args:
        third: our name of the third output, and theirs.
    """

    def __init__(self, case: dict, path: str, third: tuple[str, str]) -> None:
        ours, theirs = third
        self.leaves = {
            kind: [reference.made(case, f"{path}/{kind}/{x}").requires_grad_() for x in LEVELS]
            for kind in ("cls", "ltrb", theirs)
        }
        in_strides = zip(self.leaves["ltrb"], case["strides"], strict=True)
        code = [distances / stride for distances, stride in in_strides]
        self.predictions = Predictions(self.leaves["cls"], code, {ours: self.leaves[theirs]})

    def assert_gradients(self, theirs: dict) -> None:
        for kind, maps in self.leaves.items():
            for leaf, expected in zip(maps, theirs[kind], strict=True):
                assert leaf.grad is not None
                reference.assert_summary(leaf.grad, expected)


def of_images(predictions: Predictions, images: list[int]) -> Predictions:
    """Those of some images of the batch."""

    def part(maps: list[Tensor]) -> list[Tensor]:
        return [level[images] for level in maps]

    extras = {name: part(maps) for name, maps in predictions.extras.items()}
    return Predictions(part(predictions.cls), part(predictions.loc), extras)


def renamed(key: str, third: tuple[str, str]) -> str:
    """Our name of a parameter of their head; ``third`` output's convolution: ours, theirs."""
    if match := re.fullmatch(r"head\.(cls|bbox)_subnet\.(\d+)\.(\w+)", key):
        task = "cls" if match[1] == "cls" else "loc"
        position, layer = divmod(int(match[2]), 3)
        return f"heads.{task}.convs.{position}.{('conv', 'norm')[layer]}.{match[3]}"
    names = {"cls_score": "cls", "bbox_pred": "loc", third[1]: third[0], "max3d": "max_filter"}
    module, _, rest = key.removeprefix("head.").partition(".")
    return f"predictor.{names[module]}.{rest}"


def with_their_weights(made: DenseDetector, case: dict, third: tuple[str, str]) -> None:
    """The rule's weights of a case, in place; each of our heads' and predictor's must be given."""
    weights = reference_weights.state_dict(case)
    state = {renamed(key, third): x for key, x in weights.items() if "scales" not in key}
    scales = [weights[f"head.scales.{level}.scale"] for level in LEVELS]
    missing, unknown = made.load_state_dict(
        state | {"predictor.scales": torch.cat(scales)}, strict=False
    )
    assert not unknown
    assert not [key for key in missing if key.startswith(("heads.", "predictor."))]
    for module in made.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = 32  # ours have four channels or more


def predicted(made: DenseDetector, case: dict, path: str) -> Predictions:
    """Of a case's feature maps."""
    maps = [reference.made(case, f"{path}/{level}") for level in LEVELS]
    heads = made.heads.tasks
    with torch.no_grad():
        towers = PerTask([heads.cls(x) for x in maps], [heads.loc(x) for x in maps])
        found: Predictions = made.predictor(towers, [tuple(x.shape[-2:]) for x in maps])
    return found


def assert_predictions(found: Predictions, case: dict, third: tuple[str, str]) -> None:
    theirs, (ours, name) = case["forward"]["outputs"], third
    for level, stride in enumerate(case["strides"]):
        reference.assert_summary(found.cls[level], theirs[f"cls.{level}"])
        distances = found.loc[level].clamp(min=0) * stride
        reference.assert_summary(distances, theirs[f"ltrb.{level}"])
        reference.assert_summary(found.extras[ours][level], theirs[f"{name}.{level}"])


def assert_detections(made: DenseDetector, given: Predictions, case: dict) -> None:
    """Those of given maps; where theirs leave the image, ours end at its edge."""
    theirs, scene = case["inference"], case["scene"]
    raised = [(x + theirs["added_to_cls_logits"]).detach() for x in given.cls]
    sizes = torch.tensor([[scene["height"], scene["width"]]])
    with torch.no_grad():
        (best,) = made.postprocess(Predictions(raised, given.loc, given.extras), sizes)
    assert len(best) == theirs["count"]
    count = len(theirs["boxes"])
    assert best.scores[:count].tolist() == pytest.approx(theirs["scores"], rel=reference.RELATIVE)
    assert best.labels[:count].tolist() == theirs["labels"]
    limit = torch.tensor([scene["width"], scene["height"]] * 2)
    clipped = torch.tensor(theirs["boxes"]).clamp(min=0).minimum(limit)
    reference.assert_close(best.boxes[:count], clipped.tolist())
