"""Initialisations of the layers of RoI heads, as in the authors' codes.

Linear layers (``LinearInit``):

    xavier-uniform   variance 2 / (inputs + outputs) (MMDetection's RoI heads)
    kaiming-normal   deviation 1 / sqrt(inputs) (TSD's code)
    kaiming-uniform  the same deviation, uniform (maskrcnn-benchmark)
    default          PyTorch's: a third of that variance, and biases that are not zero

Prediction layers (``OutputInit``): normal with this standard deviation, or ``default``. In all but
``default`` biases start at zero.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

LinearInit = Literal["xavier-uniform", "kaiming-normal", "kaiming-uniform", "default"]
OutputInit = float | Literal["default"]


def linear(inputs: int, outputs: int, init: LinearInit) -> nn.Linear:
    """A linear layer with these initial weights."""
    layer = nn.Linear(inputs, outputs)
    match init:
        case "xavier-uniform":
            nn.init.xavier_uniform_(layer.weight)
        case "kaiming-normal":
            nn.init.kaiming_normal_(layer.weight, a=1)
        case "kaiming-uniform":
            nn.init.kaiming_uniform_(layer.weight, a=1)
        case "default":
            return layer
    nn.init.zeros_(layer.bias)
    return layer


def output(inputs: int, outputs: int, init: OutputInit) -> nn.Linear:
    """A prediction layer with these initial weights."""
    layer = nn.Linear(inputs, outputs)
    if init != "default":
        nn.init.normal_(layer.weight, std=init)
        nn.init.zeros_(layer.bias)
    return layer


def convolution(inputs: int, outputs: int, kernel: int, fan_out: bool) -> nn.Conv2d:
    """A convolution without bias that keeps the size of its map.

    Args:
        fan_out: He's normal by fan-out (He et al. 2015), else PyTorch's default.
    """
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    if fan_out:
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
