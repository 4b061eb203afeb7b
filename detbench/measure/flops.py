"""GFLOPs of a detector under two conventions, without computing anything.

``mmdet`` is how the papers counted: the module hooks of mmcv 1.x. ``fvcore`` is fvcore's
convention (one multiply-add is one), with the operators that fvcore leaves out. Both name what
they did not count.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from detbench.errors import RecipeError
from detbench.measure import trace
from detbench.measure.fvcore import FvcoreRules
from detbench.measure.mmdet import MmdetRules

CountProtocol = Literal["mmdet", "fvcore"]
RULES: dict[CountProtocol, type[trace.Rules]] = {"mmdet": MmdetRules, "fvcore": FvcoreRules}

LARGEST_SIDE = 65536
"""Pixels; sizes beyond overflow before they mean anything."""


@dataclass(frozen=True)
class Count:
    """GFLOPs of one forward pass over one image.

    Attributes:
        gflops: the whole, in 1e9 operations as the protocol counts them.
        input: (width, height) in pixels.
        protocol: name of the convention.
        by_part: GFLOPs of backbone, neck, cls, loc; ``cls+loc`` is shared, ``other`` the rest.
        by_operator: GFLOPs per kind of layer or operator.
        uncounted: operators that did arithmetic and were not counted -> number of calls.
    """

    gflops: float
    input: tuple[int, int]
    protocol: CountProtocol
    by_part: Mapping[str, float]
    by_operator: Mapping[str, float]
    uncounted: Mapping[str, int]


def count(detector: nn.Module, input: tuple[int, int], protocol: CountProtocol = "mmdet") -> Count:
    """Count the forward pass of ``detector`` over one image, in eval mode.

    The image is taken as it is, not padded, as the papers did. Post-processing is not part of
    the forward pass. Nothing large is computed or allocated: a detector that is not on the meta
    device is copied there.

    Args:
        detector: any module of one (1, 3, H, W) argument. ``detector.parts()``, if there is such
            a method, gives the parts of ``by_part``.
        input: (width, height) in pixels.
        protocol: ``mmdet`` or ``fvcore``.

    Raises:
        RecipeError: the input is too small for the detector, or absurdly large.
    """
    if max(input) > LARGEST_SIDE:
        raise RecipeError(
            f"input {input[0]}x{input[1]} is too large: sides of up to {LARGEST_SIDE} pixels"
        )
    if any(tensor.device.type != "meta" for tensor in detector.state_dict().values()):
        detector = copy.deepcopy(detector).to("meta")
    parts: Any = getattr(detector, "parts", dict)
    width, height = input
    images = torch.empty(1, 3, height, width, device="meta")
    try:
        found = trace.run(detector, images, parts(), RULES[protocol]())
    except RuntimeError as error:
        if min(input) >= 32:
            raise
        raise RecipeError(f"input {width}x{height} is too small for this detector") from error
    return Count(
        gflops=sum(found.parts.values()) / 1e9,
        input=input,
        protocol=protocol,
        by_part={name: cost / 1e9 for name, cost in found.parts.items()},
        by_operator={name: cost / 1e9 for name, cost in found.operators.most_common() if cost},
        uncounted=dict(sorted(found.uncounted.items())),
    )
