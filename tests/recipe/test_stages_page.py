"""docs/stages.md is what the schemas say, and they say it of every option and setting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from detbench.recipe import reference
from detbench.recipe.base import Custom, Spec
from detbench.recipe.detector import Dense, Roi
from detbench.recipe.scaling import SAID, Rule

PAGE = Path(__file__).parents[2] / "docs" / "stages.md"


def schemas() -> list[type[Spec]]:
    """Every schema of a detector, less modules of the user's own."""
    found, left = list[type[Spec]](), [Dense, Roi]
    while left:
        one = left.pop()
        if one not in found and not issubclass(one, Custom):
            found.append(one)
            for field in one.model_fields.values():
                left += reference.schemas_of(field.annotation)
    return found


SCHEMAS = schemas()


def rows() -> dict[str, list[set[str]]]:
    """Settings that the page has for each kind, in the order of its tables."""
    found: dict[str, list[set[str]]] = {}
    for part in re.split(r"^\*\*|^### ", PAGE.read_text(encoding="utf-8"), flags=re.M):
        if kind := re.match(r"`kind = \"([\w-]+)\"`", part):
            settings = set(re.findall(r"^\| `(\w+)` \|", part, re.M))
            found.setdefault(kind[1], []).append(settings)
    return found


def test_the_page_is_what_the_schemas_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert reference.filled(text) == text


def test_every_option_and_setting_of_the_stages_is_documented() -> None:
    wanted: dict[str, list[set[str]]] = {}
    for one in SCHEMAS:
        if kind := reference.kind_of(one):
            leaves = {
                n for n, f in one.model_fields.items() if not reference.schemas_of(f.annotation)
            }
            wanted.setdefault(kind, []).append(leaves - {"kind"})
    shown = rows()
    assert set(shown) == {*wanted, "custom"}
    for kind, settings in wanted.items():
        assert sorted(map(sorted, settings)) == sorted(map(sorted, shown[kind])), kind
    assert len(wanted) > 30


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda one: one.__name__)
def test_a_docstring_says_what_each_setting_is(schema: type[Spec]) -> None:
    said = reference.attributes(schema)
    assert set(said) == set(schema.model_fields) - {"kind", "skeleton"}
    assert all(said.values())
    assert (schema.__doc__ or "").strip()


@pytest.mark.parametrize(
    ("setting", "values", "default", "said", "light"),
    [
        ("size", "number > 0", "`8.0`", "Side of the smallest square anchor", "factor of anchors"),
        ("convs", "array of whole number >= 0", "`[0]`", "0-based positions.", ""),
        ("conv_bias", "`true`, `false`", "`false`", "Of the strided convolution; the host", ""),
        ("init", 'number > 0 or `"default"`', "", "How the layer that predicts starts", ""),
        (
            "channels",
            "whole number > 0, <= 65536",
            "`1024`",
            "Width of each.",
            "in proportion to 1024",
        ),
        ("stds", "4 x number", "`[0.1, 0.1, 0.2, 0.2]`", "Of the deltas.", ""),
    ],
)
def test_a_setting_has_its_values_default_meaning_and_what_small_profiles_do(
    setting: str, values: str, default: str, said: str, light: str
) -> None:
    start = f"| `{setting}` | {values} | {default} | {said}"
    found = [x for x in PAGE.read_text(encoding="utf-8").splitlines() if x.startswith(start)]
    assert found
    assert all(line.endswith(f"{light} |") for line in found)


def test_an_old_page_is_said_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "stages.md"
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("| `top_k` |", "| `k` |"), encoding="utf-8")
    assert reference.main(["--check", str(page)]) == 1
    assert f"python -m detbench.recipe.reference {page}" in capsys.readouterr().out
    assert reference.main([str(page)]) == 0
    assert reference.main(["--check", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text


def test_every_rule_of_light_profiles_has_words() -> None:
    assert set(SAID) == set(get_args(Rule))
