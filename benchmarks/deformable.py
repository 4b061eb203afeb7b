"""Deformable convolution beside torchvision's: times, and how far values and gradients differ.

    python benchmarks/deformable.py --busy --rounds 9

Both are given the same maps, offsets, modulations and weights, and take turns; shapes are those of
the light profile's and of the papers' networks (``--batch``, if it is not 0, in place of their
number of images). ``--busy`` is for a machine that others use too: one thread, and CPU time. Prints
a markdown table and writes all times to ``benchmarks/results/``. On a GPU both are torchvision's
kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import options
import torch
import torchvision.ops
from gpu_checks import apart
from torch import Tensor

from detbench.measure.timing import now_ms
from detbench.ops.deformable import deform_conv2d

SHAPES = {
    "DDOD's tower, `smoke`, P3": (8, 64, 64, 16, 1),
    "DDOD's tower, 1280x800, P3": (1, 256, 256, (100, 160), 1),
    "DDOD's tower, 1280x800, P5": (1, 256, 256, (25, 40), 1),
    "ResNeXt-101 32x4d's C4, `smoke`": (8, 128, 128, 8, 8),
    "ResNet-101's C4, 1280x800": (1, 256, 256, (50, 80), 1),
}
"""Images, channels in and out, sides of the map, groups."""
HEAD = """\
| where | torchvision forward, ms | ours | backward, ms | ours | faster, both | values | gradients |
|:--|--:|--:|--:|--:|--:|--:|--:|"""

Convolve = Callable[..., Tensor]


def inputs(shape: tuple[Any, ...], device: torch.device) -> list[Tensor]:
    """Map, offsets, weights and modulations."""
    batch, channels, outputs, sides, groups = shape
    height, width = sides if isinstance(sides, tuple) else (sides, sides)
    torch.manual_seed(0)
    return [
        torch.randn(batch, channels, height, width, device=device),
        torch.randn(batch, 18, height, width, device=device),
        torch.randn(outputs, channels // groups, 3, 3, device=device),
        torch.rand(batch, 9, height, width, device=device),
    ]


def once(
    convolve: Convolve, given: list[Tensor], clock: Callable[[], float] | None
) -> tuple[float, float, list[Tensor]]:
    """Milliseconds forward and backward; the values and all gradients."""
    device = given[0].device
    x, offset, weight, mask = (one.detach().clone().requires_grad_() for one in given)
    began = now_ms(device, clock)
    y = convolve(x, offset, weight, mask=mask, padding=1)
    middle = now_ms(device, clock)
    y.backward(torch.ones_like(y))
    end = now_ms(device, clock)
    gradients = [one.grad for one in (x, offset, weight, mask) if one.grad is not None]
    return middle - began, end - middle, [y.detach(), *gradients]


def main(arguments: list[str] | None = None) -> int:
    asked = options.parser(__doc__ or "", "turns of each", 0).parse_args(arguments)
    device, clock = options.start(asked)
    ways: dict[str, Convolve] = {
        "torchvision": torchvision.ops.deform_conv2d,
        "ours": deform_conv2d,
    }
    records = []
    print(HEAD)
    for where, (batch, *others) in SHAPES.items():
        shape = (asked.batch or batch, *others)
        given = inputs(shape, device)
        found = {name: [once(way, given, clock)] for name, way in ways.items()}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                found[name].append(once(way, given, clock))
        differences = [
            apart(a, b)
            for a, b in zip(found["torchvision"][0][2], found["ours"][0][2], strict=True)
        ]
        times = {name: [(a, b) for a, b, _ in some[1:]] for name, some in found.items()}
        records.append({"where": where, "shape": shape, "times_ms": times, "apart": differences})
        print(line(where, times, differences), flush=True)
    options.write(asked, "deformable", {"records": records})
    return 0


def line(where: str, times: dict[str, list[tuple[float, float]]], differences: list[float]) -> str:
    """A line of the table; of times medians, of the ratio the median of the rounds'."""
    theirs, ours = times["torchvision"], times["ours"]
    cells = [
        f"{median([one[part] for one in who]):.1f}" for part in (0, 1) for who in (theirs, ours)
    ]
    ratio = median([sum(a) / sum(b) for a, b in zip(theirs, ours, strict=True)])
    values, gradients = differences[0], max(differences[1:])
    return f"| {where} | {' | '.join(cells)} | {ratio:.1f} | {values:.0e} | {gradients:.0e} |"


if __name__ == "__main__":
    sys.exit(main())
