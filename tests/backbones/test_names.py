"""Names of backbone files from elsewhere, written out from their projects' converters."""

from __future__ import annotations

import pytest
import torch
import torchvision.models
from torch import Tensor

from detbench.backbones.names import EPS, as_torchvision

LAYERS = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    found = torchvision.models.resnet50().state_dict()
    return {name: x for name, x in found.items() if not name.endswith("num_batches_tracked")}


def parts(name: str) -> tuple[str, str, str, str]:
    """Stage, block, layer and the rest of a torchvision name below a stage."""
    stage, block, layer, *rest = name.split(".")
    return f"res{int(stage[-1]) + 1}", block, layer, ".".join(rest)


def detectron2(name: str) -> str:
    if name.startswith("fc."):
        return f"stem.{name}"
    if not name.startswith("layer"):
        return "stem.conv1.weight" if name == "conv1.weight" else f"stem.conv1.norm.{name[4:]}"
    stage, block, layer, rest = parts(name)
    if layer == "downsample":
        index, last = rest.split(".")
        return f"{stage}.{block}.shortcut.{'norm.' if index == '1' else ''}{last}"
    if layer.startswith("bn"):
        return f"{stage}.{block}.conv{layer[2]}.norm.{rest}"
    return f"{stage}.{block}.{layer}.{rest}"


def caffe2(name: str) -> str | None:
    """Caffe2's name; none for statistics, which its norms have not."""
    if name.endswith(("running_mean", "running_var")):
        return None
    ends = {"weight": "s", "bias": "b"}
    if name.startswith("fc."):
        return {"fc.weight": "fc1000_w", "fc.bias": "fc1000_b"}[name]
    if not name.startswith("layer"):
        return "conv1_w" if name == "conv1.weight" else f"res_conv1_bn_{ends[name[4:]]}"
    stage, block, layer, rest = parts(name)
    if layer == "downsample":
        index, last = rest.split(".")
        return f"{stage}_{block}_branch1" + (f"_bn_{ends[last]}" if index == "1" else "_w")
    branch = LAYERS[layer.replace("bn", "conv")]
    return f"{stage}_{block}_{branch}" + (f"_bn_{ends[rest]}" if "bn" in layer else "_w")


def without_classifier(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x for name, x in state.items() if not name.startswith("fc.")}


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "backbone.bottom_up."])
def test_prefixes(state: dict[str, Tensor], prefix: str) -> None:
    found = as_torchvision({prefix + name: x for name, x in without_classifier(state).items()})
    assert found == without_classifier(state)


def test_mmpretrains_classifier_beside_its_backbone(state: dict[str, Tensor]) -> None:
    given = {f"backbone.{name}": x for name, x in without_classifier(state).items()}
    found = as_torchvision(given | {"head.fc.weight": state["fc.weight"]})
    assert found == without_classifier(state)


@pytest.mark.parametrize("prefix", ["", "backbone.bottom_up."])
def test_detectron2(state: dict[str, Tensor], prefix: str) -> None:
    given = {prefix + detectron2(name): x for name, x in state.items() if "fc" not in name}
    assert as_torchvision(given) == without_classifier(state)


def test_caffe2_without_statistics(state: dict[str, Tensor]) -> None:
    given = {new: x for name, x in state.items() if (new := caffe2(name))}
    assert "res4_5_branch2b_bn_s" in given
    found = as_torchvision(given)
    for name, tensor in without_classifier(state).items():
        if name.endswith("running_mean"):
            assert not found[name].any()
        elif name.endswith("running_var"):  # so that our epsilon leaves a scale and a shift
            assert torch.equal(found[name], torch.full_like(tensor, 1 - EPS))
        else:
            assert found[name] is tensor
    norm = torch.nn.BatchNorm2d(64).eval()
    assert norm.eps == EPS


def test_other_names_stay() -> None:
    given = {"stages.0.weight": torch.zeros(1), "res2net.x": torch.zeros(1)}
    assert as_torchvision(given) == given
