"""What the documents show is true: recipes load, options exist, links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import exit_code

from detbench.cli.main import COMMANDS
from detbench.recipe import load, resolve
from detbench.recipe.experiment import Input

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FIDELITY = 'fidelity = "text-only"\n'


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [(page.name, code) for code in re.findall(rf"```{language}\n(.*?)```", text, re.S)]
    return found


@pytest.mark.parametrize(("page", "code"), blocks("toml"))
def test_recipes_shown_are_valid(page: str, code: str, tmp_path: Path) -> None:
    keys = tomllib.loads(code)
    if "training" in keys:  # a part of a schedule or profile
        Input.model_validate_json(json.dumps(keys["training"]["input"]))
        return
    if "id" not in keys:
        code = 'extends = "fcos-r50"\nid = "x-r50"\ntitle = "x"\nsource = "x"\n' + FIDELITY + code
    path = tmp_path / "shown.toml"
    path.write_text(code, encoding="utf-8")
    if "rows" in keys:
        rows = resolve.cells(load.table(str(path)), "smoke")
        assert all(row.cell is not None for row in rows)
    else:
        assert resolve.cell(str(path), "smoke").cell is not None


def test_the_notebooks_lines_run_in_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """README's Python: the last line is what a notebook shows."""
    monkeypatch.chdir(ROOT)
    code = readmes("python", "import detbench\n")
    *lines, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(lines, []), "README.md", "exec"), names)
    shown = eval(compile(ast.Expression(last.value), "README.md", "eval"), names)
    assert 30 < shown.loc["FCOS", 0] < 50  # AP in percent, of a row and a seed


def test_the_readmes_own_head_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-table.toml").write_text(readmes("toml", "# my-table.toml"))
    assert exit_code("check", "my-table.toml", "--profile", "smoke") == 2
    (tmp_path / "myheads.py").write_text(readmes("python", "# myheads.py"))
    assert exit_code("check", "my-table.toml", "--profile", "smoke") == 0


def readmes(language: str, beginning: str) -> str:
    """README's block that begins so."""
    found = [code for page, code in blocks(language) if page == "README.md"]
    [code] = [one for one in found if one.startswith(beginning)]
    return code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    paths = re.findall(r"`((?:detbench|recipes|tests|docs|benchmarks)/[\w./-]+)`", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def command_lines() -> list[tuple[str, str]]:
    """Every ``detbench`` line of the shell blocks, less the reference's, which is generated."""
    found = []
    for page, code in blocks("sh"):
        for line in code.replace("\\\n", " ").splitlines():
            words = line.partition("#")[0].partition(" > ")[0].partition(" && ")
            found += [
                (page, part.strip())
                for part in (words[0], words[2])
                if part.strip().startswith("detbench ") and page != "cli.md"
            ]
    return found


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_command_lines_shown_are_understood(page: str, line: str) -> None:
    """Commands, options and the number of arguments; nothing is run."""
    _, name, *words = shlex.split(line)
    command = importlib.import_module("detbench.cli.main")._load(name)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    known = {option for one in command.params for option in one.opts}
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert asked <= known | {"--help"}
    assert command.make_context(name, words).params is not None


def test_the_readme_names_every_command_and_folder() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## Everyday") : text.index("## How exact")]
    named = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line[:80])}
    assert set(COMMANDS) <= named
    tree = text[text.index("## Where things are") :]
    inside, _, outside = tree.partition("\nrecipes/")
    shown = set(re.findall(r"^  (\w+(?:\.py)?)/? ", inside, re.M))
    package = [one for one in (ROOT / "detbench").iterdir() if not one.name.startswith("__")]
    there = {one.name for one in package if one.suffix == ".py" or (one / "__init__.py").exists()}
    assert there - shown <= {"children.py", "streams.py"}
    assert shown <= there | {"stages"}
    for folder in ("results/", "docs/", "benchmarks/", "tests/"):
        assert outside.count(f"\n{folder} ") == 1
