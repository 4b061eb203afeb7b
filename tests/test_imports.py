"""Imports point down only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import detbench

ROOT = Path(detbench.__file__).parent

# A package may import itself and what stands on the lines below it.
LAYERS = (
    {"cli"},
    {"report", "analysis"},
    {"runner"},
    {"measure"},
    {"statistics"},
    {"evaluation"},
    {"training"},
    {"results"},
    {"assembly"},
    {"data"},
    {"detectors"},
    {"stages"},
    {"backbones"},
    {"ops"},
    {"recipe"},
    {
        "sharding",
        "structures",
        "progress",
        "pertask",
        "children",
        "inputs",
        "temporary",
        "streams",
        "wrapping",
        "errors",
    },
)
LEVEL = {name: number for number, names in enumerate(LAYERS) for name in names}
# A recipe's data is one of the kinds, which need no more of recipes than their bases.
KINDS = {"recipe/experiment.py", "recipe/resolve.py"}
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)


def imported(path: Path) -> set[str]:
    """Packages of detbench that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [node.module]
                if node.module != "detbench"
                else [f"detbench.{alias.name}" for alias in node.names]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("detbench.")}
    return found


def modules() -> dict[str, Path]:
    """Every module by its name; a package by its own."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def needs(path: Path, known: Container[str]) -> set[str]:
    """Modules that a file imports, in functions too, but not for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    ]
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in known}


def test_no_module_imports_itself_by_way_of_others():
    known = modules()
    graph = {name: needs(path, known) - {name} for name, path in known.items()}
    assert graph["detbench.runner.compute"] >= {"detbench.runner.ddp", "detbench.training.loop"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def test_every_package_has_a_place():
    packages = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert packages - {"recipes"} <= set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    own = path.relative_to(ROOT).parts[0]
    above = {name for name in imported(path) & set(LEVEL) if LEVEL[name] < LEVEL[own]}
    if path.relative_to(ROOT).as_posix() in KINDS:
        above -= {"data"}
    assert not above, f"{path.relative_to(ROOT)} imports {sorted(above)} from above"


def test_kinds_of_data_need_no_more_of_recipes_than_their_bases():
    code = "import sys, detbench.data.kinds; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("detbench.recipe.")}
    bases = {"base", "model", "scaling", "validate"}
    assert {name.removeprefix("detbench.recipe.") for name in loaded} <= bases
    assert not {"torch", "numpy", "PIL"} & set(done.stdout.split())
