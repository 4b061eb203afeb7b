"""What a user's own module consists of: its source and that of its local imports. Runs none of it.

Local is what lies beside the target's module (in the folder that Python finds it, or its package,
in) or below the current folder; what is installed, Python's own and detbench's is not. Imports are
read from the source: those by a computed name are not seen, nor files that are read.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from detbench import inputs
from detbench.errors import RecipeError
from detbench.recipe.base import Custom, Spec
from detbench.recipe.validate import suggest

PACKAGE = Path(__file__).resolve().parents[1]
STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
INSTALLED = {"site-packages", "dist-packages"}

WHERE = "; run in its folder, or put that on PYTHONPATH"
"""What to do about a module that is not found."""
OF_YOURS = ": name a class or a function of a module of yours"
"""What to do about a target that is something else."""
_MAKES_NAMES = {"*", "__getattr__", "globals", "vars", "exec", "setattr"}
"""What a module mentions that may have names which its source does not."""

Import = tuple[int, str, tuple[str, ...]]
"""Of ``from ..a import b, c``: 2, ``a`` and the names."""


def settled(own: Custom) -> Custom:
    """It with its source, where no ``version`` stands for it and the module is found.

    Raises:
        RecipeError: its recipe asks for another source, or a file cannot be read.
    """
    found = None if own.version is not None else of_target(own.target)
    if found is None:
        return own
    if own.source not in (None, found):
        raise RecipeError(
            f"target {own.target!r}: not the source that is asked for ({own.source[:12]}...): "
            "restore it, or give the command again without its 'source'"
        )
    return own.model_copy(update={"source": found})


def of_target(target: str) -> str | None:
    """The sha256 of the names and contents of all modules that ``package.module:name`` consists of,
    the packages that they are in included.

    Returns:
        None where the module is not found, or is no file of the user's.

    Raises:
        RecipeError: a file cannot be read.
    """
    module = target.partition(":")[0]
    found = {name: one.sha256 for name, one in _consists_of(target, _modules(module)).items()}
    if module not in found:
        return None
    return hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()


def problem(target: str) -> str:
    """Why ``package.module:name`` cannot be imported, as far as that is seen without running it:
    a module is missing, does not parse, or never mentions the name. Empty if nothing is seen.

    Raises:
        RecipeError: a file cannot be read.
    """
    module, _, name = target.partition(":")
    if is_pythons(module):
        return f"target {target!r}: {module} is Python's own{OF_YOURS}"
    modules = _modules(module)
    if missing := modules.missing(module):
        return f"target {target!r}: No module named {missing!r}{WHERE}"
    files = _consists_of(target, modules)
    for one in files.values():
        if one.mistake:
            return f"target {target!r}: {one.path}:{one.mistake}: mend it there"
    own = files.get(module)
    if own is None or own.names is None or name in own.names:
        return ""
    return f"target {target!r}: no {name!r} in {module}{suggest(name, own.names)}"


def targets(spec: Any) -> Iterator[str]:
    """Of all of the user's own modules in a cell, or in a part of one."""
    if isinstance(spec, Custom):
        yield spec.target
    elif isinstance(spec, Spec | tuple):
        for item in spec if isinstance(spec, tuple) else vars(spec).values():
            yield from targets(item)


@dataclass(frozen=True)
class _File:
    """A module's file, read and not run.

    Attributes:
        mistake: line and message, where it does not parse.
        names: all that it mentions; None where more may come into it, by ``import *`` or made up.
    """

    path: Path
    sha256: str
    imports: tuple[Import, ...] = ()
    mistake: str = ""
    names: frozenset[str] | None = None


def _modules(module: str) -> _Modules:
    importlib.invalidate_caches()
    return _Modules(module.partition(".")[0])


def _consists_of(target: str, modules: _Modules) -> dict[str, _File]:
    """The files of the user's that a target consists of, by the names of their modules."""
    found: dict[str, _File] = {}
    waiting = [target.partition(":")[0]]
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        path = modules.file(name)
        if path is None:
            continue
        try:
            stat = path.stat()
            found[name] = _read(path, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        except OSError as error:
            raise RecipeError(f"target {target!r}: {path}: {error.strerror or error}") from error
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        waiting += _absolute(found[name].imports, package)
    return found


class _Modules:
    """Where modules lie, found as Python finds them.

    Args:
        top: the package of the target, or its module where that is in none.
    """

    def __init__(self, top: str) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}
        self._roots = [Path.cwd()]
        spec = self._spec(top)
        self._roots += [place.parent for place in _places(spec)] if spec else []

    def file(self, name: str) -> Path | None:
        """The file of a module of the user's; None of any other, and of a folder without one."""
        spec = self._spec(name)
        path = Path(spec.origin).absolute() if spec and spec.has_location and spec.origin else None
        return path if path and self._ours(path) else None

    def missing(self, name: str) -> str:
        """The first of a module and the packages that it is in that is not there; else empty. What
        packages that are not the user's have is not known without importing them.
        """
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            whole = ".".join(parts[:count])
            spec = self._spec(whole)
            if spec is None:
                return whole
            if not any(self._ours(place) for place in _places(spec)):
                break
        return ""

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            self._specs[name] = self._find(name)
        return self._specs[name]

    def _find(self, name: str) -> ModuleSpec | None:
        package = name.rpartition(".")[0]
        with suppress(ImportError, ValueError):  # the latter of what has no spec, as ``__main__``
            if not package:
                return find_spec(name) or PathFinder.find_spec(name, [str(Path.cwd())])
            parent = self._spec(package)
            if parent and any(self._ours(place) for place in _places(parent)):
                return PathFinder.find_spec(name, parent.submodule_search_locations)
        return None

    def _ours(self, path: Path) -> bool:
        if is_installed(path) or not path.exists():
            return False
        return any(one.is_relative_to(root) for one in _forms(path) for root in self._roots)


def is_pythons(module: str) -> bool:
    """Whether a module is of Python's standard library, which no file of the user's replaces."""
    return module.partition(".")[0] in sys.stdlib_module_names


def is_installed(path: Path) -> bool:
    """Whether a module's file is of a package that was installed, Python's own or detbench's."""
    if INSTALLED & set(path.parts):
        return True
    return any(one.is_relative_to(root) for one in _forms(path) for root in (PACKAGE, STDLIB))


def _forms(path: Path) -> set[Path]:
    """What is linked to is where it is linked, too."""
    return {path, path.resolve()}


def _places(spec: ModuleSpec) -> list[Path]:
    """The folders of a package, or the file of a module."""
    found = spec.submodule_search_locations or [spec.origin or ""]
    return [Path(place).absolute() for place in found if place]


@lru_cache(maxsize=4096)
def _read(path: Path, facts: tuple[int, int, int]) -> _File:
    """A file, for as long as it seems unchanged by its size and times."""
    content = inputs.content(path)
    found = _File(path, hashlib.sha256(content).hexdigest())
    if path.suffix != ".py":
        return found
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
        return replace(found, imports=tuple(_imports(tree)), names=_names(tree))
    except SyntaxError as error:
        return replace(found, mistake=f"{error.lineno or 1}: {error.msg}")
    except (ValueError, RecursionError) as error:  # of null bytes, or nested too deep
        return replace(found, mistake=f"1: {error}")


def _imports(tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)


def _names(tree: ast.Module) -> frozenset[str] | None:
    """Every name that a module binds or quotes anywhere; None where it may get others."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Name(id=name):
                found.add(name)
            case ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.alias(name=name, asname=other):
                found.add(other or name.partition(".")[0])
            case ast.Constant(value=str() as name):
                found.add(name)
    return None if found & _MAKES_NAMES else frozenset(found)


def _absolute(imports: Iterable[Import], package: str) -> Iterator[str]:
    """The names of modules that a module of ``package`` may import; some may be no modules."""
    for level, module, names in imports:
        parts = package.split(".") if package else []
        base = parts[: len(parts) - level + 1] if level else []
        whole = ".".join([*base, *([module] if module else [])])
        yield from [whole, *(f"{whole}.{name}" for name in names)] if whole else names
