"""The lighter network of a small profile: the same stages, narrower and on fewer proposals."""

from __future__ import annotations

from typing import Any, TypeVar

from detbench.recipe.base import PerTaskSpec, Spec
from detbench.recipe.detector import Dense, Detector, Roi
from detbench.recipe.model import Backbone, Fpn, ResNet
from detbench.recipe.roi import (
    Branch,
    Conv,
    Fc,
    Pointwise,
    Proposals,
    RoiAlign,
    Round,
    Rpn,
    Translated,
)
from detbench.recipe.stages import Tower
from detbench.recipe.table import Light

REFERENCE_CHANNELS = 256
"""Width of neck, towers and RPN that a profile's ``channels`` stands for."""

REFERENCE_ROI = 1024
"""Width of an RoI detector's heads that a profile's ``roi`` stands for."""


def lighten(detector: Detector, light: Light) -> Detector:
    """The detector with a small profile's network: its backbone, pyramid and widths.

    What a row compares stays: deformable convolutions, stages, rounds, thresholds. Modules of the
    user's own (``kind = "custom"``) stay as they are.
    """
    changes: dict[str, Any] = {
        "backbone": _backbone(detector.backbone, light),
        "neck": _neck(detector.neck, light),
    }
    match detector:
        case Dense():
            changes["heads"] = _each(detector.heads, light)
        case Roi():
            changes |= _roi(detector, light)
    return detector.model_copy(update=changes)


def _roi(detector: Roi, light: Light) -> dict[str, Any]:
    sibling = detector.sibling
    return {
        "rpn": _rpn(detector.rpn, light),
        "sampling": _each(detector.sampling, light),
        "assignment": _each(detector.assignment, light),
        "heads": _each(detector.heads, light),
        "sibling": None if sibling is None else _branch(sibling, light),
        "rounds": tuple(_branch(one, light) for one in detector.rounds),
    }


B = TypeVar("B", Branch, Round)


def _branch(branch: B, light: Light) -> B:
    sampling = None if branch.sampling is None else _each(branch.sampling, light)
    return branch.model_copy(update={"heads": _each(branch.heads, light), "sampling": sampling})


def _each(pair: PerTaskSpec[Any], light: Light) -> PerTaskSpec[Any]:
    found = {task: getattr(pair, task) for task in ("both", "cls", "loc")}
    return pair.model_copy(
        update={task: _option(option, light) for task, option in found.items() if option}
    )


def _option(option: Spec, light: Light) -> Spec:
    match option:
        case Tower():
            return option.model_copy(update={"channels": _scaled(option.channels, light)})
        case Fc() | Conv():
            share = (light.roi or 4 * light.channels) / REFERENCE_ROI
            return option.model_copy(update={"channels": _eights(option.channels * share)})
        case RoiAlign():
            return option.model_copy(update={"size": _most(option.size, light.pool)})
        case Pointwise() | Translated():
            changes: dict[str, Any] = {
                "hidden": _scaled(option.hidden, light),
                "size": _most(option.size, light.pool),
            }
            return option.model_copy(update=changes)
        case Proposals():
            sampler = option.sampler
            changes = {
                "train_count": _most(option.train_count, light.proposals),
                "test_count": _most(option.test_count, light.proposals),
                "sampler": sampler.model_copy(
                    update={"count": _most(sampler.count, light.samples)}
                ),
            }
            return option.model_copy(update=changes)
    return option


def _backbone(backbone: Backbone, light: Light) -> Backbone:
    if not isinstance(backbone, ResNet):
        return backbone
    if isinstance(light.backbone, ResNet) and backbone.deformable != "none":
        return light.backbone.model_copy(update={"deformable": backbone.deformable})
    return light.backbone


def _neck(neck: Any, light: Light) -> Any:
    if not isinstance(neck, Fpn):
        return neck
    changes: dict[str, Any] = {"channels": _scaled(neck.channels, light)}
    changes |= {k: v for k in ("first", "levels") if (v := getattr(light, k)) is not None}
    return neck.model_copy(update=changes)


def _rpn(rpn: Rpn, light: Light) -> Rpn:
    changes = {
        "channels": _scaled(rpn.channels, light),
        "anchors": rpn.anchors.model_copy(update={"size": rpn.anchors.size * light.anchors}),
        "train_candidates": _most(rpn.train_candidates, light.candidates),
        "test_candidates": _most(rpn.test_candidates, light.candidates),
    }
    return rpn.model_copy(update=changes)


def _most(count: int, limit: int | None) -> int:
    return count if limit is None else min(count, limit)


def _scaled(channels: int, light: Light) -> int:
    return _eights(channels * light.channels / REFERENCE_CHANNELS)


def _eights(channels: float) -> int:
    """The nearest multiple of 8, at least 8."""
    return max(8, int(channels / 8 + 0.5) * 8)
