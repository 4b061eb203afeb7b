"""MMDetection checkpoints: their parameter names to ours."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from detbench.errors import WeightsError

# MMDetection's name -> ours, as patterns of the whole name. The backbone keeps its names.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"neck\.lateral_convs\.(\d+)\.conv\.(.*)", r"neck.lateral.\1.\2"),
    (r"neck\.fpn_convs\.(\d+)\.conv\.(.*)", r"neck.output.\1.\2"),
    (r"neck\.downsample_convs\.(\d+)\.conv\.(.*)", r"neck.down.\1.\2"),
    (r"neck\.pafpn_convs\.(\d+)\.conv\.(.*)", r"neck.second.\1.\2"),
    (r"bbox_head\.cls_convs\.(\d+)\.(conv|gn)\.(.*)", r"heads.cls.convs.\1.\2.\3"),
    (r"bbox_head\.reg_convs\.(\d+)\.(conv|gn)\.(.*)", r"heads.loc.convs.\1.\2.\3"),
    (r"bbox_head\.(?:retina_cls|conv_cls|atss_cls|gfl_cls)\.(.*)", r"predictor.cls.\1"),
    (r"bbox_head\.(?:retina_reg|conv_reg|atss_reg|gfl_reg)\.(.*)", r"predictor.loc.\1"),
    (r"bbox_head\.(?:conv_centerness|atss_centerness)\.(.*)", r"predictor.quality.\1"),
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
    if scales:
        translated["predictor.scales"] = torch.stack([scales[level] for level in sorted(scales)])
    return translated


def import_mmdet(
    detector: nn.Module, state: dict[str, Tensor], allow_partial: bool = False
) -> list[str]:
    """Load an MMDetection state dict into a detector of ours, in place.

    Returns:
        Names left over on either side, empty unless ``allow_partial``.

    Raises:
        WeightsError: a name or a shape does not fit and ``allow_partial`` is off.
    """
    laterals = len(getattr(getattr(detector, "neck", None), "lateral", ()))
    return load_matching(detector, translate(state, laterals), allow_partial, "MMDetection")


def load_matching(
    detector: nn.Module, state: dict[str, Tensor], allow_partial: bool, origin: str
) -> list[str]:
    """Load what fits by name and shape; anything else is an error unless ``allow_partial``."""
    own = {
        name: tensor
        for name, tensor in detector.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state = {name: x for name, x in state.items() if not name.endswith("num_batches_tracked")}
    wrong = [name for name in state if name in own and state[name].shape != own[name].shape]
    odd = sorted(set(state) - set(own)) + sorted(set(own) - set(state)) + wrong
    if odd and not allow_partial:
        shown = ", ".join(odd[:4]) + (f" and {len(odd) - 4} more" if len(odd) > 4 else "")
        raise WeightsError(
            f"the {origin} weights do not fit this detector: {shown}; are they for another one? "
            "--allow-partial loads what fits"
        )
    fitting = {name: x for name, x in state.items() if name in own and name not in wrong}
    detector.load_state_dict(fitting, strict=False)
    return odd


def _rename(name: str, laterals: int) -> str:
    for pattern, replacement in RENAMES:
        renamed, count = re.subn(f"^{pattern}$", replacement, name)
        if count:
            name = renamed
            break
    name = name.replace(".gn.", ".norm.")
    if extra := re.fullmatch(r"neck\.output\.(\d+)\.(.*)", name):
        index = int(extra[1])
        if index >= laterals:
            return f"neck.extra.{index - laterals}.{extra[2]}"
    return name
