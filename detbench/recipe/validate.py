"""Plain data to schema, with every mistake told in one sentence: where, what, what to do."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from detbench.recipe.base import PerTaskSpec, Spec
from detbench.recipe.printed import told

S = TypeVar("S", bound=Spec)
Path = tuple[str | int, ...]

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "string": "a string",
    "bool": "true or false",
    "tuple": "an array",
    "list": "an array",
    "dict": "a table",
    "model": "a table",
    "model_attributes": "a table",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}

MANY, NEAREST = 25, 5
"""Of more choices than this a message names only the nearest few."""


def parse(model: type[S], data: dict[str, Any], where: str) -> tuple[S | None, list[str]]:
    """The spec in ``data``, or every mistake in it.

    Args:
        data: as TOML gives it: arrays are lists, and integers do for numbers.
        where: file and table, put before each mistake's key path.

    Returns:
        The spec and no mistakes, or none and at least one.
    """
    try:
        # By JSON, because there strict mode takes arrays for tuples, as TOML has only arrays.
        return _parsed(model, json.dumps(told(data), default=str)), []
    except ValidationError as error:
        return None, _sentences(model, data, error, where)


@lru_cache(maxsize=2048)
def _parsed(model: type[S], text: str) -> S:
    """The spec in JSON; the same text gives the same one, as specs do not change."""
    return model.model_validate_json(text)


def parse_option(union: Any, data: Any, where: str) -> list[str]:
    """The mistakes in one option of a stage, as in ``{kind = "sce"}``; empty if there are none."""
    adapter: TypeAdapter[Any] = TypeAdapter(union)
    try:
        adapter.validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        return _sentences(union, data, error, where)
    return []


def suggest(given: str, choices: Iterable[str]) -> str:
    """``, did you mean 'x'?`` where a choice is near, else nothing."""
    lowered = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(given.lower(), lowered, 1, cutoff=0.5)
    return f", did you mean '{lowered[close[0]]}'?" if close else ""


def unknown(what: str, given: str, choices: Sequence[str]) -> str:
    """``unknown <what> 'x', did you mean 'y'? (choices: ...)``; of very many, the nearest."""
    name, listed = "choices", list(choices) or ["none"]
    if len(choices) > MANY:
        listed = difflib.get_close_matches(given.lower(), choices, NEAREST, cutoff=0.0)
        name = f"the nearest of {len(choices)}"
    return f"unknown {what} '{given}'{suggest(given, choices)} ({name}: {', '.join(listed)})"


def shown(value: Any) -> str:
    """A value as TOML writes it, shortened, with its type."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the string "{value if len(value) <= 40 else value[:37] + "..."}"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    return f"{value}"


def key_path(path: Path) -> str:
    """``rows[2].features.cls`` from its parts."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _sentences(root: Any, data: Any, error: ValidationError, where: str) -> list[str]:
    found = (
        _sentence(root, data, item, where)
        for item in error.errors(include_url=False)
        # An array with a mistake in it is also reported as too short: its bad items do not count.
        if item["type"] != "too_short" or len(item["input"]) < item["ctx"]["min_length"]
    )
    return list(dict.fromkeys(found))


def _sentence(root: Any, data: Any, error: ErrorDetails, where: str) -> str:
    path = _strip_tags(data, error["loc"])
    place = f"{where}: {key_path(path)}" if path else where
    return f"{place}: {_problem(root, data, path, error)}"


def _problem(root: Any, data: Any, path: Path, error: ErrorDetails) -> str:
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(descend(root, data, path[:-1]), str(path[-1])) + of_kind(
            root, data, path
        )
    if kind == "missing":
        return "required, but not given"
    if kind == "union_tag_invalid":
        field = context["discriminator"].strip("'")
        choices = [choice.strip("' ") for choice in context["expected_tags"].split(",")]
        return unknown(field, str(context["tag"]), choices)
    if kind == "union_tag_not_found":
        field = context["discriminator"].strip("'")
        choices = options(descend(root, data, path, pick=False))
        if not isinstance(given, dict):
            return f"given {shown(given)}, expected a table with '{field}' ({', '.join(choices)})"
        return f"needs '{field}', one of: {', '.join(choices)}"
    if kind == "literal_error":
        return _choice(given, descend(root, data, path, pick=False))
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"given {shown(given)}, must be {words} {context[name]}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"given {shown(given)}, {_pattern(str(path[-1]) if path else '')}"
    said = _wrong_type(kind, given, context, error["msg"])
    return said + of_kind(root, data, path, given)


def of_kind(root: Any, data: Any, path: Path, *given: Any) -> str:
    """What the kind of an option has instead, where another kind has the key at a key path (and
    would take the value that was ``given``); else empty.
    """
    whole = descend(root, data, path[:-1], pick=False) if path else None
    own = descend(root, data, path[:-1])
    if not _is_spec(own) or own not in members(whole) or (tag := _tag(own)) is None:
        return ""
    if _takes(own, str(path[-1]), *given):  # a value of its type, but for a bound
        return ""
    others = [
        options(one)[0]
        for one in members(whole)
        if one is not own and _takes(one, str(path[-1]), *given)
    ]
    if not others:
        return ""
    names = ", ".join(name for name in own.model_fields if name != tag)
    has = f"'{options(own)[0]}' has {names}: " if given else ""  # those of an unknown key are said
    would = f"{' and '.join(map(repr, others))} would take it"
    return f"; {has}{key_path((*path[:-1], tag))} decides, {would}"


def _takes(spec: Any, key: str, *given: Any) -> bool:
    """Whether a spec has a field, and it may have the value ``given``."""
    if not _is_spec(spec) or key not in spec.model_fields:
        return False
    adapter: TypeAdapter[Any] = TypeAdapter(spec.model_fields[key].annotation)
    try:
        for value in given:
            adapter.validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        return False
    return True


def _wrong_type(kind: str, given: Any, context: dict[str, Any], message: str) -> str:
    if kind == "int_from_float":
        return f"given {given}, expected an integer"
    if kind == "finite_number":
        return f"given {given}, expected a finite number"
    if kind in ("too_short", "missing_argument") and "min_length" in context:
        return f"given {context['actual_length']}, needs at least {context['min_length']}"
    if kind == "too_long":
        return f"given {context['actual_length']}, needs at most {context['max_length']}"
    stem = kind.removesuffix("_type")
    if stem in _KINDS:
        return f"given {shown(given)}, expected {_KINDS[stem]}"
    return f"given {shown(given)}: {message[:1].lower()}{message[1:]}"


def _pattern(field: str) -> str:
    if field == "target":
        return "expected 'package.module:Class'"
    if field == "input":
        return "expected 'WIDTHxHEIGHT', as in '1280x800'"
    return "expected lower-case letters, digits and hyphens"


def _choice(given: Any, annotation: Any) -> str:
    choices = [str(choice) for choice in _literals(annotation)]
    hint = suggest(given, choices) if isinstance(given, str) else ""
    return f"given {shown(given)}{hint} (choices: {', '.join(choices)})"


def _unknown_key(owner: Any, key: str) -> str:
    if not (isinstance(owner, type) and issubclass(owner, Spec)):
        return f"unknown key '{key}'"
    names = list(owner.model_fields)
    if issubclass(owner, PerTaskSpec) and key not in names:
        return f"unknown key '{key}': give either 'both', or 'cls' and 'loc'"
    return unknown("key", key, names)


def _strip_tags(data: Any, location: Sequence[str | int]) -> Path:
    """The key path of pydantic's error location, which also names the tags of unions in it."""
    path: list[str | int] = []
    for index, part in enumerate(location):
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif index < len(location) - 1 or _is_tag(part, data):
            continue
        path.append(part)
    return tuple(path)


def _is_tag(part: str | int, data: Any) -> bool:
    return isinstance(data, dict) and part in (data.get("kind"), data.get("skeleton"))


def descend(annotation: Any, data: Any, path: Path, pick: bool = True) -> Any:
    """The schema at a key path of ``data``: a Spec class, a union, or a plain type.

    Args:
        pick: of a union at the end, choose the member that the data's ``kind`` names.
    """
    for part in path:
        owner = _pick(annotation, data)
        if isinstance(owner, type) and issubclass(owner, Spec):
            info = owner.model_fields.get(str(part))
            if info is None:
                return None
            # A constraint given through Annotated is in the metadata; the type is what matters.
            annotation = info.annotation
        else:
            annotation = _element(owner)
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            data = None
    return _pick(annotation, data) if pick else annotation


def members(annotation: Any) -> list[Any]:
    """The types a value may have: a union's members but ``None``, else the type itself."""
    while get_origin(annotation) is not None and hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for a in get_args(annotation) if a is not type(None) for m in members(a)]
    return [annotation]


def options(annotation: Any) -> list[str]:
    """The ``kind`` names of a tagged union, in order."""
    specs = [member for member in members(annotation) if _is_spec(member)]
    return [
        str(get_args(spec.model_fields[field].annotation)[0])
        for spec in specs
        if (field := _tag(spec)) is not None
    ]


def nullable(annotation: Any) -> bool:
    """Whether ``None`` is a value of this type."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)


def _tag(spec: Any) -> str | None:
    """The field that tells a spec from the others of its union."""
    return next((name for name in ("kind", "skeleton") if name in spec.model_fields), None)


def _is_spec(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Spec)


def _pick(annotation: Any, data: Any) -> Any:
    found = members(annotation)
    if len(found) == 1:
        return found[0]
    for member in found:
        field = _tag(member) if _is_spec(member) else None
        if field is not None and isinstance(data, dict):
            named = data.get("kind", data.get("skeleton"))
            if named in get_args(member.model_fields[field].annotation):
                return member
    return annotation


def _element(annotation: Any) -> Any:
    arguments = [a for a in get_args(annotation) if a is not Ellipsis]
    return arguments[-1] if arguments else None


def _literals(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for member in members(annotation):
        if get_origin(member) is Literal:
            found += get_args(member)
    return found
