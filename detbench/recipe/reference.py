"""The tables of ``docs/stages.md``: every option of a detector and its settings, by their schemas.

python -m detbench.recipe.reference docs/stages.md          writes what stands between its marks
python -m detbench.recipe.reference --check docs/stages.md  fails if that is not what it would write
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from detbench.recipe.base import Custom, PerTaskSpec, Spec
from detbench.recipe.detector import Dense, Roi
from detbench.recipe.scaling import SAID

Schema = type[Spec]
WORDS = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}


def filled(page: str) -> str:
    """A page whose marks, ``<!-- dense -->`` and ``<!-- roi -->`` to ``<!-- end -->``, hold the
    tables of that skeleton.
    """
    seen: dict[Schema, str] = {}
    for skeleton, schema in (("dense", Dense), ("roi", Roi)):
        parts = [*_settings(schema), *_tables(schema, f"{skeleton}:", seen)]
        start, mark, rest = page.partition(f"<!-- {skeleton} -->\n")
        _, end, rest = rest.partition("<!-- end -->")
        page = start + mark + "\n" + "\n\n".join(parts) + "\n\n" + end + rest
    return page


def kind_of(schema: Schema) -> str | None:
    """What chooses a schema among others; none of a table that is no choice."""
    if "kind" not in schema.model_fields:
        return None
    return str(get_args(schema.model_fields["kind"].annotation)[0])


def attributes(schema: Schema) -> dict[str, str]:
    """What docstrings say of each field, those of its bases too."""
    found: dict[str, str] = {}
    for one in reversed([each for each in schema.__mro__ if issubclass(each, Spec)]):
        _, _, listed = inspect.cleandoc(vars(one).get("__doc__") or "").partition("Attributes:\n")
        for names, said in re.findall(r"^    (\S[^:\n]*):((?:.|\n     )*)", listed, re.M):
            found |= dict.fromkeys(names.split(", "), _sentence(said))
    return found


def schemas_of(annotation: Any) -> list[Schema]:
    """The schemas that a field may hold, as a table, a choice, a pair for the tasks, an array."""
    if isinstance(annotation, type) and issubclass(annotation, PerTaskSpec):
        return schemas_of(annotation.model_fields["both"].annotation)
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, Spec) else []
    return [schema for one in get_args(annotation) for schema in schemas_of(one)]


def _tables(schema: Schema, path: str, seen: dict[Schema, str]) -> Iterator[str]:
    """The tables in a schema, and those in them: what each is, and its choices.

    Args:
        path: of the schema, ``dense:`` or ``roi:supervision.``.
        seen: schemas that are above, and where.
    """
    entries = attributes(schema)
    for name, field in schema.model_fields.items():
        options = schemas_of(field.annotation)
        if not options:
            continue
        yield f"### `{path.partition(':')[2]}{name}`"
        if any(map(kind_of, options)):
            yield entries[name]
        fresh = [one for one in options if one not in seen and not issubclass(one, Custom)]
        seen |= dict.fromkeys(fresh, path + name)
        for one in fresh:
            kind = kind_of(one)
            yield (f'**`kind = "{kind}"`** ' if kind else "") + _described(one)
            yield from _settings(one)
        yield from _elsewhere([one for one in options if one not in fresh], seen)
        for one in fresh:
            yield from _tables(one, f"{path}{name}.", seen)


def _elsewhere(options: list[Schema], seen: dict[Schema, str]) -> Iterator[str]:
    """Where the choices are that a table has in common with another."""
    for where in dict.fromkeys(seen[one] for one in options if one in seen):
        kinds = [kind_of(one) for one in options if seen.get(one) == where]
        skeleton, _, path = where.partition(":")
        listed = ", ".join(f"`{kind}`" for kind in kinds if kind)
        yield f"{listed + ': as' if listed else 'As'} `{path}` of `{skeleton}`."
    if any(issubclass(one, Custom) for one in options):
        yield '**`kind = "custom"`** A module of [your own](#your-own).'


def _settings(schema: Schema) -> Iterator[str]:
    """The table of a schema's own settings, if it has any."""
    hints, said = get_type_hints(schema, include_extras=True), attributes(schema)
    rows = ["| setting | values | default | | small profiles |", "|:--|:--|:--|:--|:--|"]
    for name, field in schema.model_fields.items():
        if name in ("kind", "skeleton") or schemas_of(field.annotation):
            continue
        light = SAID[schema.scaling.get(name, "kept")]
        cells = (f"`{name}`", _values(hints[name]), _default(field), said.get(name, ""), light)
        rows.append(f"| {' | '.join(cells)} |")
    if len(rows) > 2:
        yield "\n".join(rows)


def _described(schema: Schema) -> str:
    """A docstring before its attributes."""
    text, _, _ = inspect.cleandoc(schema.__doc__ or "").partition("Attributes:\n")
    return _sentence(text)


def _sentence(text: str) -> str:
    """On one line, as markdown, and with a capital."""
    line = " ".join(text.split()).replace("``", "`")
    return line[:1].upper() + line[1:]


def _values(hint: Any) -> str:
    """What a setting may be, in words."""
    origin, inner = get_origin(hint), [one for one in get_args(hint) if one is not type(None)]
    if origin is Annotated:
        return _limited(_values(inner[0]), inner[1:])
    if origin is Literal:
        return ", ".join(_value(one) for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(map(_values, inner))
    if origin is tuple:
        many = "array of " if Ellipsis in inner else f"{len(inner)} x "
        return many + _values(inner[0])
    return WORDS.get(hint, "table")


def _limited(what: str, limits: list[Any]) -> str:
    """``what``, with the range that pydantic checks."""
    found = []
    for one in limits:
        constraints = one.metadata if isinstance(one, FieldInfo) else [one]
        for limit in constraints:
            if isinstance(limit, Gt):
                found.append(f"> {limit.gt}")
            elif isinstance(limit, Ge):
                found.append(f">= {limit.ge}")
            elif isinstance(limit, Le):
                found.append(f"<= {limit.le}")
    return f"{what} {', '.join(found)}".rstrip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if field.default is None else _value(field.default)


def _value(value: Any) -> str:
    """As in TOML."""
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def main(arguments: list[str]) -> int:
    """Write the tables of a page, or with ``--check`` compare them; returns the exit code."""
    path = Path(arguments[-1])
    old = path.read_text(encoding="utf-8")
    new = filled(old)
    if arguments[0] != "--check":
        path.write_text(new, encoding="utf-8")
    elif old != new:
        print(f"{path} is not what the schemas say: python -m detbench.recipe.reference {path}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
