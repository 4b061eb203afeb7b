"""Parameter names of backbone files from elsewhere, as torchvision's, which are ours.

- torchvision, timm and OpenMMLab's files of ResNets agree but for a prefix and the classifier.
- detectron2: ``stem.conv1``, ``res2.0.conv1.norm``, ``res2.0.shortcut`` (its
  tools/convert-torchvision-to-d2.py).
- Caffe2, as detectron2's MSRA/R-50.pkl: ``res2_0_branch2a_w``, ``res2_0_branch2a_bn_s`` (its
  checkpoint/c2_model_loading.py). Norms are a scale and a shift without statistics.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

State = dict[str, Tensor]

PREFIXES = ("module.", "backbone.", "bottom_up.")
"""Before all names of some files: of DataParallel, of MMPreTrain and of detectron2."""

DROPPED = re.compile(r"(fc|classifier|head|fc1000|linear|pred|stem\.fc|neck)\b.*|conv1\.bias")
"""Classifiers; and the bias of MSRA's first convolution, which OpenMMLab's and detectron2's files
of it keep, and neither reads, as the norm after it has a shift of its own."""

NORM = {
    "s": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "rm": "running_mean",
    "running_mean": "running_mean",
    "riv": "running_var",
    "running_var": "running_var",
}
"""Caffe2's names of a norm's tensors."""

LAYERS = {"branch1": "shortcut", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
EPS = 1e-5
"""Of our norms: a variance of 1 - EPS makes them exactly a scale and a shift."""

_CAFFE2 = re.compile(r"(?:(res\d)_(\d+)_(branch\w+?)|(?:res_)?(conv1))(_bn)?_([a-z_]+)")
_DETECTRON2 = re.compile(r"(?:stem|res(\d)\.(\d+))\.(conv\d|shortcut)\.(?:(norm)\.)?(\w+)")


def as_torchvision(state: State) -> State:
    """A backbone's state dict under torchvision's names; those that are nobody's stay."""
    state = _without_prefix(state)
    if any(_CAFFE2.fullmatch(name) for name in state if name.startswith("res")):
        state = _with_statistics({_of_caffe2(name): x for name, x in state.items()})
    return {_of_detectron2(name): tensor for name, tensor in state.items()}


def _without_prefix(state: State) -> State:
    for prefix in PREFIXES:
        inside = [name for name in state if name.startswith(prefix)]
        outside = [name for name in state if not name.startswith(prefix)]
        if inside and all(DROPPED.fullmatch(name) for name in outside):
            state = {name.removeprefix(prefix): state[name] for name in inside}
    return state


def _of_caffe2(name: str) -> str:
    """Caffe2's name as detectron2's; others as they are."""
    if not (match := _CAFFE2.fullmatch(name)):
        return name.replace("_", ".") if name.startswith(("fc1000", "pred")) else name
    stage, block, branch, _, norm, last = match.groups()
    where = f"{stage}.{block}.{LAYERS.get(branch, branch)}" if stage else "stem.conv1"
    if norm:
        return f"{where}.norm.{NORM.get(last, last)}"
    return f"{where}.{ {'w': 'weight', 'b': 'bias'}.get(last, last) }"


def _of_detectron2(name: str) -> str:
    """detectron2's name as torchvision's; others as they are."""
    if not (match := _DETECTRON2.fullmatch(name)):
        return name
    stage, block, layer, norm, last = match.groups()
    where = f"layer{int(stage) - 1}.{block}." if stage else ""
    if layer == "shortcut":
        return f"{where}downsample.{int(norm is not None)}.{last}"
    return f"{where}{layer.replace('conv', 'bn') if norm else layer}.{last}"


def _with_statistics(state: State) -> State:
    """Norms that are a scale and a shift alone get the statistics that leave them so."""
    made = dict(state)
    for name, tensor in state.items():
        if name.endswith(".norm.weight"):
            norm = name.removesuffix("weight")
            made.setdefault(f"{norm}running_mean", torch.zeros_like(tensor))
            made.setdefault(f"{norm}running_var", torch.full_like(tensor, 1 - EPS))
    return made
