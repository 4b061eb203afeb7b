"""What the documents show is true: recipes load, options exist, links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from detbench.cli.main import COMMANDS
from detbench.recipe import load, resolve

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
    if "id" not in keys:
        code = 'extends = "fcos-r50"\nid = "x-r50"\ntitle = "x"\nsource = "x"\n' + FIDELITY + code
    path = tmp_path / "shown.toml"
    path.write_text(code, encoding="utf-8")
    if "rows" in keys:
        rows = resolve.cells(load.table(str(path)), "smoke")
        assert all(row.cell is not None for row in rows)
    else:
        assert resolve.cell(str(path), "smoke").cell is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    paths = re.findall(r"`((?:detbench|recipes|tests|docs|benchmarks)/[\w./-]+)`", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_every_command_and_package_has_its_line_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    everyday = text.split("## Everyday")[1].split("\n\n")[1]
    told = {name for line in everyday.splitlines() for name in re.findall(r"`(\w+)`", line)}
    assert told == set(COMMANDS)
    tree = text.split("## Where things are")[1].split("```")[1].splitlines()
    places = [found[0] for line in tree if (found := re.match(r"(  )?[\w.]+", line))]
    packages = {f"  {path.parent.name}" for path in (ROOT / "detbench").glob("*/__init__.py")}
    assert packages <= set(places)
    assert len(places) == len(set(places))
