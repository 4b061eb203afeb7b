"""The optimiser, with its parameters in groups of equal rate and decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from detbench.errors import CellFailed
from detbench.recipe.experiment import AdamW, Sgd

NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)


def build(detector: nn.Module, settings: Sgd | AdamW) -> torch.optim.Optimizer:
    """The optimiser of every parameter that trains.

    Each group has ``factor``: its share of the learning rate, which ``set_rate`` applies.

    Raises:
        CellFailed: everything is frozen.
    """
    groups = parameter_groups(detector, settings)
    if not groups:
        raise CellFailed("no parameter of the detector trains: all are frozen")
    if isinstance(settings, Sgd):
        return _sgd(groups, settings)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def _sgd(groups: list[dict[str, Any]], settings: Sgd) -> torch.optim.Optimizer:
    optimiser = torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, fused=True)
    if settings.momentum:
        # The fused step leaves new momentum as found in memory when fp16's scaler skips the first
        # step; zeros give the same first step and survive a skipped one.
        for group in groups:
            for parameter in group["params"]:
                zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                optimiser.state[parameter]["momentum_buffer"] = zeros
    return optimiser


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's learning rate to its share of ``rate``."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def parameter_groups(detector: nn.Module, settings: Sgd | AdamW) -> list[dict[str, Any]]:
    """Parameters of equal rate and decay together; frozen ones left out.

    The order is that of the modules, so an optimiser's state fits the same detector again.
    SGD's settings say what norms and biases get. AdamW does not decay parameters of one dimension.
    Nothing decays that a module's ``no_weight_decay()`` names, as timm's networks do of tables of
    positions.

    Raises:
        CellFailed: rates are to fall by layer, and the backbone has no ``layers``.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    shares = _layer_shares(detector, settings.layer_decay)
    kept = _not_decayed(detector)
    for module, name, parameter in _trainable(detector):
        factor, decay = _factor_and_decay(module, name, parameter, settings)
        share = shares.get(id(parameter), 1.0)
        decay = 0.0 if id(parameter) in kept else decay
        groups.setdefault((factor * share, decay), []).append(parameter)
    return [
        {"params": parameters, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


def _layer_shares(detector: nn.Module, decay: float) -> dict[int, float]:
    """What each parameter of the backbone has of the learning rate, by its id: ``decay`` to the
    number of layers up to the neck, its own included.
    """
    if decay == 1:
        return {}
    layers = getattr(getattr(detector, "backbone", None), "layers", None)
    if layers is None:
        raise CellFailed(
            "training.optimizer.layer_decay: this backbone does not say what its layers are: give "
            "it an attribute 'layers', a list of modules each from the stem on, or drop the setting"
        )
    return {
        id(parameter): decay**above
        for above, modules in enumerate(reversed(layers), 1)
        for module in modules
        for parameter in module.parameters(recurse=False)
    }


def _not_decayed(detector: nn.Module) -> set[int]:
    """Ids of the parameters that some module says should not decay, by their names in it."""
    found: set[int] = set()
    for module in detector.modules():
        named = getattr(module, "no_weight_decay", None)
        if callable(named):
            own = dict(module.named_parameters())
            found |= {id(own[name]) for name in named() if name in own}
    return found


def _trainable(detector: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Each trained parameter once, with the module that owns it and its name there."""
    seen: set[nn.Parameter] = set()
    for module in detector.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield module, name, parameter


def _factor_and_decay(
    module: nn.Module, name: str, parameter: nn.Parameter, settings: Sgd | AdamW
) -> tuple[float, float]:
    decay = settings.weight_decay
    if isinstance(settings, AdamW):
        return 1.0, decay if parameter.ndim > 1 else 0.0
    if isinstance(module, NORMS):
        return 1.0, decay if settings.decay_norms else 0.0
    if name == "bias":
        return settings.bias_lr, decay if settings.decay_biases else 0.0
    return 1.0, decay
