"""``--set key.path=value``: changing single settings of a resolved cell."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any, TypeVar

from detbench.errors import RecipeError
from detbench.recipe.base import PerTaskSpec, Spec
from detbench.recipe.experiment import Cell
from detbench.recipe.table import REPLACEABLE
from detbench.recipe.validate import descend, nullable, of_kind, parse, unknown

T = TypeVar("T", bound=Spec)
SECTIONS = ("detector", "data", "training", "evaluation")


def apply(cell: T, overrides: Sequence[str]) -> tuple[T, list[str]]:
    """The cell, or a part of one, with the overrides in order, and sentences about what else they
    changed.

    A key path starts at ``detector``, ``data``, ``training`` or ``evaluation``, or at a table of
    the detector (``heads.cls.depth``, ``rounds[0].weight``). Values are TOML; what is not TOML is a
    string; ``none`` unsets an optional setting. Setting ``kind`` starts that option afresh. Of
    epochs and iterations, setting one unsets the other and carries the schedule's drops over in
    proportion.

    Raises:
        RecipeError: with the mistakes in all overrides.
    """
    if not overrides:
        return cell, []
    data = cell.model_dump(mode="json")
    mistakes: list[str] = []
    warnings: list[str] = []
    for override in overrides:
        try:
            path, text = split(override)
            _set(data, path, text, override)
            length = path in (["training", "epochs"], ["training", "iterations"])
            if length and isinstance(cell, Cell):
                warnings += _switch_length(data["training"], path[1], cell)
        except RecipeError as error:
            mistakes += error.mistakes
    parsed, found = parse(type(cell), data, "--set")
    if parsed is None or mistakes:
        raise RecipeError([*mistakes, *found])
    return parsed, warnings


def detector_only(overrides: Sequence[str]) -> list[str]:
    """The overrides that change the detector, and so the paper-size one too."""
    return [item for item in overrides if _path(item)[0] in ("detector", *REPLACEABLE)]


def put(tables: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set one value in nested tables and arrays; tables that are missing on the way are made.

    Raises:
        KeyError, IndexError, TypeError, ValueError: the path leads through a value, or to an
            element that an array does not have.
    """
    owner: Any = tables
    for key in path[:-1]:
        if isinstance(owner, list):
            owner = owner[int(key)]
        else:
            if owner.get(key) is None:
                owner[key] = {}
            owner = owner[key]
    if isinstance(owner, list):
        owner[int(path[-1])] = value
    elif isinstance(owner, dict):
        owner[path[-1]] = value
    else:
        raise TypeError(f"{path[-2]} is a value")


def split(override: str) -> tuple[list[str], str]:
    """The parts of a key path, from its section, and the value's text.

    Raises:
        RecipeError: it is no KEY=VALUE.
    """
    _, equals, text = override.partition("=")
    path = _path(override)
    if not equals or not all(path):
        raise RecipeError(f"--set '{override}': give KEY=VALUE, as in training.iterations=2")
    if path[0] in REPLACEABLE:
        path.insert(0, "detector")
    if path[0] == "seed":
        raise RecipeError(f"--set '{override}': choose seeds with --seeds")
    return path, text.strip()


def _path(override: str) -> list[str]:
    """The parts of a key path; ``rounds[0]`` and ``rounds.0`` are the same."""
    key = override.partition("=")[0].replace("[", ".").replace("]", "")
    return [part.strip() for part in key.strip().split(".")]


def _set(data: dict[str, Any], given: list[str], text: str, override: str) -> None:
    owner: Any = data
    path: list[str | int] = list(given)
    for depth, key in enumerate(given):
        place = f"--set '{override}'" + (f": {'.'.join(given[:depth])}" if depth else "")
        if isinstance(owner, list) and owner and isinstance(owner[0], dict):
            path[depth] = position = _position(key, owner, place)
            if depth < len(path) - 1:
                owner = owner[position]
            continue
        if not isinstance(owner, dict):
            what = "is not set" if owner is None else "is a value, not a table"
            advice = f": set all of it, {given[depth - 1]}={{ {key} = ... }}"
            where = f"{place}: {what}, so '{key}' cannot be set in it"
            raise RecipeError(where + (advice if owner is None else ""))
        choices = _choices(data, path[:depth], owner)
        if choices is not None and key not in choices:
            more = of_kind(Cell, data, (*path[:depth], key))
            raise RecipeError(f"{place}: {unknown('key', key, choices)}{more}")
        if depth < len(path) - 1:
            owner = owner.setdefault(key, {})
    last: Any = path[-1]
    current = owner[last] if isinstance(owner, list) else owner.get(last)
    value = _value(text, current, descend(Cell, data, tuple(path), pick=False))
    if last == "kind" and value != current:
        owner.clear()
    owner[last] = value


def _position(key: str, owner: list[Any], place: str) -> int:
    if not key.isdigit() or int(key) >= len(owner):
        raise RecipeError(f"{place}: no element '{key}' (there are {len(owner)}, from 0)")
    return int(key)


def _choices(
    data: dict[str, Any], path: list[str | int], owner: dict[str, Any]
) -> list[str] | None:
    """The keys that a table may have; none is any, as in the arguments of a custom module."""
    if not path:
        return [*SECTIONS, *REPLACEABLE]
    schema = descend(Cell, data, tuple(path))
    if not (isinstance(schema, type) and issubclass(schema, Spec)):
        return None
    # Of 'both', 'cls' and 'loc' a change keeps to what is there; a whole table may change that.
    return list(owner) if issubclass(schema, PerTaskSpec) else list(schema.model_fields)


def _value(text: str, current: Any, annotation: Any) -> Any:
    if text == "none" and nullable(annotation):
        return None
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # also numbers of thousands of digits, and deep nesting
        value = text
    # ``short=256`` for ``short=[256]``.
    return [value] if isinstance(current, list) and not isinstance(value, (list, dict)) else value


def _switch_length(training: dict[str, Any], key: str, cell: Cell) -> list[str]:
    """Unset the other unit of length; scale the drops, which are in the unit of the length."""
    other = "iterations" if key == "epochs" else "epochs"
    old, new = training[other], training[key]
    training[other] = None
    schedule = training["schedule"]
    drops = schedule.get("drops")
    unchanged = drops == cell.training.model_dump(mode="json")["schedule"].get("drops")
    if old is None or not drops or not unchanged or isinstance(new, (str, bool, list, dict)):
        return []
    schedule["drops"] = [round(drop * new / old, 3) for drop in drops]
    return [
        f"the schedule's drops moved in proportion, to {schedule['drops']} of {new} {key} "
        f"(from {drops} of {old:g} {other})"
    ]
