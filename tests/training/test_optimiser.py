from __future__ import annotations

from typing import Any

import pytest
import torch
from standin import SGD, Tiny
from torch import nn

from detbench.assembly.common import make
from detbench.errors import CellFailed
from detbench.recipe.experiment import AdamW, Sgd
from detbench.recipe.model import ResNet, Timm
from detbench.training.optimiser import build, parameter_groups, set_rate


def placed(detector: nn.Module, settings: Any) -> dict[str, tuple[float, float]]:
    """Each parameter's factor and decay by name."""
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    return {
        names[id(parameter)]: (group["factor"], group["weight_decay"])
        for group in parameter_groups(detector, settings)
        for parameter in group["params"]
    }


def test_sgd_groups() -> None:
    assert placed(Tiny(), Sgd.model_validate(SGD)) == {
        "backbone.1.weight": (1.0, 0.0),
        "backbone.1.bias": (1.0, 0.0),
        "norm.weight": (1.0, 0.0),
        "norm.bias": (1.0, 0.0),
        "out.weight": (1.0, 1e-4),
        "out.bias": (2.0, 0.0),
    }


def test_plain_sgd_treats_all_alike() -> None:
    settings = Sgd(kind="sgd", lr=0.1)
    assert set(placed(Tiny(), settings).values()) == {(1.0, 1e-4)}
    assert len(parameter_groups(Tiny(), settings)) == 1


def test_adamw_decays_only_weights_of_more_dimensions() -> None:
    found = placed(Tiny(), AdamW(kind="adamw", lr=0.1))
    assert {name for name, (_, decay) in found.items() if decay} == {"out.weight"}


def test_a_shared_parameter_is_once() -> None:
    detector = Tiny()
    detector.again = detector.out
    groups = parameter_groups(detector, Sgd(kind="sgd", lr=0.1))
    assert sum(len(group["params"]) for group in groups) == 6


def test_rates_follow_their_factor() -> None:
    optimiser = build(Tiny(), Sgd.model_validate(SGD))
    set_rate(optimiser, 0.3)
    assert sorted({group["lr"] for group in optimiser.param_groups}) == [0.3, 0.6]


def test_sgd_is_torchs() -> None:
    """One step against the formula: v = g + decay w; w -= lr v."""
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.detach().clone()
    optimiser = build(layer, Sgd(kind="sgd", lr=0.1, weight_decay=0.5))
    set_rate(optimiser, 0.1)
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    torch.testing.assert_close(layer.weight.detach(), before - 0.1 * (1 + 0.5 * before))


def test_all_frozen_is_said() -> None:
    detector = Tiny().requires_grad_(False)
    with pytest.raises(CellFailed, match="all are frozen"):
        build(detector, Sgd(kind="sgd", lr=0.1))


@pytest.mark.parametrize("kind", [Sgd, AdamW])
@pytest.mark.parametrize("name", ["resnet", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_rates_fall_by_the_backbones_layers(name: str, kind: Any) -> None:
    """From the last block to the stem, whatever the network calls its modules."""
    if name == "resnet":
        made: Any = ResNet(kind="resnet", depth=18, frozen_stages=0)
        blocks = [f"layer{stage}.{block}." for stage in range(1, 5) for block in range(2)]
    else:
        made = Timm(kind="timm", name=name, frozen_stages=0)
        stages, counts = ("stages_", (2, 2, 6, 2)) if "next" in name else ("layers_", (2, 2, 6, 2))
        blocks = [
            f"body.{stages}{stage}.blocks.{block}."
            for stage, count in enumerate(counts)
            for block in range(count)
        ]
    detector = nn.ModuleDict({"backbone": make(made), "neck": nn.Conv2d(2, 2, 1)})
    name_of_kind = "sgd" if kind is Sgd else "adamw"
    found = placed(detector, kind(kind=name_of_kind, lr=0.1, layer_decay=0.8))
    factors = {name: factor for name, (factor, _) in found.items()}
    assert factors.pop("neck.weight") == factors.pop("neck.bias") == 1
    for above, block in enumerate(reversed(blocks), 1):
        inside = {factors[key] for key in factors if key.startswith(f"backbone.{block}")}
        assert inside == {0.8**above}, block
    stem = factors[next(iter(factors))]
    assert stem == 0.8 ** (len(blocks) + 1)
    assert len(set(factors.values())) == len(blocks) + 1
    assert len(factors) == len(list(detector["backbone"].parameters()))


def test_a_backbone_without_layers_is_said() -> None:
    with pytest.raises(CellFailed, match="does not say what its layers are"):
        build(Tiny(), AdamW(kind="adamw", lr=0.1, layer_decay=0.9))
