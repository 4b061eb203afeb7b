"""What both skeletons are built from."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from detbench.backbones.fpn import Fpn
from detbench.backbones.resnet import ResNet
from detbench.errors import RecipeError
from detbench.ops.candidates import Grid, anchor_grid, point_grid
from detbench.pertask import PerTask
from detbench.recipe import model as spec
from detbench.recipe.base import Custom, PerTaskSpec


def per_task(settings: PerTaskSpec[Any], make: Callable[[Any], Any]) -> PerTask[Any]:
    """One object for ``both``; two for ``cls`` and ``loc``, even with equal settings."""
    if settings.shared:
        return PerTask.both(make(settings.of("cls")))
    return PerTask(make(settings.of("cls")), make(settings.of("loc")))


def backbone_of(settings: spec.Backbone, stages: int = 4) -> Any:
    """The backbone up to C2 to C5, or fewer ``stages``."""
    match settings:
        case spec.ResNet():
            return ResNet(**settings.model_dump(exclude={"kind", "weights"}), stages=stages)
        case Custom():
            return custom(settings)


def neck_of(settings: spec.Neck, inputs: list[int]) -> Any:
    """The neck on backbone maps of ``inputs`` channels."""
    match settings:
        case spec.Fpn():
            return Fpn(
                inputs,
                channels=settings.channels,
                levels=settings.levels,
                extra=settings.extra,
                relu_before_extra=settings.relu_before_extra,
                bottom_up=settings.paths == "pafpn",
            )
        case spec.CustomNeck():
            return custom(
                settings, inputs=inputs, channels=settings.channels, levels=settings.levels
            )


def grid_of(settings: spec.Candidates) -> Grid:
    """Anchors or points."""
    match settings:
        case spec.Anchors():
            return anchor_grid(
                settings.size,
                settings.scales,
                settings.ratios,
                settings.offset,
                settings.octaves,
            )
        case spec.Points():
            return point_grid(settings.offset)


def custom(settings: Custom, **context: Any) -> Any:
    """Import ``target`` and call it with its own arguments and the stage's context."""
    module_name, _, name = settings.target.partition(":")
    try:
        target = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise RecipeError(f"target {settings.target!r}: {error}; is it on PYTHONPATH?") from error
    except AttributeError as error:
        raise RecipeError(f"target {settings.target!r}: no {name!r} in {module_name}") from error
    try:
        return target(**context, **settings.arguments)
    except TypeError as error:
        raise RecipeError(f"target {settings.target!r}: {error}") from error
