"""What a detector costs, as the metrics of the block ``cost`` name it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from detbench.measure import parameters as weights
from detbench.measure.flops import Count
from detbench.recipe.metrics import METRICS

Figure = tuple[float | None, dict[str, Any]]
"""A number, and what another must share to be comparable."""


@dataclass(frozen=True)
class Counted:
    """A detector whose operations are counted.

    Attributes:
        input: width and height in pixels.
        counter: the protocol of the count.
    """

    detector: nn.Module
    count: Count
    input: tuple[int, int]
    counter: str
    classes: int


def measure(key: str, counted: Counted) -> Figure:
    """The figure of one metric of the block ``cost``."""
    module, _, name = METRICS[key].source.partition(":")
    found: Figure = getattr(import_module(module), name)(counted)
    return found


def gflops(counted: Counted) -> Figure:
    return counted.count.gflops, {
        "input": list(counted.input),
        "counter": counted.counter,
        "classes": counted.classes,
        "uncounted": dict(counted.count.uncounted),
    }


def trainable(counted: Counted) -> Figure:
    how = {"classes": counted.classes, "counted": "trainable"}
    return weights.millions(counted.detector), how


def parameters(counted: Counted) -> Figure:
    how = {"classes": counted.classes, "counted": "all"}
    return weights.millions(counted.detector, trainable=False), how


def loc_convolutions(counted: Counted) -> Figure:
    how = {"counted": "weights of the loc head's convolutions"}
    return weights.loc_convolutions(counted.detector), how
