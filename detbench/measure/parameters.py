"""Number of parameters."""

from __future__ import annotations

from typing import Any

from torch import nn


def millions(module: nn.Module, trainable: bool = True) -> float:
    """Parameters in millions, shared ones once.

    Args:
        module: on any device, meta too.
        trainable: leave out frozen ones, as the papers do.
    """
    found = (p for p in module.parameters() if p.requires_grad or not trainable)
    return sum(parameter.numel() for parameter in found) / 1e6


def loc_convolutions(detector: Any) -> float:
    """Weights of the convolutions that serve loc alone, in units of 2^20, biases and norms aside.

    So Double-Head counts its conv-head: 1.0625 a residual block, 2 a non-local one (Table 2).
    """
    own: nn.Module = detector.parts()["loc"]
    weights = {module.weight for module in own.modules() if isinstance(module, nn.Conv2d)}
    return sum(weight.numel() for weight in weights) / 2**20
