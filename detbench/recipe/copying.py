"""A recipe of one's own, started from one that is there: its text with a new id.

The text is changed and not written anew, so that the comments stay, which are the manual.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from detbench import inputs
from detbench.errors import RecipeError
from detbench.recipe import load
from detbench.recipe.base import Spec
from detbench.recipe.table import Table
from detbench.recipe.validate import unknown

_REFERENCES = ("extends", "detector", "schedule")
_WIDTH = 98  # of a comment's text


@dataclass(frozen=True)
class Source:
    """A recipe that can be copied.

    Attributes:
        name: as the user gave it.
    """

    name: str
    kind: load.Kind
    path: Path


def names() -> list[str]:
    """What can be copied by name: tables, detectors, examples, schedules, profiles."""
    found = [*load.tables(), *load.detectors(), *_examples(), *load.schedules(), *load.profiles()]
    return list(dict.fromkeys(found))


def find(name: str) -> Source:
    """The recipe of this id, example's name or path.

    Raises:
        RecipeError: there is none; names what was perhaps meant.
    """
    if name.endswith(".toml"):
        path = load.find("table", name)
        return Source(name, load.kind_of(load.read(path)), path)
    for kind, known in (
        ("table", load.tables()),
        ("detector", load.detectors()),
        ("schedule", load.schedules()),
        ("profile", load.profiles()),
    ):
        if name in known:
            return Source(name, kind, load.find(kind, name))  # type: ignore[arg-type]
    if name in _examples():
        path = _examples()[name]
        return Source(name, load.kind_of(load.read(path)), path)
    raise RecipeError(f"{unknown('recipe', name, names())}; a file of your own ends in .toml")


def write(source: Source, target: Path, force: bool = False) -> None:
    """Write the copy; it appears whole and checked, or not at all.

    Args:
        force: replace a file that is there.

    Raises:
        RecipeError: the source has mistakes, or the target is there or cannot be written.
    """
    if target.suffix != ".toml":
        raise RecipeError(f"{target}: a recipe's file ends in .toml, as in my-table.toml")
    if target.is_dir():
        raise RecipeError(f"{target}: this is a folder: name a file in it, as in my-table.toml")
    if target.exists() and target.resolve() == source.path.resolve():
        raise RecipeError(f"{target}: this is the recipe itself: name another file")
    if target.exists() and not force:
        raise RecipeError(f"{target}: is there already: name another file, or --force replaces it")
    original = _loaded(source.kind, source.path)
    aside = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.toml")
    try:
        inputs.check_target(target)
        aside.write_text(_text(source, target, original), encoding="utf-8")
        if _content(_loaded(source.kind, aside)) != _content(original):
            raise TOMLKitError("the copy would say something else")
        os.replace(aside, target)
    except TOMLKitError as error:
        raise RecipeError(
            f"{source.name}: is written in a way that detbench copy cannot follow ({error}): copy "
            "the file yourself"
        ) from error
    except OSError as error:
        where = f"folder {target.parent}" if not target.parent.is_dir() else str(target)
        raise RecipeError(
            f"{where}: cannot be written ({error.strerror or error}): name another place"
        ) from error
    finally:
        if aside.parent.is_dir() and os.access(aside.parent, os.X_OK):
            aside.unlink(missing_ok=True)


def new_id(target: Path) -> str:
    """An id from a file's name: lower case, words joined by hyphens."""
    plain = re.sub(r"[^a-z0-9]+", "-", target.stem.lower()).strip("-")
    return plain or "own"


def _examples() -> dict[str, Path]:
    return {path.stem: path for path in sorted((load.root() / load.EXAMPLES).rglob("*.toml"))}


def _loaded(kind: load.Kind, path: Path) -> Spec:
    read: Any = getattr(load, kind)
    found: Spec = read(str(path))
    return found


def _text(source: Source, target: Path, original: Spec) -> str:
    """The copy's whole text."""
    found = tomlkit.parse(source.path.read_text(encoding="utf-8"))
    found["id"] = new_id(target)
    if source.kind == "table":
        found["paper"] = "own"
    _settle(found, source.path.parent)
    text = _commands(tomlkit.dumps(found), source, original, target)
    parts = [_header(source, target), text.rstrip("\n") + "\n"]
    if isinstance(original, Table):
        parts.append(_own_row(original))
    return "\n".join(part for part in parts if part)


def _settle(value: Any, folder: Path) -> None:
    """Make references to files, which are from ``folder``, absolute, in place."""
    if isinstance(value, dict):
        for key in _REFERENCES:
            if isinstance(name := value.get(key), str) and name.endswith(".toml"):
                value[key] = str((folder / inputs.expanded(name)).resolve())
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _settle(item, folder)


def _commands(text: str, source: Source, original: Any, target: Path) -> str:
    """The command lines in comments, with the copy's name for the original's."""
    called = {source.name, original.id, f"recipes/{load.EXAMPLES}/{source.path.name}"}
    choices = "|".join(re.escape(name) for name in sorted(called, key=len, reverse=True))
    line = re.compile(rf"^(#\s+detbench \w+ )(?:{choices})(?=\s|$)", re.M)
    return line.sub(lambda match: match[1] + shlex.quote(str(target)), text)


def _header(source: Source, target: Path) -> str:
    name = shlex.quote(str(target))
    said, commands = {
        "table": (
            "Its rows are the original's: what is stored of them is taken, nothing is trained "
            "twice. Change rows, take some out, add your own: an example is at the end. Where a "
            "row is no longer the paper's, take its published numbers out, and its claims.",
            (f"show {name}", f"check {name}", f"run {name} --profile smoke", f"report {name}"),
        ),
        "detector": (
            "Change its options as you like; of what is published, leave only what still holds. A "
            "table's row takes this file as its detector.",
            (f"show {name}", f"train {name} --profile smoke", f"flops {name}"),
        ),
        "schedule": (f'A table or a detector takes it by schedule = "{target.name}".', ()),
        "profile": ("Any run takes it by --profile.", (f"run tscode-table1 --profile {name}",)),
    }[source.kind]
    lead = f"A {source.kind} of your own, started from {source.name} by detbench copy. {said}"
    lines = textwrap.wrap(lead, _WIDTH)
    if commands:
        lines += ["", *(f"    detbench {command}" for command in commands)]
    lines += ["", f"What {source.name} says of itself:"]
    return "\n".join(f"# {line}".rstrip() for line in lines) + "\n#"


def _own_row(table: Table) -> str:
    """A commented row to start from, of the first detector that the table runs or names."""
    named = [row for row in table.rows if row.detector]
    row = next((row for row in named if not row.cited), named[0] if named else None)
    if row is None or row.detector is None:
        return ""
    heads = load.detector(row.detector).detector.heads
    loc = tomlkit.inline_table()
    loc.update(heads.of("loc").model_dump(mode="json", exclude_unset=True, exclude_none=True))
    lines = [
        "A row of your own. Any of backbone, neck, features, sampling, assignment, heads,",
        "supervision, ... replaces the detector's: by an option that another recipe uses, or by",
        "a module of yours by its import path (detbench/recipe/base.py, Custom, has the contract).",
        "",
        "[[rows]]",
        f"label = {tomlkit.string(f'{row.detector}, my classification head').as_string()}",
        f"detector = {tomlkit.string(row.detector).as_string()}",
        'heads.cls = { kind = "custom", target = "mypackage.heads:MyHead", arguments = {} }',
        f"heads.loc = {loc.as_string()}",
    ]
    return "\n".join(f"# {line}".rstrip() for line in lines) + "\n"


def _content(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude={"id", "paper"})
