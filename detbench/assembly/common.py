"""What both skeletons are built from."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from torch import nn

from detbench.assembly import uncached
from detbench.errors import CHANGED_SINCE, RecipeError
from detbench.pertask import PerTask
from detbench.recipe import source
from detbench.recipe.base import Custom, Option, PerTaskSpec
from detbench.recipe.validate import suggest

Check = Callable[[Custom, Any], None]
"""Tries what a ``Custom`` made, see ``assembly.contract``."""


def per_task(settings: PerTaskSpec[Any], make: Callable[[Any], Any]) -> PerTask[Any]:
    """One object for ``both``; two for ``cls`` and ``loc``, even with equal settings."""
    if settings.shared:
        return PerTask.both(make(settings.of("cls")))
    return PerTask(make(settings.of("cls")), make(settings.of("loc")))


def make(
    settings: Option | Custom,
    check: Check | None = None,
    wiring: Mapping[str, Any] | None = None,
    **context: Any,
) -> Any:
    """Import an option's ``target`` and call it with its settings and the stage's context.

    Where a module that is built in takes a dataclass, its fields are settings of the option.

    Args:
        settings: of a module that is built in, or of one's own (``recipe.base.Custom``).
        check: of the latter.
        wiring: what only modules that are built in may take beside the context.
        context: what the stage tells every option, by keyword. One's own is given all of it; a
            module that is built in what its signature names.

    Raises:
        RecipeError: a target of one's own cannot be imported, takes other arguments, or breaks the
            contract. What its own code raises is passed on, with its traceback.
    """
    if isinstance(settings, Custom):
        made = _own(settings, context)
        if check is not None:
            check(settings, made)
        return made
    target, offered = imported(settings.target), {**(wiring or {}), **context}
    wanted, arguments = inspect.signature(target, eval_str=True).parameters, settings.arguments
    for name, parameter in wanted.items():
        record = parameter.annotation
        if isinstance(record, type) and is_dataclass(record) and name not in offered:
            names = {field.name for field in fields(record)} & arguments.keys()
            arguments[name] = record(**{field: arguments.pop(field) for field in names})
    return target(**{name: x for name, x in offered.items() if name in wanted} | arguments)


def _own(settings: Custom, context: Mapping[str, Any]) -> Any:
    where = f"target {settings.target!r}"
    if os.getcwd() not in sys.path:  # modules of the current folder are found too
        sys.path.append(os.getcwd())
    uncached.install()
    if source.is_pythons(settings.target.partition(":")[0]):
        raise RecipeError(source.problem(settings.target))
    target = imported(settings.target)
    if not _may_be_called(target):
        raise RecipeError(f"{where}: is none that may be called{source.OF_YOURS}")
    if settings.source not in (None, source.of_target(settings.target)):
        raise RecipeError(
            f"{where}: not the source that is asked for: it, or what it imports, {CHANGED_SINCE}"
        )
    if twice := sorted(set(context) & set(settings.arguments)):
        raise RecipeError(f"{where}: arguments: {', '.join(twice)} is given by the stage; drop it")
    with suppress(ValueError):  # a class of compiled code may have no signature
        signature = inspect.signature(target)
        try:
            signature.bind(**context, **settings.arguments)
        except TypeError as error:
            given = ", ".join([*context, *settings.arguments]) or "nothing"
            raise RecipeError(f"{where}: {error}; it is called with {given}") from error
    with without_exit(settings.target, "made"):
        return target(**context, **settings.arguments)


def _may_be_called(target: Any) -> bool:
    """Whether a target is a class or a function of the user's or of detbench's; of what else is
    installed only networks are, as other functions do anything.
    """
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        return False
    if source.is_pythons(target.__module__):
        return False
    file = getattr(sys.modules.get(target.__module__), "__file__", None)
    own = file is None or not source.is_installed(Path(file).absolute())
    ours = target.__module__.partition(".")[0] == "detbench"
    return own or ours or (inspect.isclass(target) and issubclass(target, nn.Module))


@contextmanager
def without_exit(target: str, when: str) -> Iterator[None]:
    """A target that ends Python (``sys.exit``, a command line that is read) is an error.

    Args:
        when: what is done with it: ``imported``, ``made``, ``tried``.

    Raises:
        RecipeError: it does; says which line of the user's.
    """
    try:
        yield
    except SystemExit as error:
        raise RecipeError(
            f"target {target!r}: {place_of(error)}ends Python (SystemExit: {error}) when it is "
            f"{when}: mend it there"
        ) from error


def place_of(error: BaseException) -> str:
    """``file:line: `` of the last of the user's lines that an error went through; else empty."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not source.is_installed(Path(one.filename).absolute())]
    return "".join(f"{one.filename}:{one.lineno}: " for one in own[-1:])


def imported(target: str) -> Any:
    """The object of ``package.module:name``."""
    module_name, _, name = target.partition(":")
    try:
        with without_exit(target, "imported"):
            module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        ours = missing is not None and f"{module_name}.".startswith(f"{missing}.")
        advice = source.WHERE if ours else ""
        raise RecipeError(f"target {target!r}: {error}{advice}") from error
    except SyntaxError as error:
        place = f"{error.filename or module_name}:{error.lineno or 1}"
        raise RecipeError(f"target {target!r}: {place}: {error.msg}: mend it there") from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        names = [key for key, value in vars(module).items() if callable(value)]
        hint = suggest(name, names)
        raise RecipeError(f"target {target!r}: no {name!r} in {module_name}{hint}") from error
