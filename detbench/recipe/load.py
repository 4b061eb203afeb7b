"""Reading recipe files: the shipped ones by id, a user's own by path.

A table is ``recipes/<paper>/<name>.toml`` with the id ``<paper>-<name>``; a detector, a schedule
and a profile are ``recipes/{detectors,schedules,profiles}/<id>.toml``. A name that ends in
``.toml`` is a path. A file that ``extends`` a parent replaces whole tables of it.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from detbench import inputs
from detbench.errors import RecipeError
from detbench.recipe import claim_rows, file_kinds
from detbench.recipe import grid as grids
from detbench.recipe import sweep as sweeps
from detbench.recipe.base import Spec
from detbench.recipe.detector import Detector, DetectorRecipe
from detbench.recipe.experiment import Schedule
from detbench.recipe.file_kinds import TAKEN_BY, Kind
from detbench.recipe.metrics import COLUMNS, PUBLISHED
from detbench.recipe.printed import Printed
from detbench.recipe.table import REPLACEABLE, Profile, Table, without
from detbench.recipe.validate import parse, unknown

S = TypeVar("S", bound=Spec)
FOLDERS: dict[Kind, str] = {"detector": "detectors", "schedule": "schedules", "profile": "profiles"}
EXAMPLES = "examples"
"""Folder of recipes that show how own ones are written; they are named by path."""
PAPERS = ("tscode", "tsd", "decoupled-rcnn", "ddod", "double-head", "beyond")
PROFILES = ("paper", "small", "smoke")
DEPTH = 50  # of tables and arrays in each other; ours need six
_EXCESS = f"holds tables nested more than {DEPTH} deep, or a number of thousands of digits"


@cache
def root() -> Path:
    """The folder of the shipped recipes: inside the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "recipes", package.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise RecipeError(f"the recipes are missing beside {package}: install detbench again")


def tables() -> list[str]:
    """Ids of the shipped tables, by paper and number."""
    return sorted(_files("table"), key=_natural)


def detectors() -> list[str]:
    """Ids of the shipped detectors."""
    return sorted(_files("detector"), key=_numbers)


def schedules() -> list[str]:
    """Ids of the shipped schedules."""
    return sorted(_files("schedule"), key=_natural)


def profiles() -> list[str]:
    """Ids of the shipped profiles, biggest first."""
    found = _files("profile")
    return [name for name in PROFILES if name in found] + sorted(set(found) - set(PROFILES))


def table(name: str) -> Table:
    """A table by id or path, with everything it refers to checked.

    Raises:
        RecipeError: with every mistake in the file, its rows' detectors and schedules included.
    """
    path = find("table", name)
    data = _absolute(_inherited("table", path), path)
    mistakes: list[str] = []
    for name, expand in (("grid", grids.expand), ("sweep", sweeps.expand)):
        generator = data.pop(name, None)
        if generator is not None:
            rows, found = expand(generator, shown(path), _sound_detector)
            mistakes += found
            # A table whose grid has mistakes has no rows of it; that is not one more mistake.
            data["rows"] = [*_rows(data), *rows] or [{"label": name, "cited": f"see the {name}"}]
    parsed, found = parse(Table, data, shown(path))
    mistakes += found
    for check in (_check_rows, _check_keys, _check_baselines):
        mistakes += check(data, shown(path))
    if parsed is None or mistakes:
        raise RecipeError(list(dict.fromkeys(mistakes)))
    if mistakes := claim_rows.check(parsed, shown(path)):
        raise RecipeError(mistakes)
    return parsed


def detector(name: str) -> DetectorRecipe:
    """A detector by id or path.

    Raises:
        RecipeError: with every mistake in the file.
    """
    return _detector(find("detector", name))


def schedule(name: str) -> Schedule:
    """A schedule by id or path."""
    return _schedule(find("schedule", name))


def profile(name: str) -> Profile:
    """A profile by id or path."""
    return _profile(find("profile", name))


def find(kind: Kind, name: str) -> Path:
    """The file of a recipe.

    Raises:
        RecipeError: there is none; names what was perhaps meant.
    """
    if name.endswith(".toml"):
        path = inputs.expanded(name)
        if problem := inputs.why_no_file(path):
            problem = "this is a folder: name a file" if path.is_dir() else problem
            raise RecipeError(f"{name}: {problem}")
        return path
    files = _files(kind)
    if name not in files:
        if said := another_kind(name, kind):
            raise RecipeError(said)
        known = {"table": tables, "detector": detectors, "schedule": schedules}.get(kind, profiles)
        raise RecipeError(f"{unknown(kind, name, known())}; a file of your own ends in .toml")
    return files[name]


def another_kind(name: str, *wanted: Kind) -> str:
    """That this is the id of a recipe of another kind, and what takes it; empty if it is none."""
    found = [kind for kind in TAKEN_BY if kind not in wanted and name in _files(kind)]
    return f"'{name}' is {file_kinds.not_wanted(found[0], wanted)}" if found else ""


def kind_of(data: dict[str, Any]) -> Kind:
    """What a file's content is a recipe of; a detector where it does not tell."""
    if told := file_kinds.told(data):
        return told
    parent = data.get("extends")
    kinds: tuple[tuple[Kind, list[str]], ...] = (("table", tables()), ("schedule", schedules()))
    return next((kind for kind, known in kinds if parent in known), "detector")


def table_or_detector(name: str) -> Kind:
    """Which of both a name is; of a file, what it is a recipe of.

    Raises:
        RecipeError: there is no such file, table or detector; names what was perhaps meant.
    """
    if name.endswith(".toml"):
        return kind_of(read(find("table", name)))
    if name in _files("table"):
        return "table"
    if name not in _files("detector"):
        said = another_kind(name, "table", "detector")
        every = [*tables(), *detectors()]
        raise RecipeError(said or unknown("table or detector", name, every))
    return "detector"


def shown(path: Path) -> str:
    """A path as messages show it: from the current folder, or from the shipped recipes."""
    for base in (Path.cwd(), root().parent):
        if path.resolve().is_relative_to(base):
            return str(path.resolve().relative_to(base))
    return str(path)


def read(path: Path) -> dict[str, Any]:
    """A TOML file as plain data.

    Raises:
        RecipeError: it cannot be read, or is not TOML; says the line.
    """
    try:
        text = inputs.text(path)
        data = tomllib.loads(text, parse_float=Printed)
    except OSError as error:
        raise RecipeError(f"{shown(path)}: cannot be read ({error.strerror})") from (error)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{shown(path)}: not a text file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line = f":{match[1]}:{match[2]}" if match else f":{len(text.splitlines())}"
        message = re.sub(r" \(at line .*\)$", "", str(error))
        raise RecipeError(f"{shown(path)}{line}: not valid TOML: {message}") from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{shown(path)}: {_EXCESS}") from error
    if file_kinds.deeper(data, DEPTH):
        raise RecipeError(f"{shown(path)}: {_EXCESS}")
    return data


@cache
def _files(kind: Kind) -> dict[str, Path]:
    if kind != "table":
        return {path.stem: path for path in sorted((root() / FOLDERS[kind]).rglob("*.toml"))}
    papers = (folder for folder in root().iterdir() if folder.is_dir())
    return {
        f"{folder.name}-{path.stem}": path
        for folder in papers
        if folder.name not in (*FOLDERS.values(), EXAMPLES)
        for path in sorted(folder.rglob("*.toml"))
    }


def _natural(name: str) -> list[Any]:
    """Sort key: papers in the project's order, ``table10`` after ``table9``, figures last."""
    paper = next((i for i, paper in enumerate(PAPERS) if name.startswith(f"{paper}-")), len(PAPERS))
    return [paper, *_numbers(name.replace("-figure", "-zfigure"))]


def _numbers(name: str) -> list[Any]:
    """Sort key that takes numbers in a name as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def _spec(model: type[S], data: dict[str, Any], path: Path) -> S:
    parsed, mistakes = parse(model, data, shown(path))
    if parsed is None:
        raise RecipeError(mistakes)
    return parsed


@cache
def _detector(path: Path) -> DetectorRecipe:
    found = _spec(DetectorRecipe, _inherited("detector", path), path)
    if mistakes := _attempt("schedule", found.schedule, f"{shown(path)}: schedule"):
        raise RecipeError(mistakes)
    return found


@cache
def _schedule(path: Path) -> Schedule:
    return _spec(Schedule, _inherited("schedule", path), path)


@cache
def _profile(path: Path) -> Profile:
    found = _spec(Profile, _inherited("profile", path), path)
    made = found.pretraining
    if made and (said := _attempt("detector", made.detector, f"{shown(path)}: pretraining")):
        raise RecipeError(said)
    return found


@cache
def _raw_detector(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = _inherited("detector", path).get("detector", {})
    return found


def _inherited(kind: Kind, path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The file's data over its parent's; of a detector only the networks are inherited."""
    data = read(path)
    if said := file_kinds.another(data, kind):
        raise RecipeError(f"{shown(path)}: {said}")
    parent = data.pop("extends", None)
    if parent is None:
        return data
    if not isinstance(parent, str):
        raise RecipeError(f"{shown(path)}: extends: give one id or path, as in extends = 'x'")
    if path.resolve() in seen:
        raise RecipeError(f"{shown(path)}: extends: the files extend each other in a circle")
    try:
        # A path in a file is from that file's folder.
        source = find(kind, str(path.parent / parent) if parent.endswith(".toml") else parent)
    except RecipeError as error:
        raise RecipeError([f"{shown(path)}: extends: {line}" for line in error.mistakes]) from error
    base = _inherited(kind, source, (*seen, path.resolve()))
    # What is published about the parent is not about the child.
    if kind != "detector":
        return {**{key: value for key, value in base.items() if key != "claims"}, **data}
    kept = {key: base[key] for key in ("schedule",) if key in base}
    tables = data.get("detector", {})
    merged = {**base.get("detector", {}), **tables} if isinstance(tables, dict) else tables
    if isinstance(merged, dict):
        for name in ("sibling", "mask"):
            if without(merged.get(name)) is None:
                merged.pop(name, None)
    return {**kept, **data, "detector": merged}


def _rows(data: dict[str, Any]) -> list[Any]:
    rows = data.get("rows", [])
    return rows if isinstance(rows, list) else []


def _absolute(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The table with the paths of detectors and schedules made absolute, in place."""
    for owner in (data, *_rows(data), data.get("grid"), data.get("sweep")):
        for key in ("detector", "schedule") if isinstance(owner, dict) else ():
            value = owner.get(key)
            if isinstance(value, str) and value.endswith(".toml"):
                owner[key] = str((path.parent / value).resolve())
    return data


def _check_rows(data: dict[str, Any], where: str) -> list[str]:
    """What the schema of a row cannot see: labels, and the detectors and schedules it names."""
    mistakes: list[str] = []
    labels: set[Any] = set()
    if isinstance(data.get("schedule"), str):
        mistakes += _attempt("schedule", data["schedule"], f"{where}: schedule")
    for index, row in enumerate(_rows(data)):
        if not isinstance(row, dict):
            continue
        label = row.get("label")
        place = f'{where}: rows[{index}] "{label}"'
        if isinstance(label, str) and label in labels:
            mistakes.append(f"{place}: label: another row has it too")
        labels.add(label if isinstance(label, str) else None)
        if isinstance(row.get("schedule"), str):
            mistakes += _attempt("schedule", row["schedule"], f"{place}: schedule")
        if isinstance(row.get("detector"), str):
            mistakes += _check_detector(row, place)
        elif "cited" not in row and "detector" not in row:
            mistakes.append(f"{place}: detector: required, or 'cited' with the reason why not")
    return mistakes


def _check_baselines(data: dict[str, Any], where: str) -> list[str]:
    """Baselines that are no row of the table."""
    rows = [row for row in _rows(data) if isinstance(row, dict)]
    labels = [str(row.get("label")) for row in rows]
    named = [
        (f'{where}: rows[{i}] "{labels[i]}"', row.get("baseline")) for i, row in enumerate(rows)
    ]
    return [
        f"{place}: baseline: {unknown('row', label, labels)}"
        for place, label in [(where, data.get("baseline")), *named]
        if isinstance(label, str) and label != "none" and label not in labels
    ]


def _check_detector(row: dict[str, Any], place: str) -> list[str]:
    found = _attempt("detector", row["detector"], f"{place}: detector")
    if found:
        return found
    raw = _raw_detector(find("detector", row["detector"]))
    replaced = {name: without(row[name]) for name in REPLACEABLE if name in row}
    data = {"detector": {**raw, **replaced}, "id": "row", "title": "", "source": ""}
    _, mistakes = parse(DetectorRecipe, {**data, "fidelity": "text-only"}, place)
    return [line.replace(": detector.", ": ", 1) for line in mistakes]


def _sound_detector(name: str) -> Detector | None:
    return None if _attempt("detector", name, "") else detector(name).detector


def _attempt(kind: Kind, name: str, place: str) -> list[str]:
    """The mistakes in referring to a detector or schedule, or in its file."""
    try:
        find(kind, name)
    except RecipeError as error:
        return [f"{place}: {line}" for line in error.mistakes]
    try:
        detector(name) if kind == "detector" else schedule(name)
    except RecipeError as error:
        return error.mistakes
    return []


def _check_keys(data: dict[str, Any], where: str) -> list[str]:
    """Metric keys in columns and published, and the keys that notes on numbers refer to."""
    columns = data.get("columns", [])
    mistakes = [
        f"{where}: columns: {unknown('metric', key, COLUMNS)}"
        for key in (columns if isinstance(columns, list) else [])
        if isinstance(key, str) and key not in COLUMNS
    ]
    for index, row in enumerate(_rows(data)):
        published = row.get("published", {}) if isinstance(row, dict) else None
        if not isinstance(published, dict):
            continue
        place = f'{where}: rows[{index}] "{row.get("label")}"'
        mistakes += [
            f"{place}: published: {unknown('metric', key, PUBLISHED)}"
            for key in published
            if key not in PUBLISHED
        ]
        for table in ("misprints", "unmatched"):
            notes = row.get(table, {})
            mistakes += [
                f"{place}: {table}.{key}: there is no published number of this name"
                for key in (notes if isinstance(notes, dict) else {})
                if key not in published
            ]
    return mistakes
