"""fvcore's way of counting: operators, one multiply-add being one.

fvcore itself traces a model that computes (on meta tensors it fails), so that its formulas are
applied here to the operators of a pass over meta tensors: a tenth of a second and no memory for a
detector of paper size. Its functions take values of TorchScript's graphs, with ``aten`` arguments
that dispatched operators do not have, so they are written out; tests compare the two. What fvcore
reports as unsupported is added: deformable convolution, RoIAlign, pooling and element-wise
arithmetic. What it counts as free on purpose (ReLU, clamping, maxima) stays free, and is listed as
uncounted.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from torch import Tensor, nn

from detbench.measure.trace import LayerCost

Arguments = tuple[Any, ...]
BILINEAR = 4  # multiply-adds of one bilinear sample
ADAPTIVE_SAMPLES = 2  # per side of an RoIAlign bin where the number depends on the box


def convolution(arguments: Arguments, result: Any) -> int:
    """Multiply-adds; the bias is free."""
    x, weight, transposed = arguments[0], arguments[1], arguments[6]
    positions = (x if transposed else result).shape[2:]
    return x.shape[0] * prod(weight.shape) * prod(positions)


def addmm(arguments: Arguments, result: Any) -> int:
    return arguments[1].numel() * arguments[2].shape[-1]


def matrix_product(arguments: Arguments, result: Any) -> int:
    """Of ``mm`` and ``bmm``: (..., n, k) by (..., k, m)."""
    return arguments[0].numel() * arguments[1].shape[-1]


def fixed_norm(arguments: Arguments, result: Any) -> int:
    """On fixed statistics: a scale and a shift, and one less without parameters."""
    return arguments[0].numel() * (2 if arguments[1] is not None else 1)


def batch_norm(arguments: Arguments, result: Any) -> int:
    """On fixed statistics or, as instance norm and batch norm without running ones, on those of the
    input, which argument 5 says.
    """
    return (norm if arguments[5] else fixed_norm)(arguments, result)


def norm(arguments: Arguments, result: Any) -> int:
    """Statistics and normalisation: five per element, four without parameters."""
    return arguments[0].numel() * (5 if arguments[1] is not None else 4)


def layer_norm(arguments: Arguments, result: Any) -> int:
    return arguments[0].numel() * (5 if arguments[2] is not None else 4)


def deformable_convolution(arguments: Arguments, result: Tensor) -> int:
    """Multiply-adds of the convolution, and a bilinear sample per input value it reads.

    Modulated (v2), each sample also takes a multiplication by its mask.
    """
    x, weight, use_mask = arguments[0], arguments[1], bool(arguments[13])
    samples = result.shape[0] * prod(result.shape[2:]) * x.shape[1] * prod(weight.shape[2:])
    products = result.shape[0] * prod(weight.shape) * prod(result.shape[2:])
    return products + samples * (BILINEAR + use_mask)


def roi_align(arguments: Arguments, result: Tensor) -> int:
    """Bilinear samples of every bin; 2 x 2 where the sampling ratio is adaptive."""
    ratio = arguments[5] if arguments[5] > 0 else ADAPTIVE_SAMPLES
    return result.numel() * ratio * ratio * BILINEAR


def by_input(arguments: Arguments, result: Any) -> int:
    return arguments[0].numel()


def by_output(arguments: Arguments, result: Any) -> int:
    return result.numel()


def interpolation(arguments: Arguments, result: Any) -> int:
    return result.numel() * BILINEAR


ELEMENTWISE = "add sub rsub mul div pow sqrt rsqrt exp log sigmoid tanh softmax log_softmax"
"""Operators of one operation per value that fvcore leaves out."""

COSTS: dict[str, Callable[[Arguments, Any], int]] = {
    "convolution": convolution,
    "addmm": addmm,
    "mm": matrix_product,
    "bmm": matrix_product,
    "native_batch_norm": batch_norm,
    "native_batch_norm_legit_no_training": fixed_norm,
    "native_group_norm": norm,
    "native_layer_norm": layer_norm,
    "upsample_nearest2d": by_output,
    "upsample_bilinear2d": interpolation,
    "grid_sampler_2d": interpolation,
    "adaptive_avg_pool2d": by_input,
    "mean": by_input,  # what adaptive pooling to one value becomes
    # left out by fvcore
    "deform_conv2d": deformable_convolution,
    "roi_align": roi_align,
    "avg_pool2d": by_input,
    "max_pool2d_with_indices": by_input,
} | dict.fromkeys(ELEMENTWISE.split(), by_output)


def linear(layer: nn.Linear, x: Tensor, result: Tensor) -> int:
    """Multiply-adds; the bias is free."""
    return x.numel() * layer.out_features


class FvcoreRules:
    """Operators by name; of layers only linear ones, whose operators depend on how their input lies
    in memory.
    """

    def layer(self, layer: nn.Module) -> LayerCost | None:
        return linear if isinstance(layer, nn.Linear) else None

    def operator(self, name: str, arguments: tuple[Any, ...], result: Any) -> int | None:
        cost = COSTS.get(name)
        if cost is None or (isinstance(result, Tensor) and not result.is_floating_point()):
            return None
        return cost(arguments, result)
