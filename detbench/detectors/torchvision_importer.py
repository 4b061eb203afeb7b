"""torchvision's own detectors (FCOS, RetinaNet v1, Faster and Mask R-CNN v1): their weights to
ours.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from detbench.backbones.names import EPS
from detbench.detectors.foreign import ForeignState, State, rename, strides_in_3x3
from detbench.stages.classes import class_rows
from detbench.stages.score import Product

RENAMES: tuple[tuple[str, str], ...] = (
    (r"backbone\.body\.(.*)", r"backbone.\1"),
    (r"backbone\.fpn\.inner_blocks\.(\d+)(?:\.0)?\.(\w+)", r"neck.lateral.\1.\2"),
    (r"backbone\.fpn\.layer_blocks\.(\d+)(?:\.0)?\.(\w+)", r"neck.output.\1.\2"),
    (r"backbone\.fpn\.extra_blocks\.p6\.(\w+)", r"neck.extra.0.\1"),
    (r"backbone\.fpn\.extra_blocks\.p7\.(\w+)", r"neck.extra.1.\1"),
    (r"head\.classification_head\.cls_logits\.(\w+)", r"predictor.cls.\1"),
    (r"head\.regression_head\.bbox_reg\.(\w+)", r"predictor.loc.\1"),
    (r"head\.regression_head\.bbox_ctrness\.(\w+)", r"predictor.quality.\1"),
    (r"rpn\.head\.conv(?:\.0\.0)?\.(\w+)", r"rpn.conv.\1"),
    (r"rpn\.head\.cls_logits\.(\w+)", r"rpn.cls.\1"),
    (r"rpn\.head\.bbox_pred\.(\w+)", r"rpn.loc.\1"),
    (r"roi_heads\.box_head\.fc6\.(\w+)", r"main.heads.both.layers.0.\1"),
    (r"roi_heads\.box_head\.fc7\.(\w+)", r"main.heads.both.layers.2.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(\w+)", r"main.cls.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(\w+)", r"main.loc.\1"),
    (r"roi_heads\.mask_head\.(\d+)\.0\.(\w+)", r"mask.convs.\1.\2"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(\w+)", r"mask.up.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(\w+)", r"mask.logits.\1"),
)
TOWER = re.compile(r"head\.(classification|regression)_head\.conv\.(\d+)(\.0)?\.(\w+)")
MASK_CONV = re.compile(r"roi_heads\.mask_head\.mask_fcn(\d+)\.(\w+)")
WITHOUT_EPS = tuple(
    f"{name}_resnet50_fpn_coco-" for name in ("fasterrcnn", "retinanet", "maskrcnn")
)
"""Files whose frozen norms torchvision runs with an epsilon of 0 (``overwrite_eps``)."""

COCO_IDS = 91


def is_torchvision(state: State) -> bool:
    """Whether a state dict uses the names of torchvision's detectors."""
    return any(name.startswith("backbone.body.") for name in state)


def translate(detector: Any, state: State, file: str = "") -> ForeignState:
    """torchvision's state dict under our names, its classes as ours.

    torchvision's class 0 is the background: dropped by dense detectors, put last by those with
    proposals. With 91 outputs for a detector of 80 classes, outputs are COCO's ids, which are left
    out where no class has them.

    Args:
        file: its name, which tells files whose norms have no epsilon.
    """
    norms = any(
        TOWER.fullmatch(name) and tensor.dim() == 1 and "weight" in name
        for name, tensor in state.items()
    )
    renamed = {_rename(name, norms): tensor for name, tensor in state.items()}
    if file.startswith(WITHOUT_EPS):
        renamed = {name: _without_eps(name, tensor) for name, tensor in renamed.items()}
    scales = getattr(getattr(detector, "predictor", None), "scales", None)
    if scales is not None and "predictor.cls.weight" in renamed:
        renamed["predictor.scales"] = torch.ones_like(scales)  # torchvision's FCOS has none
    chosen, names = _classes(detector, renamed)
    return ForeignState(chosen, names, tuple(_differences(detector)), tuple(_remarks(detector)))


def _rename(name: str, norms: bool) -> str:
    """Our name: towers are numbered by layer (FCOS: convolution, norm, ReLU), or by block."""
    if match := MASK_CONV.fullmatch(name):  # of old files
        return f"mask.convs.{int(match[1]) - 1}.{match[2]}"
    if not (match := TOWER.fullmatch(name)):
        return rename(name, RENAMES)
    task = "cls" if match[1] == "classification" else "loc"
    number, kind = int(match[2]), "conv"
    if not match[3]:  # RetinaNet's old files count convolution and ReLU
        step = 3 if norms else 2
        kind = "norm" if number % step else "conv"
        number //= step
    return f"heads.{task}.convs.{number}.{kind}.{match[4]}"


def _without_eps(name: str, tensor: Tensor) -> Tensor:
    """Our norms add ``EPS`` to the variance."""
    ours = name.startswith("backbone.") and name.endswith("running_var")
    return tensor - EPS if ours else tensor


def _classes(detector: Any, state: State) -> tuple[State, tuple[str, ...] | None]:
    """The rows of our classes in our order, and what they are called if that is known."""
    given = _given(detector, state)
    if given is None:
        return state, None
    names: tuple[str, ...] | None = None
    order, background = list(range(1, given)), 0
    if given == COCO_IDS and detector.num_classes != COCO_IDS - 1:
        order, names = coco_classes()
    elif "predictor.cls.weight" in state and given == detector.num_classes:
        order = list(range(given))  # of a training without an output for the background
    own, picked = detector.state_dict(), dict(state)
    for name, rows in class_rows(detector).items():
        cell = rows.outer * rows.inner
        if name in state and len(state[name]) == given * cell:
            last = [background] if len(own[name]) > detector.num_classes * cell else []
            picked[name] = rows.taken(state[name], [*order, *last], given)
    return picked, names


def _given(detector: Any, state: State) -> int | None:
    """How many classes the file has, the background's included."""
    rows = class_rows(detector)
    for name in ("predictor.cls.weight", "main.cls.weight"):
        if name in state and name in rows:
            return len(state[name]) // (rows[name].outer * rows[name].inner)
    return None


def coco_classes() -> tuple[list[int], tuple[str, ...]]:
    """COCO's ids of its 80 classes, ascending, and their names."""
    from torchvision.models.detection import RetinaNet_ResNet50_FPN_Weights as Known

    # Their list has COCO's ids as places; what has no class is called so.
    named = enumerate(Known.COCO_V1.meta["categories"])
    kept = [(i, name) for i, name in named if name not in ("__background__", "N/A")]
    return [i for i, _ in kept], tuple(name for _, name in kept)


def _differences(detector: Any) -> list[str]:
    """What torchvision's network does and this one does not, though settings could have it so."""
    dense = hasattr(detector, "predictor")
    grid = detector.grid if dense else detector.rpn.grid
    candidates = "candidates" if dense else "rpn.anchors"
    neck, found = detector.neck, []
    if strides_in_3x3(detector) is False:
        found.append('it strides in 3x3 convolutions (backbone.style = "pytorch")')
    extra = "output" if dense else "pool"
    if getattr(neck, "extra_source", extra) != extra:
        found.append(f'its levels above P5 come from P5 (neck.extra = "{extra}")')
    if dense and not getattr(neck, "relu_before_extra", True):
        found.append("P7 comes after a ReLU (neck.relu_before_extra = true)")
    if grid.offset != 0:
        found.append(f"{candidates} stand at the cells' corners (offset = 0.0)")
    if grid.shapes != ((0.0, 0.0),) and grid.rounding != "halves":
        found.append(f'its anchors are rounded ({candidates}.rounding = "halves")')
    return found


def _remarks(detector: Any) -> list[str]:
    if hasattr(detector, "predictor"):
        own = isinstance(detector.score, Product) and detector.score.select == "class"
        if own and hasattr(detector.predictor, "quality"):
            return ['its scores are square roots of ours (score.kind = "geometric")']
        return []
    sampled = detector.main.sampling.tasks.cls
    if getattr(sampled, "aligned", True) or getattr(sampled, "samples", 0) != 2:
        return ["it pools regions half a cell further right and down, at 2x2 points of a bin"]
    return []
