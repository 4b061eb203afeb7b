from __future__ import annotations

from typing import Any

import pytest
import torch
from standin import SGD, Tiny
from torch import nn

from detbench.errors import CellFailed
from detbench.recipe.experiment import AdamW, Sgd
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
