"""Number of parameters."""

from __future__ import annotations

from torch import nn


def millions(module: nn.Module, trainable: bool = True) -> float:
    """Parameters in millions, shared ones once.

    Args:
        module: on any device, meta too.
        trainable: leave out frozen ones, as the papers do.
    """
    found = (p for p in module.parameters() if p.requires_grad or not trainable)
    return sum(parameter.numel() for parameter in found) / 1e6
