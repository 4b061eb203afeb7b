"""MMDetection checkpoints: their parameter names to ours."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from detbench.detectors.foreign import rename

# MMDetection's name -> ours, as patterns of the whole name. The backbone keeps its names.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"neck\.lateral_convs\.(\d+)\.conv\.(.*)", r"neck.lateral.\1.\2"),
    (r"neck\.fpn_convs\.(\d+)\.conv\.(.*)", r"neck.output.\1.\2"),
    (r"neck\.downsample_convs\.(\d+)\.conv\.(.*)", r"neck.down.\1.\2"),
    (r"neck\.pafpn_convs\.(\d+)\.conv\.(.*)", r"neck.second.\1.\2"),
    (r"bbox_head\.cls_convs\.(\d+)\.conv\.conv_offset\.(.*)", r"heads.cls.convs.\1.offset.\2"),
    (r"bbox_head\.reg_convs\.(\d+)\.conv\.conv_offset\.(.*)", r"heads.loc.convs.\1.offset.\2"),
    (r"bbox_head\.cls_convs\.(\d+)\.(conv|gn)\.(.*)", r"heads.cls.convs.\1.\2.\3"),
    (r"bbox_head\.reg_convs\.(\d+)\.(conv|gn)\.(.*)", r"heads.loc.convs.\1.\2.\3"),
    (r"bbox_head\.(?:retina_cls|conv_cls|atss_cls|gfl_cls)\.(.*)", r"predictor.cls.\1"),
    (r"bbox_head\.(?:retina_reg|conv_reg|atss_reg|gfl_reg)\.(.*)", r"predictor.loc.\1"),
    (r"bbox_head\.(?:conv_centerness|atss_centerness|atss_iou)\.(.*)", r"predictor.quality.\1"),
    (r"bbox_head\.inter_convs\.(\d+)\.conv\.conv_offset\.(.*)", r"heads.both.convs.\1.offset.\2"),
    (r"bbox_head\.inter_convs\.(\d+)\.(conv|gn)\.(.*)", r"heads.both.convs.\1.\2.\3"),
    (r"bbox_head\.cls_decomp\.layer_attention\.(.*)", r"predictor.decompose.cls.attention.\1"),
    (r"bbox_head\.reg_decomp\.layer_attention\.(.*)", r"predictor.decompose.loc.attention.\1"),
    (r"bbox_head\.cls_decomp\.reduction_conv\.conv\.(.*)", r"predictor.decompose.cls.reduce.\1"),
    (r"bbox_head\.reg_decomp\.reduction_conv\.conv\.(.*)", r"predictor.decompose.loc.reduce.\1"),
    (r"bbox_head\.cls_decomp\.reduction_conv\.gn\.(.*)", r"predictor.decompose.cls.norm.\1"),
    (r"bbox_head\.reg_decomp\.reduction_conv\.gn\.(.*)", r"predictor.decompose.loc.norm.\1"),
    (r"bbox_head\.tood_cls\.(.*)", r"predictor.cls.\1"),
    (r"bbox_head\.tood_reg\.(.*)", r"predictor.loc.\1"),
    (r"bbox_head\.cls_prob_module\.(.*)", r"predictor.alignment.\1"),
    (r"bbox_head\.reg_offset_module\.(.*)", r"predictor.offset.\1"),
    (r"bbox_head\.reg_conf\.(.*)", r"predictor.guide.\1"),
    (r"bbox_head\.center_prior\.(mean|sigma)", r"supervisions.0.assigners.both.\1"),
    (r"bbox_head\.reg_offset\.(.*)", r"predictor.feet.\1"),
    (r"rpn_head\.rpn_conv\.(.*)", r"rpn.conv.\1"),
    (r"rpn_head\.rpn_cls\.(.*)", r"rpn.cls.\1"),
    (r"rpn_head\.rpn_reg\.(.*)", r"rpn.loc.\1"),
    (r"roi_head\.shared_head\.layer4\.(.*)", r"main.heads.both.layer4.\1"),
)
ROI_HEAD = re.compile(
    r"roi_head\.bbox_head\.(?:(\d+)\.)?(fc_cls|fc_reg|shared_fcs|fc_branch)\.(.*)"
)
CONV_BRANCH = re.compile(r"roi_head\.bbox_head\.conv_branch\.(\d+)\.(conv|bn)(\d)\.(.*)")
CONV_WIDEN = re.compile(
    r"roi_head\.bbox_head\.res_block\.(conv1|conv2|conv_identity)\.(conv|bn)\.(.*)"
)
MASK_HEAD = re.compile(
    r"roi_head\.mask_head\.(?:(\d+)\.)?(?:convs\.(\d+)\.conv|(upsample|conv_logits))\.(\w+)"
)
SCALE = re.compile(r"bbox_head\.scales\.(\d+)\.scale")
IGNORED = re.compile(r"bbox_head\.integral\.project|.*\.num_batches_tracked")


def looks_like_mmdet(state: dict[str, Tensor]) -> bool:
    """Whether a state dict uses MMDetection's names."""
    return any(key.startswith(("bbox_head.", "rpn_head.", "roi_head.")) for key in state)


def translate(state: dict[str, Tensor], laterals: int) -> dict[str, Tensor]:
    """MMDetection's state dict under our names.

    Args:
        state: name to tensor.
        laterals: backbone maps the neck takes; its further convolutions are the extra levels.
    """
    translated: dict[str, Tensor] = {}
    scales: dict[int, Tensor] = {}
    for name, tensor in state.items():
        if match := SCALE.fullmatch(name):
            scales[int(match[1])] = tensor.reshape(())
        elif not IGNORED.fullmatch(name):
            translated[_rename(name, laterals)] = tensor
    if "predictor.guide.0.weight" in translated:  # GFLv2's code has a class more, which never wins
        for name in ("predictor.cls.weight", "predictor.cls.bias"):
            translated[name] = translated[name][:-1]
    if any("center_prior" in name for name in state):  # what is FCOS's centre-ness elsewhere
        third = [name for name in translated if name.startswith("predictor.quality.")]
        for name in third:
            translated[name.replace("quality", "objectness")] = translated.pop(name)
    if scales:
        translated["predictor.scales"] = torch.stack([scales[level] for level in sorted(scales)])
    return translated


def _rename_roi(name: str) -> str | None:
    """Names of the RoI heads; none for other parameters."""
    if match := ROI_HEAD.fullmatch(name):
        stage, layer, rest = match.groups()
        branch = "main" if stage in (None, "0") else f"rounds.{int(stage) - 1}"
        if layer in ("fc_cls", "fc_reg"):
            return f"{branch}.{'cls' if layer == 'fc_cls' else 'loc'}.{rest}"
        index, parameter = rest.split(".")
        head = "both" if layer == "shared_fcs" else "cls"
        return f"{branch}.heads.{head}.layers.{2 * int(index)}.{parameter}"
    if match := CONV_WIDEN.fullmatch(name):
        conv, kind, parameter = match.groups()
        conv = "shortcut" if conv == "conv_identity" else conv
        return f"main.heads.loc.layers.0.{conv}.{int(kind == 'bn')}.{parameter}"
    if match := CONV_BRANCH.fullmatch(name):
        block, kind, conv, parameter = match.groups()
        return f"main.heads.loc.layers.{int(block) + 1}.conv{conv}.{int(kind == 'bn')}.{parameter}"
    if match := MASK_HEAD.fullmatch(name):
        stage, conv, layer, parameter = match.groups()
        head = "mask" if stage in (None, "0") else f"round{int(stage) + 1}_mask"
        place = {"upsample": "up", "conv_logits": "logits"}.get(layer, f"convs.{conv}")
        return f"{head}.{place}.{parameter}"
    return None


def _rename(name: str, laterals: int) -> str:
    if renamed := _rename_roi(name):
        return renamed
    name = rename(name, RENAMES).replace(".gn.", ".norm.")
    if extra := re.fullmatch(r"neck\.output\.(\d+)\.(.*)", name):
        index = int(extra[1])
        if index >= laterals:
            return f"neck.extra.{index - laterals}.{extra[2]}"
    return name
