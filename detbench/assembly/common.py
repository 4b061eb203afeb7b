"""What both skeletons are built from."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from detbench.assembly import contract
from detbench.backbones.fpn import Fpn
from detbench.backbones.resnet import ResNet
from detbench.errors import RecipeError
from detbench.ops.candidates import Grid, anchor_grid, point_grid
from detbench.pertask import PerTask
from detbench.recipe import model as spec
from detbench.recipe import source
from detbench.recipe.base import Custom, PerTaskSpec, Spec
from detbench.recipe.validate import suggest


def per_task(settings: PerTaskSpec[Any], make: Callable[[Any], Any]) -> PerTask[Any]:
    """One object for ``both``; two for ``cls`` and ``loc``, even with equal settings."""
    if settings.shared:
        return PerTask.both(make(settings.of("cls")))
    return PerTask(make(settings.of("cls")), make(settings.of("loc")))


def given(settings: Spec, but: set[str] | None = None) -> dict[str, Any]:
    """An option's settings, ``but`` some, as arguments of its module; one that is left out has the
    module's default.
    """
    return settings.model_dump(exclude={"kind"} | (but or set()), exclude_none=True)


def backbone_of(settings: spec.Backbone, stages: int = 4) -> Any:
    """The backbone up to C2 to C5, or fewer ``stages``."""
    match settings:
        case spec.ResNet():
            return ResNet(**settings.model_dump(exclude={"kind", "weights"}), stages=stages)
        case Custom():
            made = custom(settings, needs=("channels",))
            contract.backbone(settings, made, stages)
            return made


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
            made = custom(
                settings,
                needs=("channels",),
                inputs=inputs,
                channels=settings.channels,
                levels=settings.levels,
            )
            contract.neck(settings, made, inputs, settings.levels)
            return made


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
                settings.rounding,
            )
        case spec.Points():
            return point_grid(settings.offset)


def custom(settings: Custom, needs: Sequence[str] = (), **context: Any) -> Any:
    """Import ``target`` and call it with its own arguments and the stage's context.

    Args:
        settings: what ``recipe.base.Custom`` says, with the contract of each stage.
        needs: attributes that what comes of it must have.
        context: what the stage tells every option.

    Raises:
        RecipeError: the target cannot be imported, takes other arguments, or lacks an attribute.
            What its own code raises is passed on, with its traceback.
    """
    where = f"target {settings.target!r}"
    target = _imported(settings.target)
    if settings.source is not None:
        source.settled(settings)
    if twice := sorted(set(context) & set(settings.arguments)):
        raise RecipeError(f"{where}: arguments: {', '.join(twice)} is given by the stage; drop it")
    with contextlib.suppress(ValueError):  # a class of compiled code may have no signature
        signature = inspect.signature(target)
        try:
            signature.bind(**context, **settings.arguments)
        except TypeError as error:
            given = ", ".join([*context, *settings.arguments]) or "nothing"
            raise RecipeError(f"{where}: {error}; it is called with {given}") from error
    made = target(**context, **settings.arguments)
    if lacking := [name for name in needs if not hasattr(made, name)]:
        raise RecipeError(
            f"{where}: what it makes has no attribute {', '.join(map(repr, lacking))}, which this "
            "stage reads: see help(detbench.recipe.base.Custom)"
        )
    return made


def _imported(target: str) -> Any:
    """The object of ``package.module:name``; modules of the current folder are found too."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        ours = missing is not None and f"{module_name}.".startswith(f"{missing}.")
        advice = "; run in its folder, or put that on PYTHONPATH" if ours else ""
        raise RecipeError(f"target {target!r}: {error}{advice}") from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        names = [key for key, value in vars(module).items() if callable(value)]
        hint = suggest(name, names)
        raise RecipeError(f"target {target!r}: no {name!r} in {module_name}{hint}") from error
