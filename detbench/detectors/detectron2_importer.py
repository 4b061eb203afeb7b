"""detectron2's detectors (RetinaNet, FCOS, Faster R-CNN on FPN and C4, Cascade R-CNN, Mask R-CNN
on FPN): their weights to ours.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from detbench.backbones.names import as_torchvision
from detbench.detectors.foreign import ForeignState, State, rename

# Levels of the pyramid are counted from the lowest that the file has.
LEVEL = re.compile(r"backbone\.fpn_(lateral|output)(\d)\.(\w+)")
ROUND = re.compile(
    r"roi_heads\.box_(?:head\.(\d+)\.fc(\d)|predictor\.(\d+)\.(cls_score|bbox_pred))\.(\w+)"
)
MASK_CONV = re.compile(r"roi_heads\.mask_head\.mask_fcn(\d+)\.(\w+)")
TOWER = re.compile(r"head\.(cls|bbox)_subnet\.(\d+)\.(\w+)")
RENAMES: tuple[tuple[str, str], ...] = (
    (r"backbone\.top_block\.p6\.(\w+)", r"neck.extra.0.\1"),
    (r"backbone\.top_block\.p7\.(\w+)", r"neck.extra.1.\1"),
    (r"head\.cls_score\.(\w+)", r"predictor.cls.\1"),
    (r"head\.bbox_pred\.(\w+)", r"predictor.loc.\1"),
    (r"head\.ctrness\.(\w+)", r"predictor.quality.\1"),
    (r"proposal_generator\.rpn_head\.conv\.(\w+)", r"rpn.conv.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(\w+)", r"rpn.cls.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(\w+)", r"rpn.loc.\1"),
    (r"roi_heads\.box_head\.fc1\.(\w+)", r"main.heads.both.layers.0.\1"),
    (r"roi_heads\.box_head\.fc2\.(\w+)", r"main.heads.both.layers.2.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(\w+)", r"main.cls.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(\w+)", r"main.loc.\1"),
    (r"roi_heads\.mask_head\.deconv\.(\w+)", r"mask.up.\1"),
    (r"roi_heads\.mask_head\.predictor\.(\w+)", r"mask.logits.\1"),
)
IGNORED = re.compile(r"(proposal_generator\.)?anchor_generator\.cell_anchors.*|pixel_(mean|std)")
CONFIGURED = (
    "its configuration, which the file does not hold, says where it strides, its pixels' order and "
    "scale, and its anchors: compare them with the recipe's backbone, pixels and anchors"
)
BACKBONE = re.compile(r"backbone\.(?:bottom_up\.)?((?:stem|res\d)\..*)")
RES5 = re.compile(r"roi_heads\.(res5\..*)")


def is_detectron2(state: State) -> bool:
    """Whether a state dict uses the names of detectron2's detectors."""
    return any(name.startswith(("backbone.bottom_up.", "backbone.stem.")) for name in state)


def translate(detector: Any, state: State) -> ForeignState:
    """detectron2's state dict under our names, its anchors in our order."""
    state = {name: tensor for name, tensor in state.items() if not IGNORED.fullmatch(name)}
    levels = [int(match[2]) for name in state if (match := LEVEL.fullmatch(name))]
    norms = any(
        TOWER.fullmatch(name) and tensor.dim() == 1 and name.endswith("weight")
        for name, tensor in state.items()
    )
    renamed = {}
    for name, tensor in state.items():
        renamed[_rename(name, min(levels, default=0), norms)] = tensor
    scales = getattr(getattr(detector, "predictor", None), "scales", None)
    if scales is not None and "predictor.cls.weight" in renamed:
        renamed["predictor.scales"] = torch.ones_like(scales)  # detectron2's FCOS has none
    return ForeignState(_in_order(detector, renamed), remarks=(CONFIGURED,))


def _rename(name: str, lowest: int, norms: bool) -> str:
    if match := BACKBONE.fullmatch(name):
        return f"backbone.{_of_resnet(match[1])}"
    if match := RES5.fullmatch(name):
        return f"main.heads.both.{_of_resnet(match[1])}"
    if match := LEVEL.fullmatch(name):
        return f"neck.{match[1]}.{int(match[2]) - lowest}.{match[3]}"
    if match := TOWER.fullmatch(name):
        task, step = ("cls" if match[1] == "cls" else "loc"), (3 if norms else 2)
        kind = "norm" if int(match[2]) % step else "conv"
        return f"heads.{task}.convs.{int(match[2]) // step}.{kind}.{match[3]}"
    if match := MASK_CONV.fullmatch(name):
        return f"mask.convs.{int(match[1]) - 1}.{match[2]}"
    if match := ROUND.fullmatch(name):
        stage = int(match[1] or match[3] or 0)
        branch = f"rounds.{stage - 1}" if stage else "main"
        if match[2]:
            return f"{branch}.heads.both.layers.{2 * (int(match[2]) - 1)}.{match[5]}"
        return f"{branch}.{'cls' if match[4] == 'cls_score' else 'loc'}.{match[5]}"
    return rename(name, RENAMES)


def _of_resnet(name: str) -> str:
    [found] = as_torchvision({name: torch.zeros(0)})
    return found


def _in_order(detector: Any, state: State) -> State:
    """Anchors of a cell: detectron2 has scale after scale, we ratio after ratio."""
    dense = hasattr(detector, "predictor")
    shapes = (detector.grid if dense else detector.rpn.grid).shapes
    part = "predictor" if dense else "rpn"
    theirs = sorted(range(len(shapes)), key=lambda i: _by_scale(shapes[i]))
    order = [theirs.index(place) for place in range(len(shapes))]
    if order == sorted(order):
        return state
    made = dict(state)
    for name, tensor in state.items():
        if name.startswith(f"{part}.") and not name.startswith(f"{part}.conv"):
            made[name] = _anchors_taken(tensor, order)
    return made


def _by_scale(shape: tuple[float, float]) -> tuple[float, float]:
    """Area first, then height by width."""
    width, height = shape
    return round(width * height, 6), height / width if width else 0.0


def _anchors_taken(tensor: Tensor, order: list[int]) -> Tensor:
    """Rows of anchors one after another, in another order."""
    if len(tensor) % len(order):
        return tensor
    rows = tensor.reshape(len(order), -1, *tensor.shape[1:])
    return rows[torch.tensor(order)].reshape(tensor.shape)
