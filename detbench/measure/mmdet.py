"""The papers' way of counting: what mmcv 1.x's ``get_model_complexity_info`` hooks into.

Layers count, functions do not: up-sampling by ``interpolate``, deformable convolution, RoI
pooling, additions and activations called as functions are free. A layer called several times
counts each time.
"""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, nn
from torchvision.ops.misc import FrozenBatchNorm2d

from detbench.measure.trace import LayerCost

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    FrozenBatchNorm2d,
)
ACTIVATIONS = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
POOLINGS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)


def convolution(layer: nn.Conv2d, x: Tensor, y: Tensor) -> int:
    """Multiply-adds, and one addition per output for the bias."""
    per_output = prod(layer.kernel_size) * layer.in_channels // layer.groups
    return y.numel() * (per_output + (layer.bias is not None))


def transposed_convolution(layer: nn.ConvTranspose2d, x: Tensor, y: Tensor) -> int:
    """Multiply-adds at each input position, and one addition per output for the bias."""
    per_input = prod(layer.kernel_size) * layer.out_channels // layer.groups
    return x.numel() * per_input + y.numel() * (layer.bias is not None)


def linear(layer: nn.Linear, x: Tensor, y: Tensor) -> int:
    """Multiply-adds; the bias once, not once per row: so do the hooks."""
    bias = layer.out_features if layer.bias is not None else 0
    return x.numel() * layer.out_features + bias


def norm(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    """Two per element with scale and shift, else one."""
    affine = getattr(layer, "affine", False) or getattr(layer, "elementwise_affine", False)
    return x.numel() * (2 if affine or isinstance(layer, FrozenBatchNorm2d) else 1)


def by_input(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    return x.numel()


def by_output(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    return y.numel()


COSTS: tuple[tuple[tuple[Any, ...], LayerCost], ...] = (
    (CONVOLUTIONS, convolution),
    (TRANSPOSED, transposed_convolution),
    ((nn.Linear,), linear),
    (NORMS, norm),
    (POOLINGS, by_input),
    (ACTIVATIONS, by_output),
    ((nn.Upsample,), by_output),
)


class MmdetRules:
    """Layers by type, subclasses included; no operators."""

    def layer(self, layer: nn.Module) -> LayerCost | None:
        return next((cost for types, cost in COSTS if isinstance(layer, types)), None)

    def operator(self, name: str, arguments: tuple[Any, ...], result: Any) -> int | None:
        return None
