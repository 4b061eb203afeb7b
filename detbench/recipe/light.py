"""The lighter network of a small profile: the same stages, narrower and on fewer proposals.

What becomes of a field is said where the field is, in its schema's ``scaling``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from detbench.recipe.base import Custom, Spec
from detbench.recipe.detector import Dense, Roi
from detbench.recipe.model import ResNet, Timm
from detbench.recipe.scaling import Rule
from detbench.recipe.table import Light

REFERENCE_CHANNELS = 256
"""Width of neck, towers and RPN that a profile's ``channels`` stands for."""

REFERENCE_ROI = 1024
"""Width of an RoI detector's heads that a profile's ``roi`` stands for."""

REFERENCE_POOL = 7
"""Side of pooled maps that a profile's ``pool`` stands for."""

REFERENCE_CANDIDATES = 1000
"""The RPN's candidates of a level that a profile's ``candidates`` stands for."""

REFERENCE_FINEST = 56.0
"""Side in pixels of regions on the finest level where a recipe does not say."""

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)} | {
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Blocks of C2 to C5 by depth (He et al. 2016, Table 1; 10 as in timm)."""

D = TypeVar("D", bound=Dense | Roi)


def lighten(detector: D, light: Light) -> D:
    """The detector with a small profile's network: its backbone, pyramid and widths.

    What a row compares stays: depth and cardinality of backbones in proportion, deformable
    convolutions, stages, rounds, thresholds. Modules of the user's own (``kind = "custom"``) stay
    as they are.
    """
    lighter: D = _lightened(detector, light)
    return lighter


def _lightened(value: Any, light: Light) -> Any:
    """A schema with its fields as it says, and so on down."""
    if isinstance(value, tuple):
        return tuple(_lightened(item, light) for item in value)
    if not isinstance(value, Spec) or isinstance(value, Custom):
        return value
    if isinstance(value, ResNet):
        return _backbone(value, light)
    if isinstance(value, Timm):
        return _timm(value, light)
    changes = {}
    for name, old in value:
        if rule := value.scaling.get(name):
            changes[name] = RULES[rule](old, light)
        elif isinstance(old, (Spec, tuple)):
            changes[name] = _lightened(old, light)
    return value.model_copy(update=changes)


def _backbone(backbone: ResNet, light: Light) -> ResNet:
    """Fewer blocks in proportion to a ResNet-50's, and narrower; the rest is the recipe's.

    Where a stage of a shallower network would have less than one block, the network is narrower by
    as much as it has blocks too many.
    """
    own, reference = backbone.blocks or BLOCKS[backbone.depth], light.backbone
    stages = zip(own, BLOCKS[50], reference.blocks, strict=True)
    blocks = tuple(max(1, _nearest(mine * less / many)) for mine, many, less in stages)
    wanted = sum(own) * sum(reference.blocks) / sum(BLOCKS[50])
    width = _product(reference.width * backbone.width, min(1.0, wanted / sum(blocks)))
    settings = {"blocks": blocks, "width": width, "weights": None}
    return backbone.model_copy(update=reference.model_dump() | settings)


def _timm(backbone: Timm, light: Light) -> Timm:
    """Each stage with the share of its blocks that a ResNet-50's has, and as much narrower."""
    reference = light.backbone
    shares = zip(reference.blocks, BLOCKS[50], strict=True)
    blocks = tuple(min(1.0, _product(1, less / many)) for less, many in shares)
    width = _product(reference.width, backbone.width)
    return backbone.model_copy(update=reference.model_dump() | {"blocks": blocks, "width": width})


def _channels(width: int, light: Light) -> int:
    return _eights(width * light.channels / REFERENCE_CHANNELS)


def _roi(width: int, light: Light) -> int:
    return _eights(width * (light.roi or 4 * light.channels) / REFERENCE_ROI)


def _pool(size: int, light: Light) -> int:
    return size if light.pool is None else max(1, _nearest(size * light.pool / REFERENCE_POOL))


def _candidates(count: int, light: Light) -> int:
    if light.candidates is None:
        return count
    return max(1, _nearest(count * light.candidates / REFERENCE_CANDIDATES))


def _bounds(size: float | None, light: Light) -> float | None:
    if light.bounds == 1:
        return size
    return _product(REFERENCE_FINEST if size is None else size, light.bounds)


def _most(count: int, limit: int | None) -> int:
    return count if limit is None else min(count, limit)


def _eights(channels: float) -> int:
    """The nearest multiple of 8, at least 8."""
    return max(8, _nearest(channels / 8) * 8)


def _product(one: float, other: float) -> float:
    """Without the last digits, so that 0.1 of 0.1 is 0.01."""
    return float(f"{one * other:.12g}")


def _nearest(number: float) -> int:
    return int(number + 0.5)


RULES: dict[Rule, Callable[[Any, Light], Any]] = {
    "kept": lambda value, light: value,
    "channels": _channels,
    "roi": _roi,
    "pool": _pool,
    "proposals": lambda count, light: _most(count, light.proposals),
    "candidates": _candidates,
    "samples": lambda count, light: _most(count, light.samples),
    "anchors": lambda size, light: _product(size, light.anchors),
    "bounds": _bounds,
    "init": lambda init, light: init or light.init,
    "shift": lambda gamma, light: _product(gamma, light.shift),
    "epochs": lambda epochs, light: _product(epochs, light.epochs),
    "first": lambda first, light: light.first or first,
    "levels": lambda levels, light: light.levels or levels,
}
"""What each rule of ``recipe.scaling`` does; ``backbone`` is done for all fields at once."""
